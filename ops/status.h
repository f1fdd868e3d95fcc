/* status: what `chatops status` knows after a round, how it is judged and shown.
 * Private to the files of that verb. */
#ifndef OP_STATUS_H
#define OP_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cluster.h"
#include "common/buf.h"
#include "screen.h"
#include "status_probe.h"

#define OP_WRONG_MAX   48
#define OP_DISKS_MAX   8
#define OP_WAITING_MAX 10
/* Shell: a line "silent PROGRAM -" for each that /metrics at port $2 says is silent. */
#define OP_SILENT_SCRIPT                                                               \
    "timeout 6 bash -c 'exec 3<>/dev/tcp/127.0.0.1/'\"$2\"' && printf \"GET /metrics " \
    "HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n\" >&3 && cat <&3' 2>/dev/null |"        \
    " sed -n 's/^chatmail_up{program=\"\\([a-z0-9@-]*\\)\"} 0$/silent \\1 -/p'\n"
#define OP_BACKUP_STAMP  "/var/lib/portico/last-backup"
#define OP_BACKUP_LATE_S (48 * 3600)

struct op_disk {
    char path[120]; /* where it is mounted */
    long long free_bytes;
    int used_percent;
};

/* Recipients that wait for the same destination for the same reason. */
struct op_waiting {
    long long count;
    char destination[120];
    char reason[160];
};

struct op_report {
    struct op_cluster *c;
    bool answered;    /* the store did */
    json_t *cluster;  /* what "ctl status" said; NULL when it does not answer */
    json_t *units;    /* {name: state} */
    json_t *packages; /* {name: version} */
    json_t *plugins;  /* {name: what dovecot-plugin status said} */
    json_t *silent;   /* names of programs that run and do not answer */
    json_t *runs;     /* {unit: systemd's Result of what a timer last started} */
    long long queue;  /* messages; -1: not known, so below */
    struct op_waiting waiting[OP_WAITING_MAX]; /* the largest first */
    size_t waiting_count;
    bool no_dkim_key;
    long long push_oldest_s, push_success_s; /* since then */
    long long push_stuck_s; /* the oldest that came after the last success waits */
    struct op_disk disks[OP_DISKS_MAX];
    size_t disk_count;
    long long backup_age_s;    /* of OP_BACKUP_STAMP */
    struct cm_buf certificate; /* as strangers see it; op_certs_line; "": not asked */
    char invite[600];          /* of the echo bot; "" when there is none, or none yet */
    bool probed;
    struct op_ring ring; /* kept from round to round */
    char *wrong[OP_WRONG_MAX];
    size_t wrong_count;
};

/* All but the ring is as before the first question. */
void op_report_init(struct op_report *r, struct op_cluster *c);
void op_report_reset(struct op_report *r);
void op_report_clear(struct op_report *r); /* the ring must be closed */

/* One question to the store. */
CM_MUSTUSE int op_report_ask(struct op_report *r, struct cm_err *err);
/* Takes its answer; text is overwritten. Pure. */
void op_report_take(struct op_report *r, char *text);

/* Adds a line of what is wrong; the same line once. */
void op_report_wrong(struct op_report *r, const char *fmt, ...) CM_PRINTF(2, 3);
/* The same as a callback: report is a struct op_report. */
void op_report_say_wrong(void *report, const char *text);
/* Judges all of it; asks gateways that do not report. */
void op_report_judge(struct op_report *r);

/* The row of a gateway in what "ctl status" said; NULL. */
const json_t *op_report_gateway(const struct op_report *r, const char *name);
long long op_report_number(const json_t *o, const char *key); /* -1: none */
const char *op_report_text(const json_t *o, const char *key); /* "": none */

/* Everything for people, at most 80 columns but for what is wrong. all: every unit and
 * address. Pure but for the clock. */
void op_report_screen(const struct op_report *r, bool all, struct op_screen *out);
/* One object, one line. Caller owns it. Pure but for the clock. */
json_t *op_report_json(const struct op_report *r);

/* `status --page`: the SSH forward to the status page, until it is interrupted. */
CM_MUSTUSE int op_status_page(struct op_cluster *c, struct cm_err *err);

#endif
