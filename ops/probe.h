/* probe: a message that goes in through one gateway and is read through another, as a
 * phone would do it: submission on 465, IMAP with IDLE on 993. Blocking; the account is
 * the caller's (status_probe.h). */
#ifndef OP_PROBE_H
#define OP_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reach.h"

#define OP_PROBE_GREEN_MS 1000
#define OP_PROBE_RED_MS   10000

/* Tests turn these. */
extern uint16_t op_probe_smtp_port, op_probe_imap_port;
extern int64_t op_probe_step_ms; /* 5 s: a connect, and each answer but the next */
extern int64_t op_probe_wait_ms; /* 15 s: for the message; for the answer to it */

/* How far it got. */
enum op_stage {
    OP_STAGE_READ_OPEN,  /* connect, TLS and greeting at 993 */
    OP_STAGE_READ_LOGIN, /* LOGIN, SELECT, IDLE */
    OP_STAGE_SEND_OPEN,  /* connect, TLS and greeting at 465 */
    OP_STAGE_SEND_LOGIN, /* AUTH */
    OP_STAGE_SEND,       /* MAIL to the answer behind the message */
    OP_STAGE_ARRIVE,     /* announced in IDLE */
    OP_STAGE_DONE,
};

/* What stands between the two ends. */
enum op_hop {
    OP_HOP_NONE,
    OP_HOP_LINE,    /* this machine -> the gateway */
    OP_HOP_TUNNEL,  /* the gateway -> the store */
    OP_HOP_POSTFIX, /* takes the message */
    OP_HOP_LOGIN,   /* chatmail-auth, and Dovecot that asks it */
    OP_HOP_FILTER,  /* chatmail-filter */
    OP_HOP_QUEUE,   /* Postfix has it and does not pass it on */
    OP_HOP_LMTP,    /* Dovecot takes it from Postfix */
    OP_HOP_IMAP,    /* Dovecot shows it */
    OP_HOP_DATABASE,
};
const char *op_hop_name(enum op_hop hop);

struct op_pair {
    char in[40], out[40]; /* gateways; "store" where there is none */
    char in_address[46], out_address[46];
    enum op_stage stage;
    enum op_reach reach;   /* of the connect, in the two OPEN stages */
    char said[300];        /* why it ended, as the other side or this system put it */
    int64_t accepted_ms;   /* from MAIL to the answer behind the message; -1 */
    int64_t ms;            /* from MAIL until it was announced; -1 */
    int64_t cert_end_s[2]; /* Unix time, at in and out; -1 */
    enum op_hop hop;       /* set by op_probe_blame */
};

struct op_probe_account {
    char addr[300];
    char password[40];
};

/* Runs one pair; in, out and the addresses are set. domain: the TLS name. */
void op_probe_pair(struct op_pair *pair, const char *domain,
                   const struct op_probe_account *account);

/* The text of a message in the shape that counts as encrypted. id goes between the
 * brackets of Message-ID. Caller frees. Pure. */
char *op_probe_text(const char *addr, const char *id);

/* What the store says while a pair fails. */
struct op_probe_facts {
    bool known;  /* the store answered */
    bool tunnel; /* of the gateway that matters: it reports, or is up */
    bool box;    /* the gateway's machine answers, by SSH */
    bool postfix, filter, dovecot, auth;
    bool queued;      /* the message is in Postfix's queue */
    char reason[200]; /* why it waits there; "" */
};

/* Which hop is it? Pure. */
enum op_hop op_probe_blame(const struct op_pair *pair,
                           const struct op_probe_facts *facts);
/* The gateway whose door the pair did not get through; NULL behind the doors. */
const char *op_probe_door(const struct op_pair *pair);
/* The hop by name: "edge1 -> store tunnel" for "gateway -> store tunnel". Pure. */
void op_probe_hop(const struct op_pair *pair, char *out, size_t size);
/* "edge1 -> store tunnel: edge1 port 465: Connection refused"; for a pair that is done,
 * when it was slow. "" when all is well. Pure. */
void op_probe_wrong(const struct op_pair *pair, char *out, size_t size);

#endif
