/* report: what lies on the disk and who logs in (relay-spec.md 2.12). */
#ifndef EXPIRE_REPORT_H
#define EXPIRE_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "accounts.h"
#include "common/conf.h"
#include "crew.h"
#include "walk.h"

#define REPORT_SIZES 7
#define REPORT_AGES  5
extern const int64_t report_sizes[REPORT_SIZES]; /* bytes */
extern const int64_t report_ages[REPORT_AGES];   /* days */

struct report_options {
    int64_t now;
    const char *conninfo;   /* NULL: PostgreSQL is not asked */
    int64_t min_login_age;  /* days; 0: all */
    enum walk_kind mdir;    /* WALK_EXTRA: all three */
    int64_t maxnum;         /* -1: all */
    const char *textfile;   /* or NULL; a directory means fsreport.prom in it */
    const char *old_format; /* or NULL; file with the three gauges of 2.13 */
    bool plain;             /* the text on stdout, even with a file */
};

struct report {
    int64_t messages, extra; /* bytes */
    int64_t bytes[REPORT_SIZES], count[REPORT_SIZES];
    int64_t old_bytes[REPORT_AGES], old_count[REPORT_AGES];
    struct accounts_activity logins;
    bool logins_known;
};

/* Adds one file of a mailbox that belongs to a matching account or not. */
void report_file(struct report *report, const struct walk_file *file,
                 const struct report_options *options, bool matching);
/* Is the mailbox among those that min_login_age asks for? */
bool report_matches(const struct crew_job *job, const struct report_options *options);

/* 512 as " 0.51K", 12 345 as "   12K"; decimal units. */
void report_human(int64_t n, char out[32]);
void report_text(FILE *out, const struct report *report,
                 const struct report_options *options);
void report_prometheus(FILE *out, const struct report *report);
void report_old_format(FILE *out, const struct report *report);

/* Returns the exit status. */
int report_run(const struct cm_conf *conf, const struct report_options *options);

#endif
