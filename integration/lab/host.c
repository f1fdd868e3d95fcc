#include "host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"

#define INOTIFY_PATH "/proc/sys/fs/inotify/max_user_instances"

static const struct {
    const char *program, *package;
} needed[] = {
    {"mmdebstrap", "mmdebstrap"},
    {"systemd-nspawn", "systemd-container"},
    {"apt-ftparchive", "apt-utils"},
    {"ip", "iproute2"},
    {"nft", "nftables"},
    {"nsenter", "util-linux"},
    {"npm", "npm"},
};

static bool in_path(const char *program)
{
    const char *p = getenv("PATH");
    for (p = p ? p : "/usr/sbin:/usr/bin:/sbin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        char *full = cm_asprintf("%.*s/%s", (int)n, p, program);
        bool there = access(full, X_OK) == 0;
        free(full);
        if (there)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static int check_tools(struct cm_err *err)
{
    struct cm_buf missing;
    cm_buf_init(&missing, 1024);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!in_path(needed[i].program))
            cm_buf_fmt(&missing, " %s", needed[i].package);
    int rc = 0;
    if (missing.len)
        rc = cm_err_set(err, CM_ERR_WORLD, "the lab needs: apt-get install%s",
                        missing.data);
    cm_buf_clear(&missing);
    return rc;
}

/* The kernel's 128 per user are shared by all nodes, and one Dovecot takes them all. */
static void raise_inotify(struct lab *lab)
{
    static const char wanted[] = "8192";
    char text[32] = "";
    int fd = open(INOTIFY_PATH, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0 &&
        strtol(text, NULL, 10) < strtol(wanted, NULL, 10) &&
        pwrite(fd, wanted, strlen(wanted), 0) < 0)
        state_say(lab, "note: cannot raise fs.inotify.max_user_instances");
    close(fd);
}

int host_ready(struct lab *lab, struct cm_err *err)
{
    raise_inotify(lab);
    return check_tools(err);
}
