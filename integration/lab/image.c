#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"

#include "sources.h"

#define SOURCES_MAX      (64 * 1024)
#define BUILD_TIMEOUT_MS (15 * 60 * 1000)

/* Raise it when the recipe below changes: old images are then left alone. */
#define RECIPE "recipe 2"

static const char packages[] =
    "systemd,systemd-sysv,dbus,iproute2,openssh-server,ca-certificates,procps,less,"
    "netbase,libpam-systemd";

/* What makes a minimal Debian a rented server whose apt knows one folder. */
static const struct {
    const char *path, *text;
    mode_t mode;
} files[] = {
    {"etc/apt/sources.list", "deb [trusted=yes] file:/srv/mirror ./\n", 0644},
    {"etc/resolv.conf", "nameserver " TOPOLOGY_RESOLVER "\n", 0644},
    {"etc/ssh/sshd_config.d/lab.conf",
     "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
     "PermitRootLogin prohibit-password\nUseDNS no\nMaxStartups 100\n"
     "HostKey /etc/ssh/ssh_host_ed25519_key\n",
     0644},
    /* The image has no host key, so that each node makes its own. */
    {"etc/systemd/system/ssh.service.d/lab.conf",
     "[Service]\nExecStartPre=\n"
     "ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || "
     "ssh-keygen -q -t ed25519 -N \"\" -f /etc/ssh/ssh_host_ed25519_key'\n"
     "ExecStartPre=/usr/sbin/sshd -t\n",
     0644},
    {"etc/dpkg/dpkg.cfg.d/lab", "force-unsafe-io\n", 0644},
    {"etc/systemd/journald.conf.d/lab.conf",
     "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitIntervalSec=0\n", 0644},
};

/* Timers and consoles that only make noise here. */
static const char *const masked[] = {
    "apt-daily.timer",      "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer", "console-getty.service",
    "fstrim.timer",         "e2scrub_all.timer",
};

static const char *const emptied[] = {
    "etc/machine-id",
    "etc/hostname",
};

static int host_sources(struct cm_buf *out, struct cm_err *err)
{
    cm_buf_init(out, SOURCES_MAX);
    if (access(IMAGE_KEYRING, R_OK) < 0)
        return cm_err_set(err, CM_ERR_WORLD,
                          IMAGE_KEYRING " is missing: apt-get install "
                                        "debian-archive-keyring");
    return sources_of_host(IMAGE_CODENAME, IMAGE_KEYRING, out, err);
}

static void recipe_hash(const struct cm_buf *sources, char image[17])
{
    struct cm_buf b;
    char hex[65];
    cm_buf_init(&b, 1 << 20);
    cm_buf_fmt(&b, RECIPE "\n%s\n%s", packages, sources->data);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        cm_buf_fmt(&b, "%s\n%s", files[i].path, files[i].text);
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        cm_buf_fmt(&b, "%s\n", masked[i]);
    state_hash(b.data, b.len, hex);
    memcpy(image, hex, 16);
    image[16] = 0;
    cm_buf_clear(&b);
}

static int write_files(const char *root, struct cm_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof *files; i++) {
        char *path = cm_asprintf("%s/%s", root, files[i].path);
        char *slash = strrchr(path, '/');
        *slash = 0;
        rc = cm_file_mkdirs(path, 0755, err);
        *slash = '/';
        if (rc == 0)
            rc = cm_file_replace(path, files[i].text, strlen(files[i].text),
                                 files[i].mode, err);
        free(path);
    }
    for (size_t i = 0; rc == 0 && i < sizeof emptied / sizeof *emptied; i++) {
        char *path = cm_asprintf("%s/%s", root, emptied[i]);
        rc = cm_file_replace(path, "", 0, 0644, err);
        free(path);
    }
    for (size_t i = 0; rc == 0 && i < sizeof masked / sizeof *masked; i++) {
        char *path = cm_asprintf("%s/etc/systemd/system/%s", root, masked[i]);
        if (symlink("/dev/null", path) < 0 && errno != EEXIST)
            rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
        free(path);
    }
    return rc;
}

/* The operator's key is made with the image's ssh-keygen: this machine may have none.
 */
static int make_keys(const char *tmp, const char *root, struct cm_err *err)
{
    char *keys = cm_asprintf("%s/keys", tmp);
    char *made = cm_asprintf("%s/root/operator", root);
    char *made_pub = cm_asprintf("%s.pub", made);
    int rc = cm_file_mkdirs(keys, 0700, err);
    if (rc == 0)
        rc = tool(err, "chroot", root, "ssh-keygen", "-q", "-t", "ed25519", "-N", "",
                  "-C", "operator", "-f", "/root/operator", NULL);
    if (rc == 0)
        rc = tool(err, "mv", made, made_pub, keys, NULL);
    free(made_pub);
    free(made);
    free(keys);
    return rc;
}

static int bootstrap(const char *tmp, const struct cm_buf *sources, struct cm_err *err)
{
    char *root = cm_asprintf("%s/root", tmp);
    char *ssh = cm_asprintf("%s/etc/ssh", root);
    char *lists = cm_asprintf("%s/etc/apt/sources.list.d", root);
    char *list = cm_asprintf("%s/sources.list", tmp);
    char *include = cm_asprintf("--include=%s", packages);
    const char *argv[] = {"mmdebstrap",
                          "--quiet",
                          "--variant=minbase",
                          "--format=directory",
                          include,
                          IMAGE_CODENAME,
                          root,
                          list,
                          NULL};
    int rc = cm_file_replace(list, sources->data, sources->len, 0644, err);
    if (rc == 0)
        rc = tool_argv(err, argv, BUILD_TIMEOUT_MS, NULL);
    if (rc == 0)
        rc = write_files(root, err);
    if (rc == 0)
        rc = make_keys(tmp, root, err);
    if (rc == 0)
        rc = tool(err, "find", ssh, "-name", "ssh_host_*", "-delete", NULL);
    if (rc == 0)
        rc = tool(err, "find", lists, "-type", "f", "-delete", NULL);
    free(include);
    free(list);
    free(lists);
    free(ssh);
    free(root);
    return rc;
}

static int build(struct lab *lab, const struct cm_buf *sources, const char *final,
                 struct cm_err *err)
{
    char *tmp = cm_asprintf("%s.tmp", final);
    int64_t began = state_begin(lab, "image");
    int rc = tool(err, "rm", "-rf", "--one-file-system", tmp, NULL);
    if (rc == 0)
        rc = cm_file_mkdirs(tmp, 0755, err);
    if (rc == 0)
        rc = bootstrap(tmp, sources, err);
    if (rc == 0 && rename(tmp, final) < 0)
        rc = cm_err_set(err, CM_ERR_WORLD, "rename %s: %s", tmp, strerror(errno));
    if (rc == 0)
        state_end(lab, "image", began);
    else
        cm_err_prefix(err, "base image");
    free(tmp);
    return rc;
}

int image_name(struct lab *lab, struct cm_err *err)
{
    struct cm_buf sources;
    int rc = *lab->image ? 0 : host_sources(&sources, err);
    if (*lab->image)
        return 0;
    if (rc == 0)
        recipe_hash(&sources, lab->image);
    cm_buf_clear(&sources);
    return rc;
}

int image_ready(struct lab *lab, struct cm_err *err)
{
    struct cm_buf sources;
    if (host_sources(&sources, err) < 0) {
        cm_buf_clear(&sources);
        return -1;
    }
    recipe_hash(&sources, lab->image);
    char *final = state_path(lab, "image/%s", lab->image);
    int rc = 0;
    if (access(final, F_OK) < 0)
        rc = build(lab, &sources, final, err);
    free(final);
    cm_buf_clear(&sources);
    return rc;
}
