/* chatmail-expire: old mail, inactive accounts, full mailboxes, and what lies there.
 *
 * Three commands, by the first word or by the name it is started under:
 *   chatmail-expire [INI]              daily pass; counts only, unless --remove
 *   chatmail-expire quota MIB MAILBOX  = chatmail-quota-expire, by Dovecot at 75 %
 *   chatmail-expire report [INI]       = chatmail-fsreport
 *
 * It runs as vmail, opens no socket but PostgreSQL's, and ends. It trusts chatmail.ini,
 * table account and the names of files below mailboxes_dir; it follows no symbolic
 * link there.
 *
 * The daily pass looks at every file once, several mailboxes at a time. Accounts are
 * what PostgreSQL says; a directory without an account is never removed with its mail.
 * removal.h has the order in which an account goes, guard.h what stops it. PostgreSQL
 * away: mail is expired, accounts are left alone, exit 3.
 *
 * Known limits: a delivery that takes more than a second from its lookup of the account
 * to its first file may leave a directory behind when that account is removed. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

#include "expire.h"
#include "guard.h"
#include "report.h"
#include "tour.h"
#include "trim.h"

#define INI      CM_CONF_PATH
#define CONNINFO CM_PG_CONNINFO("chatmail_expire")
#define OLD_FILE "/var/www/html/metrics"
#define DAY      INT64_C(86400)
#define MIB      INT64_C(1048576)

/* What the options of all commands are read into. */
struct words {
    const char *ini;
    int64_t days;
    struct expire_options expire;
    struct report_options report;
};

enum { FOR_EXPIRE = 1, FOR_QUOTA = 2, FOR_REPORT = 4, FOR_ALL = 7 };

static int set_config(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->ini = value;
    return 0;
}

static int set_db(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->expire.conninfo = w->report.conninfo = value;
    return 0;
}

static int set_mail_only(struct words *w, const char *value, struct cm_err *err)
{
    return set_db(w, value, err); /* NULL */
}

static int set_days(struct words *w, const char *value, struct cm_err *err)
{
    return cm_value_int(value, -36500, 36500, &w->days, err);
}

static int set_maxnum(struct words *w, const char *value, struct cm_err *err)
{
    int rc = cm_value_int(value, 0, INT64_C(1) << 40, &w->expire.maxnum, err);
    w->report.maxnum = w->expire.maxnum;
    return rc;
}

static int set_remove(struct words *w, const char *value, struct cm_err *err)
{
    (void)value;
    (void)err;
    w->expire.remove = true;
    return 0;
}

static int set_dry_run(struct words *w, const char *value, struct cm_err *err)
{
    (void)value;
    (void)err;
    w->expire.remove = false;
    return 0;
}

static int set_verbose(struct words *w, const char *value, struct cm_err *err)
{
    (void)value;
    (void)err;
    w->expire.verbose = true;
    return 0;
}

static int set_force(struct words *w, const char *value, struct cm_err *err)
{
    (void)value;
    (void)err;
    w->expire.force = true;
    return 0;
}

static int set_bell(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->expire.bell = value;
    return 0;
}

static int set_bell_dir(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->expire.bell_dir = value;
    return 0;
}

static int set_max_share(struct words *w, const char *value, struct cm_err *err)
{
    return cm_value_int(value, 0, 100, &w->expire.max_share, err);
}

static int set_min_login_age(struct words *w, const char *value, struct cm_err *err)
{
    return cm_value_int(value, 0, 36500, &w->report.min_login_age, err);
}

static int set_mdir(struct words *w, const char *value, struct cm_err *err)
{
    enum walk_kind kind = walk_kind_of(value);
    if (kind == WALK_EXTRA) {
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\"; allowed: cur, new, tmp", value);
    }
    w->report.mdir = kind;
    return 0;
}

static int set_textfile(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->expire.textfile = w->report.textfile = value;
    return 0;
}

static int set_plain(struct words *w, const char *value, struct cm_err *err)
{
    (void)value;
    (void)err;
    w->report.plain = true;
    return 0;
}

static int set_old_format(struct words *w, const char *value, struct cm_err *err)
{
    (void)err;
    w->report.old_format = value != NULL ? value : OLD_FILE;
    return 0;
}

static const struct {
    const char *name;
    int has_arg;
    char letter; /* or NUL */
    unsigned commands;
    int (*set)(struct words *w, const char *value, struct cm_err *err);
    const char *value, *help;
} options[] = {
    {"config", required_argument, 0, FOR_ALL, set_config, "FILE", "settings [" INI "]"},
    {"db", required_argument, 0, FOR_EXPIRE | FOR_REPORT, set_db, "CONNINFO",
     "PostgreSQL [" CONNINFO "]"},
    {"mail-only", no_argument, 0, FOR_EXPIRE | FOR_REPORT, set_mail_only, "",
     "do not ask PostgreSQL; accounts are left alone"},
    {"days", required_argument, 0, FOR_EXPIRE | FOR_REPORT, set_days, "N",
     "as if it were N days ago"},
    {"maxnum", required_argument, 0, FOR_EXPIRE | FOR_REPORT, set_maxnum, "N",
     "look at N mailboxes only"},
    {"remove", no_argument, 0, FOR_EXPIRE, set_remove, "", "remove; else only count"},
    {"dry-run", no_argument, 0, FOR_EXPIRE, set_dry_run, "",
     "only count (the default)"},
    {"verbose", no_argument, 'v', FOR_EXPIRE, set_verbose, "",
     "a line for each removal"},
    {"force", no_argument, 0, FOR_EXPIRE, set_force, "",
     "remove however many accounts, whatever the clock says"},
    {"max-share", required_argument, 0, FOR_EXPIRE, set_max_share, "PERCENT",
     "of all accounts, removed in one run [25]"},
    {"bell", required_argument, 0, FOR_EXPIRE, set_bell, "PATH",
     "socket of chatmail-push [" CM_DOORBELL_SOCKET "]"},
    {"bell-dir", required_argument, 0, FOR_EXPIRE, set_bell_dir, "DIR",
     "its spool; none: no push [" CM_DOORBELL_DIR "]"},
    {"min-login-age", required_argument, 0, FOR_REPORT, set_min_login_age, "DAYS",
     "sizes of accounts that were not used for so long"},
    {"mdir", required_argument, 0, FOR_REPORT, set_mdir, "DIR",
     "sizes of messages in cur, new or tmp only"},
    {"textfile", required_argument, 0, FOR_EXPIRE | FOR_REPORT, set_textfile, "PATH",
     "write Prometheus text there"},
    {"legacy-metrics", optional_argument, 0, FOR_REPORT, set_old_format, "",
     "write the three old gauges [" OLD_FILE "]"},
    {"plain", no_argument, 0, FOR_REPORT, set_plain, "", "print the text all the same"},
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))
#define OPT_HELP     (1000 + (int)OPTION_COUNT)
#define OPT_VERSION  (OPT_HELP + 1)

/* Commands */

static int load(const char *ini, struct cm_conf *conf_r)
{
    struct cm_err err;
    if (cm_conf_load(ini, conf_r, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "settings", &err);
        return -1;
    }
    return 0;
}

static int run_expire(struct words *w, char **args)
{
    struct cm_conf conf;
    if (load(args[0] != NULL ? args[0] : w->ini, &conf) != 0) {
        return EXPIRE_TROUBLE;
    }
    int status = expire_run(&conf, &w->expire);
    cm_conf_clear(&conf);
    return status;
}

static int run_report(struct words *w, char **args)
{
    struct cm_conf conf;
    if (load(args[0] != NULL ? args[0] : w->ini, &conf) != 0) {
        return EXPIRE_TROUBLE;
    }
    int status = report_run(&conf, &w->report);
    cm_conf_clear(&conf);
    return status;
}

/* The mailbox's directory and its name, which Dovecot gives as one path. */
static int trim_path(const char *path, int64_t target, int64_t now)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *dir =
        slash != NULL ? cm_strndup(path, (size_t)(slash - path) + 1) : cm_strdup(".");
    struct trim_result result = {0};
    struct cm_err err;
    int base = -1;
    int rc = tour_open(dir, &base, &err);
    free(dir);
    if (rc == 0 || (rc > 0 && (name[0] == '\0' || strcmp(name, "..") == 0))) {
        rc = cm_err_set(&err, CM_ERR_WORLD, "%s is no mailbox", path);
    } else if (rc > 0) {
        rc = trim_inbox(base, name, target, now, &result, &err);
    }
    if (result.removed > 0) {
        fprintf(stderr, "quota-expire: removed %lld message(s) from %s\n",
                (long long)result.removed, name);
    }
    if (rc != 0) {
        cm_log_err(CM_LOG_ERROR, "quota_expire_failed", &err);
        return EXPIRE_TROUBLE;
    }
    return EXPIRE_OK;
}

static int run_quota(struct words *w, char **args)
{
    int64_t mib;
    struct cm_err err;
    (void)w;
    if (cm_value_int(args[0], 0, INT64_C(1) << 40, &mib, &err) != 0) {
        fprintf(stderr, "chatmail-expire: TARGET_MIB %s: %s\n", args[0], err.text);
        return EXPIRE_USAGE;
    }
    return trim_path(args[1], mib * MIB, cm_now_wall_ms() / 1000);
}

static const struct command {
    const char *word, *alias;
    unsigned bit;
    int args_min, args_max;
    int (*run)(struct words *w, char **args);
    const char *usage, *help;
} commands[] = {
    {"", "chatmail-expire", FOR_EXPIRE, 0, 1, run_expire, "[INI]",
     "Removes old and large mail, cuts full mailboxes, removes inactive accounts."},
    {"quota", "chatmail-quota-expire", FOR_QUOTA, 2, 2, run_quota, "TARGET_MIB MAILBOX",
     "Removes the oldest messages of an INBOX until TARGET_MIB is left."},
    {"report", "chatmail-fsreport", FOR_REPORT, 0, 1, run_report, "[INI]",
     "Tells sizes and ages of mail, and how many accounts are used."},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Command line */

static void print_help(const struct command *command)
{
    printf("usage: chatmail-expire%s%s [options] %s\n%s See chatmail-expire(8).\n\n",
           command->word[0] != '\0' ? " " : "", command->word, command->usage,
           command->help);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if ((options[i].commands & command->bit) != 0) {
            printf("  --%-14s %-9s %s\n", options[i].name, options[i].value,
                   options[i].help);
        }
    }
    printf("  --%-14s %-9s %s\n  --%-14s %-9s %s\n", "help", "", "this text", "version",
           "", "the version");
    if (command->bit == FOR_EXPIRE) {
        printf("\nOther commands: chatmail-expire quota --help, chatmail-expire report "
               "--help\n");
    }
}

/* Which command, and how many words its name took. */
static const struct command *choose(int argc, char **argv, int *skip_r)
{
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash != NULL ? slash + 1 : argv[0];
    *skip_r = 0;
    for (size_t i = 1; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].alias) == 0) {
            return &commands[i];
        }
        if (argc > 1 && strcmp(argv[1], commands[i].word) == 0) {
            *skip_r = 1;
            return &commands[i];
        }
    }
    return &commands[0];
}

static int mistake(const char *what, const char *why)
{
    fprintf(stderr, "chatmail-expire: %s%s; try chatmail-expire --help\n", what, why);
    return EXPIRE_USAGE;
}

static int one_option(const struct command *command, int opt, struct words *w)
{
    struct cm_err err;
    if (opt == OPT_HELP) {
        print_help(command);
        return EXPIRE_OK;
    }
    if (opt == OPT_VERSION) {
        printf("chatmail-expire %s\n", PORTICO_VERSION);
        return EXPIRE_OK;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (opt != 1000 + (int)i &&
            (options[i].letter == 0 || opt != options[i].letter)) {
            continue;
        }
        if ((options[i].commands & command->bit) == 0) {
            return mistake("not an option of this command: --", options[i].name);
        }
        if (options[i].set(w, optarg, &err) != 0) {
            (void)cm_err_prefix(&err, "--%s", options[i].name);
            return mistake(err.text, "");
        }
        return -1;
    }
    return mistake("unknown option", "");
}

/* Returns -1 to go on, else the exit status. */
static int parse(const struct command *command, int argc, char **argv, struct words *w)
{
    struct option longs[OPTION_COUNT + 3] = {0};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        longs[i] =
            (struct option){options[i].name, options[i].has_arg, NULL, 1000 + (int)i};
    }
    longs[OPTION_COUNT] = (struct option){"help", no_argument, NULL, OPT_HELP};
    longs[OPTION_COUNT + 1] =
        (struct option){"version", no_argument, NULL, OPT_VERSION};
    int opt;
    while ((opt = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
        int status = opt == '?' ? EXPIRE_USAGE : one_option(command, opt, w);
        if (status >= 0) {
            return status;
        }
    }
    if (argc - optind < command->args_min || argc - optind > command->args_max) {
        return mistake("wrong number of arguments: ", command->usage);
    }
    return -1;
}

int main(int argc, char **argv)
{
    int skip;
    const struct command *command = choose(argc, argv, &skip);
    struct words w = {.ini = INI,
                      .expire = {.conninfo = CONNINFO,
                                 .maxnum = -1,
                                 .max_share = GUARD_MAX_SHARE,
                                 .bell = CM_DOORBELL_SOCKET,
                                 .bell_dir = CM_DOORBELL_DIR},
                      .report = {.conninfo = CONNINFO, .maxnum = -1}};
    cm_log_init(command->alias, CM_LOG_INFO);
    int status = parse(command, argc - skip, argv + skip, &w);
    if (status >= 0) {
        return status;
    }
    w.expire.now = w.report.now = cm_now_wall_ms() / 1000 - w.days * DAY;
    return command->run(&w, argv + skip + optind);
}
