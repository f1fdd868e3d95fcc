#include "scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/run.h"
#include "probe/imap.h"
#include "probe/mail.h"

#define CHAT_SERVER "/usr/local/bin/deltachat-rpc-server"

const struct scene_gateway scene_gateways[] = {
    {"edge1", 1, "198.51.100.11", "2001:db8:1::11"},
    {"edge2", 2, "203.0.113.12", "2001:db8:2::12"},
    {NULL, 0, NULL, NULL},
};

const char *scene_gateway_address(size_t i)
{
    const struct scene_gateway *gw = &scene_gateways[i / 2];
    cm_assert(i < SCENE_GATEWAY_ADDRESSES && gw->name != NULL);
    return i % 2 == 0 ? gw->v4 : gw->v6;
}

bool scene_is_gateway_address(const char *address)
{
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        if (strcmp(address, scene_gateway_address(i)) == 0) {
            return true;
        }
    }
    return false;
}

int scene_open(struct scene *scene, struct cm_err *err)
{
    *scene = (struct scene){0};
    if (lab_open(NULL, NULL, &scene->lab, err) != 0) {
        return -1;
    }
    lab_quiet(scene->lab, true);
    if (!lab_is_up(scene->lab)) {
        scene_close(scene);
        return cm_err_set(err, CM_ERR_WORLD,
                          "the lab is not up; run \"build/lab up\" or ./demo first");
    }
    return 0;
}

void scene_close(struct scene *scene)
{
    lab_close(&scene->lab);
}

/* --- inside nodes --- */

static int run_sh(struct scene *scene, const char *node, int timeout_s,
                  const char *command, char **out_r, struct cm_err *err)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    int64_t ms = (timeout_s > 0 ? timeout_s : 60) * INT64_C(1000);
    if (lab_exec_ok(scene->lab, node, argv, ms, out_r, err) != 0) {
        return cm_err_prefix(err, "%s: %.120s", node, command);
    }
    return 0;
}

int scene_sh(struct scene *scene, const char *node, int timeout_s, char **out_r,
             struct cm_err *err, const char *fmt, ...)
{
    struct cm_buf command;
    cm_buf_init(&command, 65536);
    va_list ap;
    va_start(ap, fmt);
    cm_buf_vfmt(&command, fmt, ap);
    va_end(ap);
    cm_assert(!command.overflow);
    int rc = run_sh(scene, node, timeout_s, command.data, out_r, err);
    cm_buf_clear(&command);
    return rc;
}

int scene_until(struct scene *scene, const char *node, int timeout_s,
                struct cm_err *err, const char *fmt, ...)
{
    struct cm_buf command;
    cm_buf_init(&command, 65536);
    va_list ap;
    va_start(ap, fmt);
    cm_buf_vfmt(&command, fmt, ap);
    va_end(ap);
    cm_assert(!command.overflow);
    int64_t until = cm_now_mono_ms() + timeout_s * INT64_C(1000);
    int rc;
    while ((rc = run_sh(scene, node, timeout_s, command.data, NULL, err)) != 0 &&
           cm_now_mono_ms() < until) {
        usleep(500000);
    }
    cm_buf_clear(&command);
    return rc != 0 ? cm_err_prefix(err, "not within %d s", timeout_s) : 0;
}

struct shown {
    bool inside; /* of a line */
};

static void show_chunk(int fd, const char *data, size_t n, void *ctx)
{
    struct shown *shown = ctx;
    (void)fd;
    for (size_t i = 0; i < n; i++) {
        if (!shown->inside) {
            fputs("      ", stdout);
        }
        putchar(data[i]);
        shown->inside = data[i] != '\n';
    }
    fflush(stdout);
}

int scene_show(struct scene *scene, const char *node, int timeout_s,
               const char *command, struct cm_err *err)
{
    struct lab_argv argv;
    const char *words[] = {"sh", "-c", command, NULL};
    if (lab_argv_in(scene->lab, node, words, &argv, err) != 0) {
        return -1;
    }
    struct shown shown = {0};
    struct cm_run run = {.argv = argv.words,
                         .timeout_ms = timeout_s * INT64_C(1000),
                         .on_output = show_chunk,
                         .ctx = &shown};
    if (cm_run_ok(&run, NULL, err) != 0) {
        return cm_err_prefix(err, "%s: %.120s", node, command);
    }
    return 0;
}

static char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') {
        text[--n] = '\0';
    }
    char *at = strrchr(text, '\n');
    return at == NULL ? text : at + 1;
}

int scene_mark(struct scene *scene, const char *node, struct scene_mark *mark,
               struct cm_err *err)
{
    char *out = NULL;
    if (scene_sh(scene, node, 0, &out, err,
                 "journalctl --sync; journalctl -q -n 1 -o cat --show-cursor") != 0) {
        return -1;
    }
    const char *at = strstr(last_line(out), ";t=");
    long long us = at == NULL ? 0 : strtoll(at + 3, NULL, 16);
    free(out);
    if (us <= 0) {
        return cm_err_set(err, CM_ERR_RETRY, "%s: the journal has no cursor", node);
    }
    mark->since_us = us + 1;
    return 0;
}

/* By time, since journalctl 252 with a filter skips an entry behind --after-cursor when
 * the entry of the cursor itself does not pass the filter. */
int scene_journal(struct scene *scene, const char *node, const struct scene_mark *mark,
                  const char *args, char **text_r, struct cm_err *err)
{
    return scene_sh(scene, node, 0, text_r, err,
                    "journalctl --sync; journalctl -q -o cat --no-pager %s "
                    "--since=@%lld.%06lld",
                    args, (long long)(mark->since_us / 1000000),
                    (long long)(mark->since_us % 1000000));
}

int scene_netns(struct scene *scene, const char *node, char path[64],
                struct cm_err *err)
{
    struct lab_argv argv;
    const char *words[] = {"true", NULL};
    if (lab_argv_in(scene->lab, node, words, &argv, err) != 0) {
        return -1;
    }
    snprintf(path, 64, "/proc/%s/ns/net", argv.pid);
    return 0;
}

/* --- mail accounts --- */

void scene_new_account(struct scene_account *account, const char *domain)
{
    char name[10];
    mail_random(name, sizeof name);
    mail_random(account->password, 21);
    snprintf(account->addr, sizeof account->addr, "%s@%s", name, domain);
}

int scene_create(struct scene *scene, const struct scene_account *account,
                 const char *host, struct cm_err *err)
{
    char netns[64];
    char text[256];
    enum imap_verdict verdict;
    if (scene_netns(scene, "client", netns, err) != 0) {
        return -1;
    }
    struct wire_to to = {.netns = netns, .host = host, .port = 993};
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, account->addr, account->password, &verdict, text, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "first login of %s: %s", account->addr,
                        text);
    }
    imap_close(&imap);
    return rc;
}

/* --- real clients --- */

struct chat_client *scene_chat(struct scene *scene, const char *node,
                               struct cm_err *err)
{
    struct lab_argv prefix;
    char name[9];
    const char *words[] = {NULL};
    if (lab_argv_in(scene->lab, node, words, &prefix, err) != 0) {
        return NULL;
    }
    mail_random(name, sizeof name);
    char *dir = cm_asprintf("/var/tmp/chat-%s", name);
    char *log = cm_asprintf("%s/chat-%s.log", lab_dir(scene->lab), node);
    struct chat_options options = {.prefix = prefix.words,
                                   .server = CHAT_SERVER,
                                   .accounts_dir = dir,
                                   .log_path = log};
    struct chat_client *client = chat_open(&options, err);
    free(dir);
    free(log);
    return client;
}

int scene_chat_account(struct chat_client *client, const char *domain, const char *host,
                       struct chat_end *end_r, struct cm_err *err)
{
    struct scene_account account;
    unsigned id = 0;
    scene_new_account(&account, domain);
    char *uri = chat_login_uri(account.addr, account.password, host);
    int rc = chat_account(client, uri, &id, NULL, err);
    cm_wipe_str(&uri);
    if (rc != 0) {
        return cm_err_prefix(err, "account of %s through %s", domain,
                             host != NULL ? host : "DNS");
    }
    *end_r = (struct chat_end){.client = client, .account = id};
    return 0;
}

int scene_wait_gateway(struct scene *scene, const struct scene_gateway *gw,
                       int timeout_s, struct cm_err *err)
{
    char netns[64];
    int64_t until = cm_now_mono_ms() + timeout_s * INT64_C(1000);
    if (scene_netns(scene, "client", netns, err) != 0) {
        return -1;
    }
    struct wire_to v4 = {
        .netns = netns, .host = gw->v4, .port = 993, .timeout_ms = 3000};
    struct wire_to v6 = v4;
    v6.host = gw->v6;
    for (;;) {
        struct imap *first = imap_open(&v4, err);
        struct imap *second = first != NULL ? imap_open(&v6, err) : NULL;
        bool serves = second != NULL;
        imap_close(&first);
        imap_close(&second);
        if (serves) {
            return 0;
        }
        if (cm_now_mono_ms() >= until) {
            return cm_err_prefix(err, "%s does not serve after %d s", gw->name,
                                 timeout_s);
        }
        usleep(500000);
    }
}
