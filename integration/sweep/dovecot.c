#include "dovecot.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"

#define START_MS 10000
#define PROGRAM  "/usr/sbin/dovecot"
#define LOG_MAX  (64 << 20)

/* Users that every Debian has. */
static const char config[] =
    "base_dir = %s/run\nstate_dir = %s/state\nlog_path = %s/log\n"
    "listen = 127.0.0.1\nprotocols = imap lmtp\nssl = no\n"
    "disable_plaintext_auth = no\nmail_debug = yes\n"
    "default_internal_user = daemon\ndefault_internal_group = daemon\n"
    "default_login_user = nobody\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"
    "mail_location = maildir:~/Maildir\nmail_max_userip_connections = 1000\n"
    "mail_plugin_dir = %s/modules\nimap_hibernate_timeout = %us\n"
    "passdb {\n  driver = static\n  args = password=" DOVECOT_PASSWORD "\n}\n"
    "userdb {\n  driver = static\n"
    "  args = uid=mail gid=mail home=%s/mail/%%u allow_all_users=yes\n}\n"
    "protocol imap {\n  mail_plugins = %s\n}\n"
    "service imap-login {\n  chroot =\n  inet_listener imap {\n    port = %d\n  }\n"
    "  inet_listener imaps {\n    port = 0\n  }\n}\n"
    "service lmtp {\n  user = mail\n  extra_groups = daemon\n"
    "  inet_listener lmtp {\n    port = %d\n  }\n}\n"
    "service imap {\n  extra_groups = daemon\n  service_count = 100\n"
    "  unix_listener imap-master {\n    user = daemon\n  }\n}\n"
    "service imap-hibernate {\n  unix_listener imap-hibernate {\n"
    "    mode = 0660\n    group = daemon\n  }\n}\n";

/* Two at a time, so that they differ. */
static int free_ports(int out[2], struct cm_err *err)
{
    int fds[2] = {-1, -1};

    for (int i = 0; i < 2; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        socklen_t len = sizeof(in);
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fds[i], (struct sockaddr *)&in, len) != 0 ||
            getsockname(fds[i], (struct sockaddr *)&in, &len) != 0)
            return cm_err_set(err, CM_ERR_WORLD, "no free port: %m");
        out[i] = ntohs(in.sin_port);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int make_dir(const struct dovecot *d, const char *name, mode_t mode,
                    struct cm_err *err)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", d->dir, name);
    if (mkdir(path, mode) != 0 || chmod(path, mode) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "%s: %m", path);
    return 0;
}

static int lay_out(struct dovecot *d, const struct dovecot_want *want,
                   struct cm_err *err)
{
    char path[128];

    snprintf(d->dir, sizeof(d->dir), "/tmp/portico-dovecot-XXXXXX");
    if (mkdtemp(d->dir) == NULL || chmod(d->dir, 0755) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "%s: %m", d->dir);
    if (make_dir(d, "run", 0755, err) != 0 || make_dir(d, "state", 0755, err) != 0 ||
        make_dir(d, "modules", 0755, err) != 0 || make_dir(d, "mail", 0777, err) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/modules/lib20_%s_plugin.so", d->dir,
             want->plugin_name);
    if (want->plugin != NULL && symlink(want->plugin, path) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "%s: %m", path);
    return 0;
}

static int write_config(struct dovecot *d, const struct dovecot_want *want,
                        struct cm_err *err)
{
    struct cm_buf text;
    char path[128];

    cm_buf_init(&text, 65536);
    cm_buf_fmt(&text, config, d->dir, d->dir, d->dir, d->dir, want->hibernate_s, d->dir,
               want->plugin != NULL ? want->plugin_name : "", d->imap_port,
               d->lmtp_port);
    cm_buf_str(&text, want->extra != NULL ? want->extra : "");
    snprintf(path, sizeof(path), "%s/dovecot.conf", d->dir);
    int rc = cm_file_replace(path, text.data, text.len, 0644, err);
    cm_buf_clear(&text);
    return rc;
}

/* The binaries know the paths of each other, so the packages have to be in /usr. */
static int overlay(const char *root, struct cm_err *err)
{
    char layers[256];

    if (strcmp(root, "/") == 0)
        return 0;
    snprintf(layers, sizeof(layers), "lowerdir=%s/usr:/usr", root);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "mount namespace: %m");
    if (mount("overlay", "/usr", "overlay", MS_RDONLY, layers) != 0)
        return cm_err_set(err, CM_ERR_WORLD, "overlay on /usr, %s: %m", layers);
    return 0;
}

static int wait_ready(const struct dovecot *d, struct cm_err *err)
{
    struct wire_to to = {.host = "127.0.0.1", .port = d->imap_port};
    int64_t end_ms = cm_now_mono_ms() + START_MS;

    for (;;) {
        struct wire *wire = wire_open(&to, err);
        char line[WIRE_LINE];
        int rc = wire != NULL ? wire_line(wire, line, err) : -1;
        wire_close(&wire);
        if (rc == 1)
            return 0;
        if (cm_now_mono_ms() > end_ms || waitpid(d->pid, NULL, WNOHANG) != 0)
            return cm_err_prefix(err, "Dovecot did not start; see %s/log", d->dir);
        usleep(50000);
    }
}

int dovecot_start(struct dovecot *dovecot_r, const struct dovecot_want *want,
                  struct cm_err *err)
{
    struct dovecot *d = dovecot_r;
    char conf[128];
    int ports[2];

    *d = (struct dovecot){.pid = -1};
    if (free_ports(ports, err) != 0)
        return -1;
    d->imap_port = ports[0];
    d->lmtp_port = ports[1];
    if (lay_out(d, want, err) != 0 || write_config(d, want, err) != 0 ||
        overlay(want->root, err) != 0)
        return -1;
    snprintf(conf, sizeof(conf), "%s/dovecot.conf", d->dir);
    d->pid = fork();
    if (d->pid == 0) {
        execl(PROGRAM, PROGRAM, "-F", "-c", conf, (char *)NULL);
        perror(PROGRAM);
        _exit(127);
    }
    return d->pid < 0 ? cm_err_set(err, CM_ERR_WORLD, "fork: %m") : wait_ready(d, err);
}

void dovecot_stop(struct dovecot *dovecot, bool keep)
{
    const char *argv[] = {"rm", "-rf", dovecot->dir, NULL};
    struct cm_err ignored;

    if (dovecot->pid > 0) {
        kill(dovecot->pid, SIGTERM);
        waitpid(dovecot->pid, NULL, 0);
    }
    dovecot->pid = -1;
    if (!keep && dovecot->dir[0] != '\0' &&
        cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &ignored) != 0)
        fprintf(stderr, "%s stays: %s\n", dovecot->dir, ignored.text);
    dovecot->dir[0] = '\0';
}

int dovecot_start_stock(struct dovecot *dovecot_r, const char *root,
                        unsigned hibernate_s)
{
    struct dovecot_want want = {
        .root = root, .plugin_name = "", .hibernate_s = hibernate_s};
    struct cm_err err;

    if (dovecot_start(dovecot_r, &want, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.text);
    dovecot_stop(dovecot_r, true);
    return -1;
}

size_t dovecot_log_count(const struct dovecot *dovecot, const char *text)
{
    char path[128], *data;
    struct cm_err ignored;
    size_t len, n = 0;

    snprintf(path, sizeof(path), "%s/log", dovecot->dir);
    if (cm_file_read(path, LOG_MAX, &data, &len, &ignored) < 1)
        return 0;
    char *save = NULL;
    for (char *l = strtok_r(data, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save))
        n += strstr(l, text) != NULL;
    free(data);
    return n;
}

static int expect(struct wire *wire, const char *code, struct cm_err *err)
{
    char line[WIRE_LINE];
    int rc;

    while ((rc = wire_line(wire, line, err)) == 1 && strncmp(line, code, 3) == 0) {
        if (line[3] != '-')
            return 0;
    }
    if (rc == 0)
        return cm_err_set(err, CM_ERR_RETRY, "LMTP closed");
    return rc < 0 ? -1 : cm_err_set(err, CM_ERR_REFUSE, "LMTP: %.200s", line);
}

int dovecot_deliver(const struct dovecot *dovecot, const char *to, struct cm_err *err)
{
    struct wire_to lmtp = {.host = "127.0.0.1", .port = dovecot->lmtp_port};
    struct wire *wire = wire_open(&lmtp, err);
    char rcpt[160];
    static const char text[] =
        "From: sweep@example.org\r\nSubject: x\r\n\r\nx\r\n.\r\n";

    if (wire == NULL)
        return -1;
    snprintf(rcpt, sizeof(rcpt), "RCPT TO:<%s>\r\n", to);
    const char *const steps[][2] = {{"", "220"},
                                    {"LHLO sweep\r\n", "250"},
                                    {"MAIL FROM:<sweep@example.org>\r\n", "250"},
                                    {rcpt, "250"},
                                    {"DATA\r\n", "354"},
                                    {text, "250"}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = wire_write(wire, steps[i][0], err);
        if (rc == 0)
            rc = expect(wire, steps[i][1], err);
    }
    wire_close(&wire);
    return rc;
}
