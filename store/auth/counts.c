#include "counts.h"

#include "common/metrics.h"

static const char *const reject_names[] = {
    [REJECT_NOCREATE] = "nocreate", [REJECT_CLOSED] = "closed",
    [REJECT_RULES] = "rules",       [REJECT_INVITE] = "invite",
    [REJECT_LIMITS] = "limits",     [REJECT_NET] = "net",
    [REJECT_GATEWAY] = "gateway",
};

static void sample(struct cm_buf *out, const char *name, const char *label,
                   const char *value, uint64_t n)
{
    const char *const labels[] = {label, value, NULL};
    cm_metric_sample(out, name, labels, (double)n);
}

void counts_write(const struct counts *counts, struct cm_buf *out)
{
    cm_metric_begin(out, "chatmail_auth_lookups_total", CM_METRIC_COUNTER,
                    "Questions of Dovecot");
    sample(out, "chatmail_auth_lookups_total", "kind", "passdb", counts->passdb);
    sample(out, "chatmail_auth_lookups_total", "kind", "userdb", counts->userdb);
    cm_metric_counter(out, "chatmail_auth_failures_total",
                      "Questions answered as a temporary failure", counts->failures);
    cm_metric_counter(out, "chatmail_auth_created_total", "Accounts created",
                      counts->created);
    cm_metric_begin(out, "chatmail_auth_rejected_total", CM_METRIC_COUNTER,
                    "New addresses refused");
    for (int i = 0; i < REJECT_KINDS; i++) {
        sample(out, "chatmail_auth_rejected_total", "reason", reject_names[i],
               counts->rejected[i]);
    }
    cm_metric_counter(out, "chatmail_auth_lane_full_total",
                      "New addresses put off because too many were under way",
                      counts->lane_full);
    cm_metric_counter(out, "chatmail_auth_wrong_total", "Wrong passwords",
                      counts->wrong);
    cm_metric_counter(out, "chatmail_auth_banned_total", "Sources that were banned",
                      counts->banned);
}
