#include "deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"

#define MAX_WORDS      32
#define CHATOPS_MS     (15 * 60 * 1000)
#define MAX_TRANSCRIPT (4u << 20)

const struct deploy_relay deploy_relays[] = {
    {.domain = "_chat.example",
     .dir = "/root/chat",
     .ssh = "root@10.9.0.2",
     .gateways = {{"edge1", "root@198.51.100.11"},
                  {"edge2", "root@203.0.113.12"},
                  {NULL, NULL}}},
    {.domain = "_relay2.example",
     .dir = "/root/relay2",
     .ssh = "root@203.0.113.25",
     .addresses = "203.0.113.25 2001:db8:2::25"},
    {.domain = NULL},
};

static void show(int fd, const char *data, size_t n, void *ctx)
{
    (void)fd;
    struct cm_buf *transcript = ctx;
    if (transcript != NULL) {
        cm_buf_add(transcript, data, n);
        return;
    }
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, data, n);
        if (done <= 0) {
            return;
        }
        data += done;
        n -= (size_t)done;
    }
}

static int run_in_operator(struct lab *lab, const char *const *argv,
                           struct cm_buf *transcript, struct cm_err *err)
{
    struct lab_argv inside;
    if (lab_argv_in(lab, "operator", argv, &inside, err) != 0) {
        return -1;
    }
    struct cm_run run = {.argv = inside.words,
                         .timeout_ms = CHATOPS_MS,
                         .on_output = show,
                         .ctx = transcript};
    struct cm_run_result res;
    int code = cm_run(&run, &res, err) == 0 ? res.exit_code : -1;
    cm_run_result_clear(&res);
    return code;
}

int deploy_chatops(struct lab *lab, const struct deploy_relay *relay,
                   const char *const *words, char **out_r, struct cm_err *err)
{
    const char *argv[MAX_WORDS] = {"chatops"};
    size_t n = 1;
    for (; words[n - 1] != NULL; n++) {
        cm_assert(n + 3 < MAX_WORDS);
        argv[n] = words[n - 1];
    }
    char *ini = cm_asprintf("%s/chatmail.ini", relay->dir);
    argv[n++] = "--config";
    argv[n++] = ini;
    argv[n] = NULL;
    struct cm_buf transcript;
    cm_buf_init(&transcript, MAX_TRANSCRIPT);
    int code = run_in_operator(lab, argv, out_r != NULL ? &transcript : NULL, err);
    if (out_r != NULL && code >= 0) {
        *out_r = cm_buf_steal(&transcript);
    }
    cm_buf_clear(&transcript);
    free(ini);
    return code;
}

static int must(struct lab *lab, const struct deploy_relay *relay,
                const char *const *words, struct cm_err *err)
{
    int code = deploy_chatops(lab, relay, words, NULL, err);
    if (code > 0) {
        cm_err_set(err, CM_ERR_WORLD, "chatops %s ended with status %d", words[0],
                   code);
    }
    return code == 0 ? 0 : -1;
}

/* What is of the lab, and no operator would write. */
static int write_lab_settings(struct lab *lab, const struct deploy_relay *relay,
                              struct cm_err *err)
{
    bool own = relay->addresses != NULL;
    /* The nodes share this machine's load average, which says nothing about the store.
     */
    char *text = cm_asprintf("sed -i -e '/^\\[store\\]/a %s%s%s"
                             "notification_url = https://" DEPLOY_NOTIFIER_HOST
                             ":" DEPLOY_NOTIFIER_PORT "/notify'"
                             " -e '/^\\[params\\]/a max_load_1m = 1000'"
                             /* Scenarios send faster than people do. */
                             " -e '/^\\[params\\]/a max_user_send_per_minute ="
                             " 6000\\nmax_user_send_burst_size = 1000'"
                             " %s/chatmail.ini",
                             own ? "addresses = " : "", own ? relay->addresses : "",
                             own ? "\\n" : "", relay->dir);
    const char *argv[] = {"sh", "-c", text, NULL};
    int status = lab_exec_ok(lab, "operator", argv, 0, NULL, err);
    free(text);
    return status;
}

static int init_once(struct lab *lab, const struct deploy_relay *relay,
                     struct cm_err *err)
{
    char *test =
        cm_asprintf("mkdir -p %s && test -e %s/chatmail.ini", relay->dir, relay->dir);
    const char *argv[] = {"sh", "-c", test, NULL};
    int code = run_in_operator(lab, argv, NULL, err);
    free(test);
    if (code == 0) {
        return 0;
    }
    const char *init[] = {"init", relay->domain, "--ssh", relay->ssh, NULL};
    if (code < 0 || must(lab, relay, init, err) != 0 ||
        write_lab_settings(lab, relay, err) != 0) {
        return -1;
    }
    return 0;
}

int deploy_begin(struct lab *lab, const struct deploy_relay *relay, struct cm_err *err)
{
    if (init_once(lab, relay, err) != 0) {
        return -1;
    }
    for (const struct deploy_gateway *g = relay->gateways; g->name != NULL; g++) {
        const char *add[] = {"gateway", "add",      g->name, "--ssh",
                             g->ssh,    "--no-run", NULL};
        if (must(lab, relay, add, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int deploy_publish(struct lab *lab, const struct deploy_relay *relay,
                   struct cm_err *err)
{
    char *file = cm_asprintf("%s/zone", relay->dir);
    const char *dns[] = {"dns", "--zonefile", file, NULL};
    const char *cat[] = {"cat", file, NULL};
    char *zone = NULL;
    int status = -1;
    if (must(lab, relay, dns, err) == 0 &&
        lab_exec_ok(lab, "operator", cat, 0, &zone, err) == 0) {
        status = lab_zone(lab, relay->domain, zone, err);
    }
    free(zone);
    free(file);
    return status;
}

/* The three commands of README.md, and one for each further gateway; what chatops dns
 * prints is carried to the name server, and chatops dns is content with it. */
static int publish_zone(struct lab *lab, const struct deploy_relay *relay,
                        struct cm_err *err)
{
    const char *dns[] = {"dns", NULL};
    return deploy_publish(lab, relay, err) != 0 || must(lab, relay, dns, err) != 0 ? -1
                                                                                   : 0;
}

static int deploy_relay(struct lab *lab, const struct deploy_relay *relay,
                        struct cm_err *err)
{
    printf("-- %s\n", relay->domain);
    fflush(stdout);
    const char *run[] = {"run", "--yes", NULL};
    if (init_once(lab, relay, err) != 0 ||
        (relay->gateways[0].name == NULL &&
         (must(lab, relay, run, err) != 0 || publish_zone(lab, relay, err) != 0))) {
        return cm_err_prefix(err, "%s", relay->domain);
    }
    for (const struct deploy_gateway *g = relay->gateways; g->name != NULL; g++) {
        const char *add[] = {"gateway", "add", g->name, "--ssh", g->ssh, NULL};
        if (must(lab, relay, add, err) != 0 || publish_zone(lab, relay, err) != 0) {
            return cm_err_prefix(err, "%s", relay->domain);
        }
    }
    return 0;
}

/* As on a laptop: one package, from wherever apt finds it. */
int deploy_install_chatops(struct lab *lab, struct cm_err *err)
{
    const char *argv[] = {"sh", "-c",
                          "command -v chatops >/dev/null || { apt-get -qq update &&"
                          " apt-get -qq install -y --no-install-recommends"
                          " portico-chatops >/dev/null; }",
                          NULL};
    return lab_exec_ok(lab, "operator", argv, CHATOPS_MS, NULL, err);
}

int deploy_all(struct lab *lab, struct cm_err *err)
{
    if (deploy_install_chatops(lab, err) != 0) {
        return -1;
    }
    for (const struct deploy_relay *r = deploy_relays; r->domain != NULL; r++) {
        if (deploy_relay(lab, r, err) != 0) {
            return -1;
        }
    }
    return 0;
}
