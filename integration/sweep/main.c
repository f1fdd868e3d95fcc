/* idle-sweep: mail to clients in IDLE, at every delay, in a private Dovecot.
 *
 *   idle-sweep --root DIR [--plugin FILE] [--rounds N] [--from MS] [--to MS]
 *              [--step MS] [--hibernate S] [--p95 MS] [--spread MS] [--stay] [--lost]
 *              [--keep]
 *
 * One client per delay, begun --spread (20) ms apart, from --from (0) to --to (1500),
 * --step (50) apart, at most SWEEP_LANES_MAX; each gets a mail that long after its last
 * activity, --rounds times over; with --stay IDLE is not ended in between, and the
 * delay is the gap between mails. DIR is what store/dovecot/testing/unpack filled, or /
 * for the machine's own Dovecot. Prints a line per delay. Exit 0 when every mail was
 * announced and p95 is at most --p95 (30 ms); with --lost, when some was not: what
 * stock Dovecot does. --keep leaves its directory, with the log. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "dovecot.h"
#include "sweep.h"

#define LOST_MS 4000

struct options {
    struct dovecot_want want;
    long rounds, to_ms, step_ms, from_ms, p95_ms, spread_ms;
    bool lost, keep, stay;
};

static bool take_number(const char *text, long min, long max, long *out)
{
    char *end;

    *out = strtol(text, &end, 10);
    return *text != '\0' && *end == '\0' && *out >= min && *out <= max;
}

static bool take_pair(struct options *o, const char *name, const char *value)
{
    long seconds = 0;

    if (strcmp(name, "--root") == 0) {
        o->want.root = value;
        return true;
    }
    if (strcmp(name, "--plugin") == 0) {
        o->want.plugin = value;
        return true;
    }
    if (strcmp(name, "--hibernate") == 0) {
        bool good = take_number(value, 0, 60, &seconds);
        o->want.hibernate_s = (unsigned)seconds;
        return good;
    }
    if (strcmp(name, "--rounds") == 0)
        return take_number(value, 1, SWEEP_ROUNDS_MAX, &o->rounds);
    if (strcmp(name, "--from") == 0)
        return take_number(value, 0, 60000, &o->from_ms);
    if (strcmp(name, "--to") == 0)
        return take_number(value, 0, 60000, &o->to_ms);
    if (strcmp(name, "--step") == 0)
        return take_number(value, 1, 60000, &o->step_ms);
    if (strcmp(name, "--spread") == 0)
        return take_number(value, 0, 60000, &o->spread_ms);
    return strcmp(name, "--p95") == 0 && take_number(value, 1, 60000, &o->p95_ms);
}

static bool take_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--lost") == 0)
            o->lost = true;
        else if (strcmp(argv[i], "--keep") == 0)
            o->keep = true;
        else if (strcmp(argv[i], "--stay") == 0)
            o->stay = true;
        else if (i + 1 == argc || !take_pair(o, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return o->want.root != NULL && o->from_ms <= o->to_ms &&
           (o->to_ms - o->from_ms) / o->step_ms < SWEEP_LANES_MAX;
}

static int deliver(const struct sweep_lane *lane, size_t round, void *ctx,
                   struct cm_err *err)
{
    (void)round;
    return dovecot_deliver(ctx, lane->user, err);
}

static void report(const struct sweep *sweep)
{
    printf("%8s %6s %9s %7s %7s %7s\n", "delay", "sent", "announced", "p50", "p95",
           "max");
    for (size_t i = 0; i <= sweep->count; i++) {
        const struct sweep_lane *lane = i < sweep->count ? &sweep->lanes[i] : NULL;
        struct sweep_figures f = sweep_figures(sweep, lane);
        char name[24] = "all";
        if (lane != NULL)
            snprintf(name, sizeof(name), "%lld", (long long)lane->delay_ms);
        printf("%8s %6zu %9zu %7lld %7lld %7lld\n", name, f.sent, f.sent - f.lost,
               (long long)f.p50_ms, (long long)f.p95_ms, (long long)f.max_ms);
    }
}

static int play(const struct options *o, struct dovecot *dovecot, struct cm_err *err)
{
    size_t count = (size_t)((o->to_ms - o->from_ms) / o->step_ms) + 1;
    struct sweep sweep = {.lanes = cm_calloc(count, sizeof(*sweep.lanes)),
                          .count = count,
                          .rounds = (size_t)o->rounds,
                          .lost_ms = LOST_MS,
                          .deliver = deliver,
                          .ctx = dovecot};

    for (size_t i = 0; i < count; i++) {
        struct sweep_lane *l = &sweep.lanes[i];
        l->imap = (struct wire_to){.host = "127.0.0.1", .port = dovecot->imap_port};
        snprintf(l->user, sizeof(l->user), "user%zu", i);
        snprintf(l->password, sizeof(l->password), DOVECOT_PASSWORD);
        l->delay_ms = o->from_ms + (long)i * o->step_ms;
        l->stay = o->stay;
        l->start_ms = (int64_t)(i * 37 % count) * o->spread_ms;
    }
    int rc = sweep_run(&sweep, err);
    struct sweep_figures f = sweep_figures(&sweep, NULL);
    report(&sweep);
    free(sweep.lanes);
    if (rc != 0)
        return -1;
    if (o->lost != (f.lost > 0))
        return cm_err_set(err, CM_ERR_REFUSE, "%zu of %zu not announced", f.lost,
                          f.sent);
    if (!o->lost && f.p95_ms > o->p95_ms)
        return cm_err_set(err, CM_ERR_REFUSE, "p95 %lld ms", (long long)f.p95_ms);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.rounds = 1,
                        .to_ms = 1500,
                        .step_ms = 50,
                        .spread_ms = 20,
                        .p95_ms = 30,
                        .want = {.plugin_name = "chatmail_idle", .hibernate_s = 1}};
    struct dovecot dovecot;
    struct cm_err err;

    if (!take_options(argc, argv, &o)) {
        fprintf(stderr, "usage: idle-sweep --root DIR [--plugin FILE] [--rounds N]"
                        " [--from MS] [--to MS] [--step MS] [--hibernate S] [--p95 MS]"
                        " [--spread MS] [--stay] [--lost] [--keep]\n");
        return 2;
    }
    int rc = dovecot_start(&dovecot, &o.want, &err);
    if (rc == 0)
        rc = play(&o, &dovecot, &err);
    if (rc == 0 || dovecot.pid > 0) {
        printf("errors in the log: %zu, pokes: %zu\n",
               dovecot_log_count(&dovecot, "Error:"),
               dovecot_log_count(&dovecot, "chatmail_idle: woke"));
    }
    if (rc != 0)
        fprintf(stderr, "idle-sweep: %s\n", err.text);
    if (o.keep)
        printf("left: %s\n", dovecot.dir);
    dovecot_stop(&dovecot, o.keep);
    return rc == 0 ? 0 : 1;
}
