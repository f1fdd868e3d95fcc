/* bench: what chatops bench measures (relay-spec.md 4.7), through one public address.
 */
#ifndef OP_BENCH_H
#define OP_BENCH_H

#include "people.h"
#include "probe/imap.h"
#include "probe/smtp.h"
#include "timings.h"

#define OP_BENCH_CROWD 10
#define OP_BENCH_SAID  240

/* An account that is online: one connection to send, one in IDLE. */
struct op_talker {
    struct op_person who;
    struct smtp *smtp;
    struct imap *imap;
};

struct op_bench {
    struct op_cluster *c;
    struct op_people people;
    struct op_entrance at;
    struct op_person crowd[OP_BENCH_CROWD]; /* accounts that exist */
    size_t crowd_count;
    struct op_talker a, b;
    char said[OP_BENCH_SAID]; /* why something failed */
};

/* One thing that is timed. Each step returns -1 with b->said. prepare comes before
 * every turn, outside the time; each may be NULL but turn. */
struct op_bench_row {
    const char *name;
    size_t n, quick_n;
    int (*prepare)(struct op_bench *b);
    int (*turn)(struct op_bench *b);
    void (*done)(struct op_bench *b); /* after the last turn */
};

extern const struct op_bench_row op_bench_rows[]; /* ended by name == NULL */

/* OP_BENCH_CROWD logins at once, of the accounts in b->crowd; their times are added. */
CM_MUSTUSE int op_bench_crowd(struct op_bench *b, struct op_timings *t);

#endif
