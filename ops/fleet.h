/* fleet: what chatmail-cluster knows of the gateways ("ctl status"), as plain data, and
 * what can be read from it. Pure. */
#ifndef OP_FLEET_H
#define OP_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"

#define OP_REPORT_LATE_MS 30000 /* who is silent for longer is not waited for */

struct op_member {
    char name[33];
    char mode[16]; /* as published */
    int64_t applied_epoch;
    char applied_mode[16]; /* "" before the first report */
    int64_t report_age_ms; /* -1: no report yet */
    char error[256];       /* why it could not apply; "" */
    char version[64];      /* of its program; "" */
    char health[16];       /* "up", "impaired", "down"; "" by an older store */
    char health_reason[96];
    bool agentless; /* never reports */
};

struct op_fleet {
    int64_t epoch;     /* in force on the store */
    char refused[256]; /* why the newest document is not; "" when it is */
    struct op_member members[CM_GATEWAYS_MAX];
    size_t count;
};

CM_MUSTUSE int op_fleet_parse(const char *status, struct op_fleet *fleet_r,
                              struct cm_err *err);
/* NULL when it is not part of the published state. */
const struct op_member *op_fleet_find(const struct op_fleet *fleet, const char *name);
bool op_member_reports(const struct op_member *m);

/* Has it applied the epoch in force, in that mode? `why` says what is in the way. Of
 * one without agent only that it serves is known. */
bool op_fleet_applied(const struct op_fleet *fleet, const char *name, enum cm_mode mode,
                      char *why, size_t size);
/* No other gateway takes connections, and this one is meant to. A silent gateway takes
 * none. */
bool op_fleet_is_last(const struct op_fleet *fleet, const char *name);
/* Names those (but `except` and those without agent) that have not applied the epoch in
 * force, and why:
 * "edge2 is at epoch 3 (nft said no)". Returns their number; *living_r: how many of
 * them report, so that it is worth waiting. */
size_t op_fleet_late(const struct op_fleet *fleet, const char *except, size_t *living_r,
                     char *out, size_t size);

#endif
