/* online: upstream's online checks (relay-spec.md 6.10) against the deployed relay,
 * from this machine, through every public address. One row per check and address.
 *
 * Two accounts are made and taken away at the end. Messages go no faster than the
 * relay's own limit for one sender lets them, save in the check of that limit, which
 * has an account to itself. */
#ifndef OP_ONLINE_H
#define OP_ONLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "cluster.h"
#include "common/err.h"
#include "people.h"
#include "probe/imap.h"
#include "probe/smtp.h"

#define OP_ONLINE_STEP_MS   15000 /* for one answer */
#define OP_ONLINE_ARRIVE_MS 20000 /* for a message to come */
#define OP_ONLINE_SAID      240

enum op_verdict_online { OP_ONLINE_GOOD, OP_ONLINE_WRONG, OP_ONLINE_SKIPPED };

struct op_online {
    struct op_cluster *c;
    const struct cm_conf *conf;
    const char *second; /* domain of another relay, NULL: none */
    struct op_people people;
    struct op_person one, two, busy, far;
    char silent_25[64];   /* address whose port 25 does not answer from here */
    int64_t next_send_ms; /* monotonic: when `one` may send again */
    size_t sent;
    size_t good, wrong, skipped;
    json_t *rows;
};

struct op_online_check {
    const char *name;
    bool once; /* for the relay, through the first address; else for each */
    const char *what;
    /* said: OP_ONLINE_SAID bytes, "" before; what was seen, above all when wrong. */
    enum op_verdict_online (*run)(struct op_online *o, const struct op_entrance *at,
                                  char *said);
};

extern const struct op_online_check op_online_checks[]; /* ended by name == NULL */

/* For the checks. A port of an entrance. */
struct wire_to op_online_to(const struct op_online *o, const struct op_entrance *at,
                            int port);
/* Logged in, or NULL with the reason in said. */
struct smtp *op_online_smtp(const struct op_online *o, const struct op_entrance *at,
                            int port, const struct op_person *who, char *said);
struct imap *op_online_imap(const struct op_online *o, const struct op_entrance *at,
                            int port, const struct op_person *who, char *said);
/* Waits until `one` may send. */
void op_online_pace(struct op_online *o);
/* "well" when the code is the one wanted and words are in the text, else wrong; said
 * has the reply. */
enum op_verdict_online op_online_judge(const struct smtp_reply *reply, int code,
                                       const char *words, char *said);

typedef enum op_verdict_online op_online_run(struct op_online *o,
                                             const struct op_entrance *at, char *said);
/* online_boxes.c: who is let in, and what a mailbox tells. */
op_online_run op_online_imaps, op_online_imap_starttls, op_online_imap_alpn,
    op_online_imap_refused, op_online_capabilities, op_online_metadata, op_online_quota,
    op_online_turn, op_online_parallel;
/* online_mail.c: what may be sent, and what comes of it. */
op_online_run op_online_smtps, op_online_submission, op_online_smtp_alpn,
    op_online_smtp_refused, op_online_unencrypted, op_online_securejoin,
    op_online_forged, op_online_other_sender, op_online_delivery, op_online_rate,
    op_online_second;
/* online_door.c: what strangers see. */
op_online_run op_online_certificate, op_online_page, op_online_redirect,
    op_online_autoconfig, op_online_mta_sts, op_online_new, op_online_starttls,
    op_online_relay, op_online_vrfy, op_online_unsigned;

#endif
