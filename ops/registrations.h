/* registrations: what "chatops registrations" says about new accounts. Pure parts, for
 * tests, and what its two files share. */
#ifndef OP_REGISTRATIONS_H
#define OP_REGISTRATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"

struct op_invite_wish {
    int64_t uses, days, count;
};

#define OP_INVITE_USES_MAX  1000000
#define OP_INVITE_DAYS_MAX  3650
#define OP_INVITE_COUNT_MAX 1000

/* From the texts of the command line; NULL takes the default (1, 7, 1). */
CM_MUSTUSE int op_invite_wish(const char *uses, const char *days, const char *count,
                              struct op_invite_wish *wish_r, struct cm_err *err);

/* SQL that makes `count` invites of those hashes (64 hex digits) and answers with one
 * line "ID EXPIRES" each, in their order. Caller frees. */
char *op_invite_sql(const char (*hashes)[65], const struct op_invite_wish *wish);

/* SQL that takes back the one that a word names: a token, or an id. Answers with its id
 * when there was one. NULL (err) when the word is neither. Caller frees. */
char *op_revoke_sql(const char *word, struct cm_err *err);

/* Counts of accounts, and all invites, as one JSON object. */
extern const char op_registrations_sql[];

/* "https://chat.example.org/new?invite=TOKEN"; behind "DCACCOUNT:" it is what a QR code
 * holds. Caller frees. */
char *op_invite_url(const struct cm_conf *conf, const char *token);

/* "dclogin:NAME@DOMAIN?p=TOKEN.REST&v=1&ic=3", an account with a name and a rest by
 * chance: for a self-signed certificate, which the app takes in this form only. Caller
 * frees, with cm_wipe_str. NULL (WORLD) when the system has no randomness. */
char *op_invite_dclogin(const struct cm_conf *conf, const char *token,
                        struct cm_err *err);

/* Makes the tokens that the command line asks for, and prints them. As a verb. */
struct op_cluster;
int op_invites_make(struct op_cluster *c, struct cm_err *err);

#endif
