/* chatmail-turn: coturn as a child, asked every few seconds whether it still answers.
 *
 * coturn does not tell systemd that it lives, and Debian builds it without figures.
 * This program starts it with the settings that /usr/lib/portico/turn has made, puts a
 * STUN Binding request to each address that it listens on, and ends, with coturn, when
 * one that had answered misses three in a row, or when coturn itself ends: systemd
 * starts both anew. No socket of its own but the one for figures.
 *
 * It trusts the settings file, and nothing that comes from the network: of an answer it
 * looks at the header only.
 *
 * Known limits: whether calls are relayed well is not seen, only that coturn answers
 * and how many relayed ports it holds. coturn's own memory and time are not in the
 * figures; systemd limits and shows them. SIGTERM ends both at once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/options.h"
#include "common/service.h"

#include "probe.h"
#include "server.h"
#include "settings.h"
#include "sockets.h"
#include "watch.h"

#define PROGRAM      "chatmail-turn"
#define CONF_MAX     65536
#define UDP_MAX      (1u << 20) /* of the kernel's table */
#define EVERY_MS_MIN 10
#define EVERY_MS_MAX 60000

struct turn;

struct eye {
    struct turn *turn;
    struct probe *probe;
    struct watch watch;
};

struct turn {
    const char *number, *conf, *program;
    int64_t every_ms;
    struct cm_loop *loop;
    struct settings settings;
    pid_t server; /* 0: none */
    struct eye eyes[SETTINGS_ADDRESSES_MAX];
    bool failed;
};

static void give_up(struct turn *turn)
{
    turn->failed = true;
    cm_loop_stop(turn->loop);
}

static void on_probe(int64_t took_ms, void *ctx)
{
    struct eye *eye = ctx;
    struct turn *turn = eye->turn;
    bool was_up = watch_is_up(&eye->watch);
    watch_note(&eye->watch, took_ms);
    if (took_ms >= 0 && !was_up) {
        cm_log(CM_LOG_INFO, "turn_answers", "number", turn->number, NULL);
    }
    if (watch_is_over(&eye->watch)) {
        cm_log(CM_LOG_ERROR, "turn_silent", "number", turn->number, "effect",
               "coturn is started anew", NULL);
        give_up(turn);
    }
}

static void on_child(int signo, void *ctx)
{
    struct turn *turn = ctx;
    int status = 0;
    (void)signo;
    if (turn->server > 0 && server_ended(turn->server, &status)) {
        char text[32];
        snprintf(text, sizeof(text), "%s %d", WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        cm_log(CM_LOG_ERROR, "turn_ended", "number", turn->number, "by", text, NULL);
        turn->server = 0;
        give_up(turn);
    }
}

static int read_settings(struct turn *turn, struct cm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = cm_file_read(turn->conf, CONF_MAX, &text, &len, err);
    if (rc != 1) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_WORLD, "%s is not there", turn->conf);
    }
    rc = settings_parse(text, &turn->settings, err);
    cm_wipe(text, len); /* the secret is in it */
    free(text);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", turn->conf);
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct turn *turn = ctx;
    turn->loop = cm_service_loop(svc);
    if (read_settings(turn, err) != 0) {
        return -1;
    }
    cm_loop_on_signal(turn->loop, SIGCHLD, on_child, turn);
    pid_t pid = server_start(turn->program, turn->conf, err);
    if (pid < 0) {
        return -1;
    }
    turn->server = pid;
    for (size_t i = 0; i < turn->settings.address_count; i++) {
        struct eye *eye = &turn->eyes[i];
        eye->turn = turn;
        watch_init(&eye->watch);
        eye->probe = probe_new(turn->loop, &turn->settings.addresses[i], turn->every_ms,
                               on_probe, eye);
    }
    return 0;
}

static void on_stop(void *ctx)
{
    struct turn *turn = ctx;
    for (size_t i = 0; i < SETTINGS_ADDRESSES_MAX; i++) {
        probe_free(&turn->eyes[i].probe);
    }
    if (turn->server > 0) {
        server_end(turn->server);
        turn->server = 0;
    }
}

/* Figures */

static double is_up(const struct watch *watch)
{
    return watch_is_up(watch);
}

static double answered(const struct watch *watch)
{
    return (double)watch->answered;
}

static double missed(const struct watch *watch)
{
    return (double)watch->missed;
}

static double took_s(const struct watch *watch)
{
    return (double)watch->took_ms / 1000;
}

static const struct {
    const char *name;
    enum cm_metric_type type;
    const char *help;
    double (*value)(const struct watch *watch);
} families[] = {
    {"chatmail_turn_up", CM_METRIC_GAUGE, "1 while coturn answers there.", is_up},
    {"chatmail_turn_answered_total", CM_METRIC_COUNTER, "STUN questions answered.",
     answered},
    {"chatmail_turn_missed_total", CM_METRIC_COUNTER, "STUN questions without answer.",
     missed},
    {"chatmail_turn_answer_seconds", CM_METRIC_GAUGE, "The last answer took so long.",
     took_s},
};

static size_t count_sockets(const struct turn *turn)
{
    static const char *const tables[] = {"/proc/self/net/udp", "/proc/self/net/udp6"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct cm_err ignored;
        char *text = NULL;
        if (cm_file_read(tables[i], UDP_MAX, &text, NULL, &ignored) == 1) {
            count += sockets_count(text, &turn->settings);
        }
        free(text);
    }
    return count;
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    static const char *const sides[] = {"4", "6"};
    const struct turn *turn = ctx;
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        cm_metric_begin(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < turn->settings.address_count; i++) {
            bool v6 = turn->settings.addresses[i].ss_family == AF_INET6;
            const char *const labels[] = {"number", turn->number, "ip", sides[v6],
                                          NULL};
            const struct watch *watch = &turn->eyes[i].watch;
            if (families[f].value != took_s || watch->took_ms >= 0) {
                cm_metric_sample(out, families[f].name, labels,
                                 families[f].value(watch));
            }
        }
    }
    const char *const labels[] = {"number", turn->number, NULL};
    cm_metric_begin(out, "chatmail_turn_relayed_ports", CM_METRIC_GAUGE,
                    "UDP ports that callers hold just now.");
    cm_metric_sample(out, "chatmail_turn_relayed_ports", labels,
                     (double)count_sockets(turn));
}

static int64_t read_every(const char *text)
{
    char *end;
    long ms = strtol(text, &end, 10);
    return end == text || *end != '\0' || ms < EVERY_MS_MIN || ms > EVERY_MS_MAX ? -1
                                                                                 : ms;
}

int main(int argc, char **argv)
{
    struct turn turn = {
        .number = "0", .conf = "turnserver.conf", .program = "turnserver"};
    const char *every_ms = "5000";
    const struct cm_option options[] = {
        {"number", "N", "the gateway's number, in log and figures", &turn.number, 8},
        {"conf", "FILE", "coturn's settings", &turn.conf, 0},
        {"server", "PROGRAM", "coturn", &turn.program, 0},
        {"every-ms", "MS", "between two questions", &every_ms, 0},
        {0}};
    int status =
        cm_options_parse(PROGRAM, PORTICO_VERSION,
                         "Runs coturn for one gateway, and starts it anew when "
                         "it does not answer.\n",
                         options, argc, argv);
    if (status >= 0) {
        return status;
    }
    turn.every_ms = read_every(every_ms);
    if (turn.every_ms < 0) {
        fprintf(stderr, PROGRAM ": --every-ms: %d to %d\n", EVERY_MS_MIN, EVERY_MS_MAX);
        return 2;
    }
    /* Each of several has process figures of its own. */
    char *name = cm_asprintf(PROGRAM "@%s", turn.number);
    const struct cm_service_def def = {
        .program = name, .start = on_start, .stop = on_stop, .metrics = add_metrics};
    cm_log_init(PROGRAM, CM_LOG_INFO);
    status = cm_service_run(&def, &turn);
    free(name);
    return turn.failed ? 1 : status;
}
