#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

#include "common/file.h"
#include "common/mem.h"

#define ROOT       "/sys/fs/cgroup"
#define KILL_TRIES 50

/* The hierarchies to work in; returns how many. */
static size_t hierarchies(const char *roots[4])
{
    struct statfs fs;
    if (statfs(ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
        roots[0] = ROOT;
        return 1;
    }
    static const char *const hybrid[] = {ROOT "/systemd", ROOT "/unified", ROOT "/pids",
                                         ROOT "/cpu"};
    size_t n = 0;
    for (size_t i = 0; i < 4; i++)
        if (access(hybrid[i], F_OK) == 0)
            roots[n++] = hybrid[i];
    return n;
}

static char *group_path(const struct lab *lab, const char *root, const char *name)
{
    return cm_asprintf("%s/%s%s%s", root, lab->tag, name ? "/" : "", name ? name : "");
}

int cgroup_join(const struct lab *lab, const char *name, struct cm_err *err)
{
    const char *roots[4];
    size_t n = hierarchies(roots);
    for (size_t i = 0; i < n; i++) {
        char *group = group_path(lab, roots[i], name);
        char *procs = cm_asprintf("%s/cgroup.procs", group);
        int rc = cm_file_mkdirs(group, 0755, err);
        int fd = rc == 0 ? open(procs, O_WRONLY | O_CLOEXEC) : -1;
        if (rc == 0 && (fd < 0 || write(fd, "0", 1) != 1))
            rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s", procs, strerror(errno));
        if (fd >= 0)
            close(fd);
        free(procs);
        free(group);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static size_t kill_procs(const char *group)
{
    char *path = cm_asprintf("%s/cgroup.procs", group);
    FILE *f = fopen(path, "re");
    free(path);
    size_t killed = 0;
    long pid;
    while (f && fscanf(f, "%ld", &pid) == 1)
        if (pid > 1 && pid != getpid() && kill((pid_t)pid, SIGKILL) == 0)
            killed++;
    if (f)
        fclose(f);
    return killed;
}

/* Depth first through a tree of groups; cgroup trees are shallow, 16 is beyond any. */
static size_t walk(const char *group, size_t (*visit)(const char *), int depth)
{
    size_t sum = 0;
    DIR *dir = depth < 16 ? opendir(group) : NULL;
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        char *below = cm_asprintf("%s/%s", group, e->d_name);
        sum += walk(below, visit, depth + 1);
        free(below);
    }
    if (dir)
        closedir(dir);
    return sum + visit(group);
}

static size_t visit_all(const struct lab *lab, const char *name,
                        size_t (*visit)(const char *))
{
    const char *roots[4];
    size_t n = hierarchies(roots);
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        char *group = group_path(lab, roots[i], name);
        sum += walk(group, visit, 0);
        free(group);
    }
    return sum;
}

size_t cgroup_kill(const struct lab *lab, const char *name)
{
    size_t first = visit_all(lab, name, kill_procs);
    size_t left = first;
    for (int i = 0; i < KILL_TRIES && left > 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
        left = visit_all(lab, name, kill_procs);
    }
    return first;
}

static size_t remove_group(const char *group)
{
    return rmdir(group) == 0;
}

void cgroup_remove(const struct lab *lab, const char *name)
{
    visit_all(lab, name, remove_group);
}
