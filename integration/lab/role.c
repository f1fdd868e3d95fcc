#include "image.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"

#include "contained.h"

#define INSTALL_TIMEOUT_MS (10 * 60 * 1000)

char *image_role_path(struct lab *lab, const char *image,
                      const struct topology_node *node)
{
    char hex[65];
    state_hash(node->packages, strlen(node->packages), hex);
    return state_path(lab, "image/%s/role-%s-%.8s", image, node->name, hex);
}

/* Blank-separated words appended to argv; the words live in *copy_r, which the caller
 * frees after use. */
static void add_words(const char **argv, size_t n, size_t max, const char *text,
                      char **copy_r)
{
    char *p = *copy_r = cm_strdup(text);
    while (*p && n < max - 1) {
        argv[n++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = 0;
    }
    argv[n] = NULL;
}

static int mount_role(struct lab *lab, const char *tmp, const char *root,
                      struct cm_err *err)
{
    char *options = cm_asprintf("lowerdir=%s/image/%s/root,upperdir=%s/upper,"
                                "workdir=%s/work",
                                lab->dir, lab->image, tmp, tmp);
    char *mirror = state_path(lab, "mirror");
    char *there = cm_asprintf("%s/srv/mirror", root);
    char *dev = cm_asprintf("%s/dev", root);
    char *proc = cm_asprintf("%s/proc", root);
    int rc = 0;
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        mount("overlay", root, "overlay", 0, options) < 0 ||
        (mkdir(there, 0755) < 0 && errno != EEXIST) ||
        mount(mirror, there, NULL, MS_BIND, NULL) < 0 ||
        mount("/dev", dev, NULL, MS_BIND, NULL) < 0 ||
        mount("proc", proc, "proc", 0, NULL) < 0)
        rc = cm_err_set(err, CM_ERR_WORLD, "mounts for %s: %s", root, strerror(errno));
    free(proc);
    free(dev);
    free(there);
    free(mirror);
    free(options);
    return rc;
}

struct role {
    const struct topology_node *node;
    const char *tmp;
};

/* In a child with mounts of its own: apt in the chroot, daemons not started. */
static int install_role(struct lab *lab, const void *ctx, struct cm_err *err)
{
    const struct role *role = ctx;
    static const char policy[] = "#!/bin/sh\nexit 101\n";
    char *root = cm_asprintf("%s/root", role->tmp);
    char *policy_path = cm_asprintf("%s/usr/sbin/policy-rc.d", root);
    char *lists = cm_asprintf("%s/var/lib/apt/lists", root);
    char *copy = NULL;
    const char *update[] = {"chroot", root, "apt-get", "-qq", "update", NULL};
    const char *clean[] = {"chroot", root, "apt-get", "clean", NULL};
    const char *install[32] = {"chroot",  root, "env", "DEBIAN_FRONTEND=noninteractive",
                               "apt-get", "-y", "-qq", "install"};
    add_words(install, 8, 32, role->node->packages, &copy);
    int rc = mount_role(lab, role->tmp, root, err);
    if (rc == 0)
        rc = cm_file_replace(policy_path, policy, strlen(policy), 0755, err);
    if (rc == 0)
        rc = tool_argv(err, update, 0, NULL);
    if (rc == 0)
        rc = tool_argv(err, install, INSTALL_TIMEOUT_MS, NULL);
    if (rc == 0)
        rc = tool_argv(err, clean, 0, NULL);
    if (rc == 0)
        rc = tool(err, "rm", "-rf", policy_path, lists, NULL);
    return rc;
}

static int build_role(struct lab *lab, const struct topology_node *node,
                      const char *final, struct cm_err *err)
{
    char *tmp = cm_asprintf("%s.tmp", final);
    char *upper = cm_asprintf("%s/upper", tmp);
    char *work = cm_asprintf("%s/work", tmp);
    char *root = cm_asprintf("%s/root", tmp);
    char *what = cm_asprintf("role %s", node->name);
    int64_t began = state_begin(lab, what);
    int rc = tool(err, "rm", "-rf", "--one-file-system", tmp, NULL);
    if (rc == 0 &&
        (cm_file_mkdirs(upper, 0755, err) < 0 || cm_file_mkdirs(work, 0755, err) < 0 ||
         cm_file_mkdirs(root, 0755, err) < 0))
        rc = -1;
    if (rc == 0)
        rc = contained(lab, install_role, &(struct role){node, tmp}, err);
    if (rc == 0 && rename(upper, final) < 0)
        rc = cm_err_set(err, CM_ERR_WORLD, "rename %s: %s", upper, strerror(errno));
    if (rc == 0)
        rc = tool(err, "rm", "-rf", "--one-file-system", tmp, NULL);
    if (rc == 0)
        state_end(lab, what, began);
    else
        cm_err_prefix(err, "%s", what);
    free(what);
    free(root);
    free(work);
    free(upper);
    free(tmp);
    return rc;
}

int image_roles_ready(struct lab *lab, struct cm_err *err)
{
    int rc = 0;
    for (const struct topology_node *n = topology_nodes; rc == 0 && n->name; n++) {
        if (!n->packages)
            continue;
        char *final = image_role_path(lab, lab->image, n);
        if (access(final, F_OK) < 0)
            rc = build_role(lab, n, final, err);
        free(final);
    }
    return rc;
}
