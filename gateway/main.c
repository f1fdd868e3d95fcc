/* chatmail-gateway: a front door of a chatmail cluster.
 *
 * It forwards the public mail ports of this node through WireGuard to the store, which
 * dials in. What to forward, and whether at all, is said by one signed document that
 * the store hands out over the tunnel (docs/bus.md); this program verifies it, renders
 * nftables, WireGuard and address text, applies it, reads it back and reports once a
 * second.
 *
 * Sockets: none that listen. Connects to tcp 10.77.N.2:4710..4712, inside the tunnel,
 * and asks that address for an echo once a second (a raw ICMP socket).
 * Reads: /etc/chatmail/gateway.conf and /etc/chatmail/wg.key. Writes nothing to the
 * disk: the newest epoch is remembered by a name in "table inet chatmail". Trusts:
 * documents signed with the pinned cluster key, of an epoch not older than the one in
 * force. Everything else from the store is a rumour.
 *
 * Known limits: after a reboot the newest epoch is forgotten, so an older document that
 * was really signed would be taken until the store shows the newest. Flows are counted
 * by the programs that carry them (carry.h), without those from /proc/net/nf_conntrack,
 * without that the report says -1. */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "carry.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/run.h"
#include "common/service.h"
#include "engine.h"
#include "fetch.h"
#include "proxy/apply.h"
#include "proxy/plane.h"

#define DEFAULT_CONFIG "/etc/chatmail/gateway.conf"
#define DEFAULT_KEY    "/etc/chatmail/wg.key"
#define LARGE          (32 * 1024)

struct options {
    const char *config;
    const char *key;
    const char *document;
};

struct program {
    const struct options *options;
    struct cm_service *svc;
    struct gw_boot boot;
    struct gw_engine *engine;
    struct gw_fetch *fetch;
    int kept_flows; /* from the process before this one; -1 */
};

/* ---- the daemon ---- */

static void on_document(const char *envelope, size_t len, void *ctx)
{
    struct program *p = ctx;
    gw_engine_offer(p->engine, envelope, len);
}

static void on_answered(void *ctx)
{
    struct program *p = ctx;
    gw_engine_heard(p->engine);
}

static int64_t on_epoch(void *ctx)
{
    struct program *p = ctx;
    return gw_engine_epoch(p->engine);
}

static void on_report(const struct px_report *report, void *ctx)
{
    struct program *p = ctx;
    char *text = px_report_dump(report);
    gw_fetch_report(p->fetch, text);
    free(text);
}

static void on_in_force(int number, int bus_port, void *ctx)
{
    struct program *p = ctx;
    struct cm_err err;
    if (gw_fetch_target(p->fetch, number, bus_port, &err) != 0) {
        cm_log_err(CM_LOG_WARNING, "bus_failed", &err);
    }
}

static void on_state(const char *name, int64_t epoch, void *ctx)
{
    struct program *p = ctx;
    cm_service_status(p->svc, "%s: %s, epoch %" PRId64, p->boot.name, name, epoch);
}

static int load_key(const char *path, char key[PX_WG_KEY_TEXT], struct cm_err *err)
{
    int rc = px_wgkey_load(path, key, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s is not there; run \"chatmail-gateway keygen\"", path);
    }
    return rc < 0 ? -1 : 0;
}

static int start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct program *p = ctx;
    char key[PX_WG_KEY_TEXT];
    struct gw_fetch_hooks fetch_hooks = {on_document, on_answered, on_epoch, p};
    struct gw_engine_hooks engine_hooks = {on_report, on_in_force, on_state, p};
    p->svc = svc;
    if (gw_boot_load(p->options->config, &p->boot, err) != 0 ||
        load_key(p->options->key, key, err) != 0) {
        return -1;
    }
    p->engine = gw_engine_new(cm_service_loop(svc), &p->boot, key, p->kept_flows,
                              &engine_hooks);
    cm_wipe(key, sizeof(key));
    p->fetch = gw_fetch_new(cm_service_loop(svc), p->boot.name, &fetch_hooks, err);
    if (p->fetch == NULL) {
        gw_engine_free(&p->engine);
        return -1;
    }
    return gw_fetch_target(p->fetch, p->boot.number, p->boot.bus_port, err);
}

static int reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct program *p = ctx;
    struct gw_boot boot;
    if (gw_boot_load(p->options->config, &boot, err) != 0) {
        return -1;
    }
    if (strcmp(boot.name, p->boot.name) != 0 || boot.number != p->boot.number) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "name or number changed: restart chatmail-gateway instead");
    }
    p->boot = boot;
    gw_engine_boot(p->engine, &boot);
    return 0;
}

static void stop(void *ctx)
{
    struct program *p = ctx;
    gw_engine_free(&p->engine);
    gw_fetch_free(&p->fetch);
}

/* A document and the texts made of it are large for a moment: what large pieces took is
 * given back when they are freed, and the worker has no heap of its own. */
static void stay_small(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, LARGE);
}

static void take_flows(int fd, void *ctx)
{
    struct program *p = ctx;
    p->kept_flows = fd;
}

static int run_daemon(const struct options *options)
{
    static const struct cm_listener kept[] = {
        {.name = GW_CARRY_KEPT, .hand_over = take_flows}, {.name = NULL}};
    static const struct cm_service_def def = {.program = "chatmail-gateway",
                                              .listeners = kept,
                                              .start = start,
                                              .reload = reload,
                                              .stop = stop};
    struct program p = {.options = options, .kept_flows = -1};
    stay_small();
    return cm_service_run(&def, &p);
}

/* ---- the other verbs ---- */

static int complain(const struct cm_err *err)
{
    fprintf(stderr, "chatmail-gateway: %s\n", err->text);
    return 1;
}

static int run_keygen(const struct options *options)
{
    char public_key[PX_WG_KEY_TEXT];
    struct cm_err err;
    if (px_wgkey_make(options->key, public_key, &err) != 0) {
        return complain(&err);
    }
    printf("{\"wg\":\"%s\"}\n", public_key);
    return 0;
}

static int load_document(const struct options *options, const struct gw_boot *boot,
                         struct px_state *state, struct cm_err *err)
{
    if (options->document == NULL) {
        gw_boot_state(boot, state);
        return 0;
    }
    char *text = NULL;
    size_t len;
    int rc = cm_file_read(options->document, 1 << 20, &text, &len, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s is not there", options->document);
    }
    if (rc == 1) {
        rc = px_envelope_open(boot->cluster_key, text, len, state, err);
    }
    free(text);
    return rc;
}

static int show_rendered(const struct px_state *state, const struct gw_boot *boot,
                         struct cm_err *err)
{
    const struct px_gateway *gw = px_state_find(state, boot->name);
    if (gw == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "gateway %s is not in the document",
                          boot->name);
    }
    char *texts[] = {px_gateway_wg(state, gw, "(hidden)"), px_gateway_ip(state, gw),
                     px_gateway_nft(state, gw)};
    static const char *const titles[] = {"wg syncconf wg0", "ip -batch", "nft -f"};
    for (size_t i = 0; i < 3; i++) {
        printf("# %s\n%s\n", titles[i], texts[i]);
        free(texts[i]);
    }
    return 0;
}

static int show_in_force(struct cm_err *err)
{
    static const char *const argv[] = {"nft",  "list",     "table",
                                       "inet", "chatmail", NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = 20000};
    struct px_loaded loaded;
    int found = px_loaded(&loaded, err);
    if (found < 0) {
        return -1;
    }
    if (found == 0) {
        printf("# no rules of ours are loaded\n");
        return 0;
    }
    char *text = NULL;
    if (cm_run_ok(&run, &text, err) != 0) {
        return -1;
    }
    printf("# in force: epoch %" PRId64 "\n%s", loaded.epoch, text);
    free(text);
    return 0;
}

static int run_show(const struct options *options)
{
    struct gw_boot boot;
    struct px_state *state = cm_calloc(1, sizeof(*state));
    struct cm_err err;
    int rc = gw_boot_load(options->config, &boot, &err);
    if (rc == 0) {
        rc = load_document(options, &boot, state, &err);
    }
    if (rc == 0) {
        rc = show_rendered(state, &boot, &err);
    }
    if (rc == 0 && options->document == NULL) {
        rc = show_in_force(&err);
    }
    free(state);
    return rc == 0 ? 0 : complain(&err);
}

static const struct {
    const char *name;
    int (*run)(const struct options *options);
    const char *help;
} verbs[] = {
    {"run", run_daemon, "the daemon (also without a verb)"},
    {"keygen", run_keygen,
     "make the WireGuard key if there is none; print its public half"},
    {"show", run_show,
     "print what gateway.conf (or --document FILE) renders to, and what is in force"},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(void)
{
    printf("usage: chatmail-gateway [OPTIONS] [VERB]\n\n");
    for (size_t i = 0; i < VERBS; i++) {
        printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
    }
    printf("\n  --config FILE    default " DEFAULT_CONFIG "\n"
           "  --key FILE       default " DEFAULT_KEY "\n"
           "  --document FILE  show: a signed document instead of gateway.conf alone\n"
           "  --help, --version\n");
}

static int dispatch(const char *verb, const struct options *options)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verb, verbs[i].name) == 0) {
            return verbs[i].run(options);
        }
    }
    fprintf(stderr, "chatmail-gateway: unknown verb \"%s\"; see --help\n", verb);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"document", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    struct options options = {DEFAULT_CONFIG, DEFAULT_KEY, NULL};
    for (int c; (c = getopt_long(argc, argv, "c:k:d:hv", longs, NULL)) != -1;) {
        switch (c) {
        case 'c':
            options.config = optarg;
            break;
        case 'k':
            options.key = optarg;
            break;
        case 'd':
            options.document = optarg;
            break;
        case 'h':
            help();
            return 0;
        case 'v':
            printf("chatmail-gateway %s\n", PORTICO_VERSION);
            return 0;
        default:
            return 2;
        }
    }
    return dispatch(optind < argc ? argv[optind] : "run", &options);
}
