#include "tally.h"

#include "common/metrics.h"

static const char *const results[TALLY_RESULTS] = {
    [TALLY_ACCEPTED] = "accepted",
    [TALLY_DROPPED] = "dropped",
    [TALLY_REFUSED] = "refused",
    [TALLY_PUT_OFF] = "put_off",
};

static enum tally_result result_of(const struct decision *d)
{
    switch (d->action) {
    case DECIDE_ACCEPT:
        return TALLY_ACCEPTED;
    case DECIDE_DROP:
        return TALLY_DROPPED;
    case DECIDE_REFUSE:
        break;
    }
    return d->code[0] == '4' ? TALLY_PUT_OFF : TALLY_REFUSED;
}

void tally_count(struct tally *tally, const struct decision *d)
{
    atomic_fetch_add_explicit(&tally->messages[result_of(d)][d->why], 1,
                              memory_order_relaxed);
}

static void write_one(struct cm_buf *out, const char *mode, const char *name,
                      enum cm_metric_type type, const char *help, double value)
{
    const char *const labels[] = {"mode", mode, NULL};
    cm_metric_begin(out, name, type, help);
    cm_metric_sample(out, name, labels, value);
}

void tally_write(struct tally *tally, const char *mode, struct cm_buf *out)
{
    static const char name[] = "chatmail_filter_messages_total";
    cm_metric_begin(out, name, CM_METRIC_COUNTER,
                    "Messages and recipients judged, by result and reason");
    for (int r = 0; r < TALLY_RESULTS; r++) {
        for (int why = 0; why < WHYS; why++) {
            uint64_t n = tally->messages[r][why];
            const char *const labels[] = {
                "mode",     mode,     "result",
                results[r], "reason", decide_why_name((enum decide_why)why),
                NULL};
            if (n > 0) {
                cm_metric_sample(out, name, labels, (double)n);
            }
        }
    }
    write_one(out, mode, "chatmail_filter_rate_without_redis_total", CM_METRIC_COUNTER,
              "Rate checks done in this process because Redis was away",
              (double)tally->rate_here);
    write_one(out, mode, "chatmail_filter_senders_cleared_total", CM_METRIC_COUNTER,
              "Envelope senders made null because the author is another",
              (double)tally->senders_cleared);
    write_one(out, mode, "chatmail_filter_samples_total", CM_METRIC_COUNTER,
              "Rejected messages kept on request", (double)tally->samples);
    write_one(out, mode, "chatmail_filter_sessions", CM_METRIC_GAUGE,
              "Connections from Postfix that have sent mail", (double)tally->sessions);
    write_one(out, mode, "chatmail_filter_transactions", CM_METRIC_GAUGE,
              "Messages under way", (double)tally->transactions);
}
