/* cluster: what chatmail-cluster on the store knows of its gateways. */
#ifndef SCENARIOS_CLUSTER_H
#define SCENARIOS_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "stage.h"

#define CLUSTER_GATEWAYS_MAX 8

struct cluster_gateway {
    char name[33];
    char mode[16];
    char applied_mode[16];
    int64_t applied_epoch; /* -1: unknown; so below */
    int64_t report_age_ms;
    int64_t handshake_age_s;
    char error[200];
};

struct cluster_status {
    int64_t epoch;
    struct cluster_gateway gateways[CLUSTER_GATEWAYS_MAX];
    size_t count;
};

/* From the line that `chatmail-cluster ctl status` prints. */
CM_MUSTUSE int cluster_parse(const char *line, struct cluster_status *status_r,
                             struct cm_err *err);
/* 0 when two gateways report the newest epoch, in the mode they should have, lately and
 * over a living tunnel; else an error that says what is amiss. */
CM_MUSTUSE int cluster_judge(const struct cluster_status *status, struct cm_err *err);

CM_MUSTUSE int cluster_ask(struct stage *stage, struct cluster_status *status_r,
                           struct cm_err *err);
/* Asks until judged well. status_r may be NULL. */
CM_MUSTUSE int cluster_until_well(struct stage *stage, int64_t limit_ms,
                                  struct cluster_status *status_r, struct cm_err *err);

/* chatops with its words, for the cluster's chatmail.ini or another file beside it.
 * Returns its exit status; *out_r: all it said, caller frees. */
CM_MUSTUSE int cluster_chatops(struct stage *stage, const char *ini, const char *words,
                               char **out_r, struct cm_err *err);
/* Is that in it? chatops breaks its lines at 80 columns: one blank stands for any, and
 * for the end of a line with what the next is indented by. */
bool cluster_says(const char *said, const char *words);

#define CLUSTER_DIR "/root/chat" /* in node operator */
#define CLUSTER_INI "chatmail.ini"

/* What a node's kernel was told to forward, without counters. Caller frees. */
CM_MUSTUSE int cluster_rules(struct stage *stage, const char *node, char **rules_r,
                             struct cm_err *err);

/* Puts back what was copied to `saved` (beside it, or absolute) and runs chatops; does
 * nothing when there is no copy. */
CM_MUSTUSE int cluster_ini_back(struct stage *stage, const char *saved,
                                struct cm_err *err);

#endif
