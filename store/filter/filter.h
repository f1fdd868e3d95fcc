/* filter: what all sessions of the process share, and the modes as the milter sees
 * them. */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include <pthread.h>

#include "decide.h"
#include "desk.h"
#include "dkim.h"
#include "dkim_keys.h"
#include "gcra.h"
#include "rate.h"
#include "sample.h"
#include "seal.h"
#include "tally.h"
#include "verdict.h"

/* What SIGHUP may change; a transaction keeps the copy it began with. */
struct settings {
    char
        domain[ADDRESS_SIZE]; /* lower-case; "[192.0.2.1]" for a relay without a name */
    struct gcra gcra;
    bool signs; /* there is a name to sign for */
};

struct mode;

struct filter {
    const struct mode *mode;
    struct desk *desk;
    struct rate *rate;      /* outgoing */
    struct dkim_keys *keys; /* incoming */
    struct seal seal;       /* outgoing, signing */
    struct samples *samples;
    struct tally tally;
    pthread_mutex_t lock; /* of settings */
    struct settings settings;
};

/* Header fields that an outgoing message loses (relay-spec.md 3.1.3). */
enum hygiene {
    HYGIENE_RECEIVED,
    HYGIENE_ORIGIN,
    HYGIENE_MAILER,
    HYGIENE_AGENT,
    HYGIENES
};

/* One message, from MAIL to the end of its data. Lives in one thread. */
struct transaction {
    struct filter *filter;
    struct settings settings;
    bool sender_ok;            /* MAIL FROM could be read */
    char sender[ADDRESS_SIZE]; /* "" for the null sender */
    char login[ADDRESS_SIZE];  /* outgoing; "" when Postfix did not say */
    bool rate_asked, rate_ok;  /* outgoing: once a transaction */
    char queue_id[32];         /* for the log; "" until the end of the data */
    struct rcpt *rcpts;
    size_t count, room;
    struct verdict verdict;
    struct dkim *dkim;      /* incoming, while it may be needed */
    struct dkim_sign *sign; /* outgoing, signing; the same */
    char *signature;        /* decided: value of the DKIM-Signature field to add */
    struct sample *sample;
    unsigned hygiene[HYGIENES], subjects; /* how often each field occurs */
    bool null_sender; /* decided: the envelope sender becomes null */
};

#define CLEAN_SUBJECT  " [...]" /* what becomes of Subject, with its leading blank */
#define RECIPIENTS_MAX 1000     /* Postfix's smtpd_recipient_limit */

struct mode {
    const char *name;    /* "outgoing" */
    const char *program; /* the process, as systemd and the figures name it */
    enum verdict_side side;
    bool judges; /* looks at the message; else it is only signed */
    bool cleans; /* its header, see enum hygiene */
    bool signs;
    /* A recipient that Postfix would take. account: where it is delivered, "" when that
     * is not on this machine. True: it is taken; else d is a refusal of this one. */
    bool (*rcpt)(struct transaction *t, const char *account, struct decision *d);
    /* The message is complete; may block for its answers. */
    void (*end)(struct transaction *t, struct decision *d);
};

extern const struct mode mode_outgoing;
extern const struct mode mode_incoming;
extern const struct mode mode_signing;

/* Flags of all recipients, and of one more when it is not NULL, as PostgreSQL has them
 * now. False: it did not say, d puts the message off. */
bool transaction_look_up(struct transaction *t, struct rcpt *more, struct decision *d);

#endif
