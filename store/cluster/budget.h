/* budget: what goes through each gateway's own network in a month (UTC), for its
 * traffic budget; kept in PostgreSQL (031-traffic.sql), so that neither a restart here
 * nor a reboot there loses it.
 *
 * A gateway reports a counter that begins anew with each boot. What it carried while
 * nobody listened is added with its next report, to the month of that. What a gateway
 * had carried before it was first heard does not count. Written every
 * BUDGET_WRITE_MS, sum and counter together: what was not written before a stop is in
 * the next report's counter. A gateway may lie: it harms its own egress duty alone. */
#ifndef BUDGET_H
#define BUDGET_H

#include <stdint.h>

#include "common/loop.h"
#include "common/pg.h"
#include "proxy/report.h"
#include "proxy/state.h"

#define BUDGET_WRITE_MS 30000

struct budget;

/* pg is borrowed. */
struct budget *budget_new(struct cm_loop *loop, struct cm_pg *pg);
void budget_free(struct budget **budget); /* after pg */

/* now_ms: wall clock. Before the table has been read nothing is taken, nor lost. */
void budget_report(struct budget *budget, const struct px_report *report,
                   int64_t now_ms);
/* Now, what is new; by itself it does so every BUDGET_WRITE_MS. */
void budget_write(struct budget *budget);

/* Of this month; -1: unknown. */
int64_t budget_bytes(const struct budget *budget, const char *name, int64_t now_ms);

/* The pure part. "2026-11" of that time; out: 8 bytes. */
void budget_month(int64_t now_ms, char out[8]);

struct budget_row {
    char name[33]; /* "": free */
    char month[8];
    char boot[37];
    int64_t counter;
    int64_t bytes;
    bool dirty;
};
/* Adds what the counter says since the row's last; a row without a boot begins here. */
void budget_add(struct budget_row *row, const struct px_counts *counts,
                const char month[8]);

#endif
