#include "stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"
#include "probe/mail.h"
#include "probe/smtp.h"

#define EHLO    "stream.client.example"
#define STEP_MS 8000

struct lane {
    struct stream *stream;
    struct stream_lane plan;
    struct smtp *smtp; /* NULL between two connections */
    unsigned door;     /* 0 or 1 */
    pthread_t thread;
};

struct stream {
    const struct stage *stage;
    struct ledger *ledger;
    struct lane lanes[STREAM_LANES_MAX];
    size_t count;
    atomic_bool stop;
};

int stream_lane_make(const struct stage *stage, struct stream_lane *lane_r,
                     const struct door doors[2], const char *domain, const char *to,
                     int64_t gap_ms, struct cm_err *err)
{
    *lane_r = (struct stream_lane){.doors = {doors[0], doors[1]}, .gap_ms = gap_ms};
    snprintf(lane_r->to, sizeof lane_r->to, "%s", to);
    return account_make(stage, &lane_r->from, domain, err);
}

static struct smtp *enter(const struct stage *stage, const struct door *door,
                          const struct scene_account *from, struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, STEP_MS);
    struct smtp *smtp = smtp_open(&to, EHLO, err);
    struct smtp_reply reply;
    if (smtp == NULL) {
        return NULL;
    }
    if (smtp_auth(smtp, from->addr, from->password, &reply, err) != 0) {
        smtp_close(&smtp);
    } else if (reply.code != 235) {
        cm_err_set(err, CM_ERR_RETRY, "login: %d %.200s", reply.code, reply.text);
        smtp_close(&smtp);
    }
    return smtp;
}

/* The id is new each time: an offer that failed is not repeated, it is judged. */
static int offer(struct smtp *smtp, const struct stream_lane *lane,
                 struct ledger *ledger, struct smtp_reply *reply, struct cm_err *err)
{
    char token[17], id[LEDGER_ID];
    mail_random(token, sizeof token);
    snprintf(id, sizeof id, "%s@stream.example", token);
    char *text = mail_text(lane->from.addr, lane->to, id);
    int rc = smtp_send(smtp, lane->from.addr, lane->to, text, reply, err);
    free(text);
    ledger_add(ledger, id,
               rc != 0              ? LEDGER_UNKNOWN
               : reply->code == 250 ? LEDGER_ACCEPTED
                                    : LEDGER_REFUSED);
    return rc;
}

static void turn(struct lane *lane)
{
    struct cm_err err;
    struct smtp_reply reply;
    if (lane->smtp == NULL) {
        lane->smtp = enter(lane->stream->stage, &lane->plan.doors[lane->door],
                           &lane->plan.from, &err);
    }
    if (lane->smtp == NULL ||
        offer(lane->smtp, &lane->plan, lane->stream->ledger, &reply, &err) != 0 ||
        reply.code != 250) {
        smtp_close(&lane->smtp);
        lane->door ^= 1;
    }
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    while (!atomic_load(&lane->stream->stop)) {
        turn(lane);
        stage_sleep_ms(lane->plan.gap_ms);
    }
    smtp_close(&lane->smtp);
    return NULL;
}

struct stream *stream_start(const struct stage *stage, const struct stream_lane *lanes,
                            size_t n, struct ledger *ledger)
{
    struct stream *stream = cm_calloc(1, sizeof *stream);
    cm_assert(n <= STREAM_LANES_MAX);
    stream->stage = stage;
    stream->ledger = ledger;
    stream->count = n;
    for (size_t i = 0; i < n; i++) {
        struct lane *lane = &stream->lanes[i];
        lane->stream = stream;
        lane->plan = lanes[i];
        cm_assert(pthread_create(&lane->thread, NULL, run_lane, lane) == 0);
    }
    return stream;
}

void stream_stop(struct stream **stream)
{
    if (*stream == NULL) {
        return;
    }
    atomic_store(&(*stream)->stop, true);
    for (size_t i = 0; i < (*stream)->count; i++) {
        pthread_join((*stream)->lanes[i].thread, NULL);
    }
    free(*stream);
    *stream = NULL;
}

int stream_one(const struct stage *stage, const struct stream_lane *lane,
               struct ledger *ledger, struct cm_err *err)
{
    struct smtp_reply reply = {.code = 0};
    struct smtp *smtp = enter(stage, &lane->doors[0], &lane->from, err);
    if (smtp == NULL) {
        return -1;
    }
    int rc = offer(smtp, lane, ledger, &reply, err);
    if (rc == 0 && reply.code != 250) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "message not taken: %d %.200s", reply.code,
                        reply.text);
    }
    smtp_close(&smtp);
    return rc;
}
