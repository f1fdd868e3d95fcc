/* cli: the command line of chatops, as two tables (verbs, options) and what was asked
 * for. Parsing (cli.c), --help (help.c), the man page and dispatch walk the same
 * tables (verbs.c). */
#ifndef OP_CLI_H
#define OP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum op_exit {
    OP_EXIT_OK = 0,
    OP_EXIT_FAILED = 1,
    OP_EXIT_USAGE = 2,
    OP_EXIT_INT = 130
};

struct op_cli {
    const char *config; /* never NULL after parsing */
    bool json;
    bool verbose;
    bool help;
    bool version;
    bool force;
    bool dry_run;
    bool yes;
    bool once;
    bool watch;
    bool no_probe;
    bool all;
    bool page;
    const char *out; /* NULL unless given; so below */
    bool form;
    bool apply;
    const char *server;
    const char *key;
    const char *zonefile;
    const char *ssh;
    const char *addresses;
    const char *number;
    const char *packages;
    const char *uses;
    const char *days;
    const char *count;
    const char *for_s;
    const char *gateway;
    const char *second;
    const char *node;
    const char *unit;
    const char *since;
    const char *grep;
    bool follow;
    bool raw;
    bool quick;
    const char *save;
    const char *baseline;
    const char *every;
    bool pf;
    bool no_run;
    bool disable_mail;
    bool website_only;
    bool skip_dns_check;
    bool mail;
    const char *to;
    bool overwrite;
    const char *only;
    bool cloud_init;
    const char *wg_key;
    const char *args[2]; /* what the verb takes beside options */
    size_t arg_count;
    const char *group; /* help on the verbs that begin so is asked for; NULL */
};

struct op_option {
    const char *name;    /* "--zonefile" */
    const char *letter;  /* "-v" or NULL */
    const char *metavar; /* NULL: a switch */
    size_t offset;       /* in struct op_cli: bool, or const char * */
    bool common;         /* every verb takes it */
    const char *help;
};

struct op_verb {
    const char *name;    /* "gateway add" */
    const char *args;    /* "DOMAIN", "OLD NEW" or "" */
    const char *options; /* its own, blank-separated: "--force" */
    const char *brief;   /* for a list of verbs: at most 46 columns */
    const char *help;
    /* Returns the exit code; -1 means OP_EXIT_FAILED with err filled and not yet said.
     */
    int (*handler)(const struct op_cli *cli, struct cm_err *err);
};

extern const struct op_option op_options[]; /* ended by name == NULL */
extern const struct op_verb op_verbs[];     /* ended by name == NULL */

/* *verb_r is NULL when only --help or --version was asked for, or nothing. An error is
 * a usage error and names what is allowed. */
CM_MUSTUSE int op_cli_parse(int argc, char **argv, struct op_cli *cli_r,
                            const struct op_verb **verb_r, struct cm_err *err);
/* Help on one verb, else on a group of verbs, else (both NULL) on everything; at most
 * 80 columns. Caller frees. */
char *op_cli_help(const struct op_verb *verb, const char *group);
/* Is the option one of that verb's own? */
bool op_cli_takes(const struct op_verb *verb, const struct op_option *option);
/* "gateway add" is in "gateway"; "registrations" in "registrations" too. */
bool op_cli_in_group(const struct op_verb *verb, const char *group);

/* Handlers, one file per verb. */
int op_init(const struct op_cli *cli, struct cm_err *err);
int op_gateway_add(const struct op_cli *cli, struct cm_err *err);
int op_gateway_invite(const struct op_cli *cli, struct cm_err *err);
int op_gateway_accept(const struct op_cli *cli, struct cm_err *err);
int op_gateway_reject(const struct op_cli *cli, struct cm_err *err);
int op_gateway_drain(const struct op_cli *cli, struct cm_err *err);
int op_gateway_resume(const struct op_cli *cli, struct cm_err *err);
int op_gateway_hold(const struct op_cli *cli, struct cm_err *err);
int op_gateway_off(const struct op_cli *cli, struct cm_err *err);
int op_gateway_remove(const struct op_cli *cli, struct cm_err *err);
int op_gateway_rotate(const struct op_cli *cli, struct cm_err *err);
int op_gateway_render(const struct op_cli *cli, struct cm_err *err);
int op_gateway_list(const struct op_cli *cli, struct cm_err *err);
int op_run(const struct op_cli *cli, struct cm_err *err);
int op_status(const struct op_cli *cli, struct cm_err *err);
int op_dns(const struct op_cli *cli, struct cm_err *err);
int op_webdev(const struct op_cli *cli, struct cm_err *err);
int op_registrations(const struct op_cli *cli, struct cm_err *err);
int op_registrations_open(const struct op_cli *cli, struct cm_err *err);
int op_registrations_closed(const struct op_cli *cli, struct cm_err *err);
int op_registrations_invite(const struct op_cli *cli, struct cm_err *err);
int op_registrations_revoke(const struct op_cli *cli, struct cm_err *err);
int op_ban(const struct op_cli *cli, struct cm_err *err);
int op_unban(const struct op_cli *cli, struct cm_err *err);
int op_test(const struct op_cli *cli, struct cm_err *err);
int op_log(const struct op_cli *cli, struct cm_err *err);
int op_bench(const struct op_cli *cli, struct cm_err *err);
int op_completion(const struct op_cli *cli, struct cm_err *err);
int op_bans(const struct op_cli *cli, struct cm_err *err);
int op_backup(const struct op_cli *cli, struct cm_err *err);
int op_restore(const struct op_cli *cli, struct cm_err *err);

#endif
