#include "sweep.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"

struct runner {
    struct sweep *sweep;
    struct sweep_lane *lane;
    struct wire *wire;
    unsigned tag;
    bool idling;
    pthread_t thread;
};

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

    while (ms > 0 && nanosleep(&left, &left) != 0)
        ;
}

/* Reads until a line begins with `start`. */
static int until(struct wire *wire, const char *start, struct cm_err *err)
{
    char line[WIRE_LINE];
    int rc;

    while ((rc = wire_line(wire, line, err)) == 1) {
        if (strncmp(line, start, strlen(start)) == 0)
            return 0;
    }
    return rc < 0 ? -1 : cm_err_set(err, CM_ERR_RETRY, "closed before \"%s\"", start);
}

static int ask(struct runner *r, const char *command, const char *start,
               struct cm_err *err)
{
    char line[512], tagged[32];

    r->tag++;
    snprintf(line, sizeof(line), "s%u %s\r\n", r->tag, command);
    snprintf(tagged, sizeof(tagged), "s%u OK", r->tag);
    if (wire_write(r->wire, line, err) != 0)
        return -1;
    return until(r->wire, start != NULL ? start : tagged, err);
}

static int come_in(struct runner *r, struct cm_err *err)
{
    char login[256];

    r->wire = wire_open(&r->lane->imap, err);
    if (r->wire == NULL || (r->lane->tls && wire_tls(r->wire, NULL, err) != 0) ||
        until(r->wire, "* OK", err) != 0)
        return -1;
    snprintf(login, sizeof(login), "LOGIN %s %s", r->lane->user, r->lane->password);
    if (ask(r, login, NULL, err) != 0)
        return cm_err_prefix(err, "login of %s", r->lane->user);
    return ask(r, "SELECT INBOX", NULL, err);
}

static bool is_exists(const char *line)
{
    const char *last = strrchr(line, ' ');

    return line[0] == '*' && last != NULL && strcmp(last, " EXISTS") == 0;
}

/* Returns 1 and when it came, 0 when it did not come, -1 when the connection failed. */
static int wait_exists(struct runner *r, int64_t *at_ms_r, struct cm_err *err)
{
    char line[WIRE_LINE];
    int rc;
    int64_t end_ms = cm_now_mono_ms() + r->sweep->lost_ms;

    while ((rc = wire_line(r->wire, line, err)) == 1) {
        if (is_exists(line)) {
            *at_ms_r = cm_now_mono_ms();
            return 1;
        }
    }
    if (rc == 0)
        return cm_err_set(err, CM_ERR_RETRY, "closed in IDLE");
    return cm_now_mono_ms() >= end_ms ? 0 : -1;
}

/* A mail that was not announced leaves a connection whose reader gave up: another one
 * is made for the next round. */
static int one_round(struct runner *r, struct cm_err *err)
{
    struct sweep_lane *lane = r->lane;
    char tagged[32];
    int64_t sent_ms, at_ms = 0;

    if (r->wire == NULL && come_in(r, err) != 0)
        return -1;
    if (!r->idling && ask(r, "IDLE", "+ ", err) != 0)
        return cm_err_prefix(err, "IDLE");
    r->idling = lane->stay;
    sleep_ms(lane->delay_ms);
    if (r->sweep->deliver(lane, lane->done, r->sweep->ctx, err) != 0)
        return cm_err_prefix(err, "delivery to %s", lane->user);
    sent_ms = cm_now_mono_ms();
    int rc = wait_exists(r, &at_ms, err);
    if (rc < 0)
        return -1;
    lane->took_ms[lane->done++] = rc == 1 ? at_ms - sent_ms : SWEEP_LOST;
    if (rc == 0) {
        wire_close(&r->wire);
        r->idling = false;
        return 0;
    }
    if (r->idling)
        return 0;
    snprintf(tagged, sizeof(tagged), "s%u OK", r->tag);
    if (wire_write(r->wire, "DONE\r\n", err) != 0)
        return -1;
    return until(r->wire, tagged, err);
}

static void *run_lane(void *arg)
{
    struct runner *r = arg;

    sleep_ms(r->lane->start_ms);
    while (r->lane->done < r->sweep->rounds && !r->lane->failed)
        r->lane->failed = one_round(r, &r->lane->err) != 0;
    wire_close(&r->wire);
    return NULL;
}

int sweep_run(struct sweep *sweep, struct cm_err *err)
{
    struct runner *runners = cm_calloc(sweep->count, sizeof(*runners));
    int rc = 0;

    cm_assert(sweep->count <= SWEEP_LANES_MAX && sweep->rounds <= SWEEP_ROUNDS_MAX);
    for (size_t i = 0; i < sweep->count; i++) {
        sweep->lanes[i].imap.timeout_ms = sweep->lost_ms;
        runners[i] = (struct runner){.sweep = sweep, .lane = &sweep->lanes[i]};
        cm_assert(pthread_create(&runners[i].thread, NULL, run_lane, &runners[i]) == 0);
    }
    for (size_t i = 0; i < sweep->count; i++) {
        pthread_join(runners[i].thread, NULL);
        if (rc == 0 && sweep->lanes[i].failed) {
            *err = sweep->lanes[i].err;
            rc = -1;
        }
    }
    free(runners);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

struct sweep_figures sweep_figures(const struct sweep *sweep,
                                   const struct sweep_lane *lane)
{
    struct sweep_figures f = {.p50_ms = -1, .p95_ms = -1, .max_ms = -1};
    int64_t *all = cm_calloc(SWEEP_LANES_MAX * SWEEP_ROUNDS_MAX, sizeof(*all));
    size_t n = 0;

    for (size_t i = 0; i < sweep->count; i++) {
        const struct sweep_lane *l = &sweep->lanes[i];
        for (size_t k = 0; (lane == NULL || lane == l) && k < l->done; k++) {
            f.sent++;
            if (l->took_ms[k] == SWEEP_LOST)
                f.lost++;
            else
                all[n++] = l->took_ms[k];
        }
    }
    if (n > 0) {
        qsort(all, n, sizeof(*all), by_size);
        f.p50_ms = all[n / 2];
        f.p95_ms = all[n * 95 / 100];
        f.max_ms = all[n - 1];
    }
    free(all);
    return f;
}
