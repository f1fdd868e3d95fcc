/* zoo: a mail domain whose DNS may be in any state: chat.zoo.example, delegated to
 * name servers that a scenario starts. The records are those that chatops asks for, for
 * the deployed store and two gateways that exist in DNS only; behind their addresses a
 * web server has the MTA-STS policy. */
#ifndef SCENARIOS_ZOO_H
#define SCENARIOS_ZOO_H

#include "common/err.h"

#include "nameserver.h"
#include "stage.h"

#define ZOO_ZONE  "zoo.example."
#define ZOO_MAIL  "chat.zoo.example."
#define ZOO_DOORS 3 /* IPv4 addresses of its gateways */

struct zoo {
    struct stage *stage;
    char *records; /* as `chatops dns --zonefile -` says */
    char cert[96]; /* PEM with key, on this machine */
    struct nameserver *policies[ZOO_DOORS];
};

/* Makes all that; what was left of another is no hindrance. */
CM_MUSTUSE int zoo_open(struct stage *stage, struct zoo *zoo_r, struct cm_err *err);
void zoo_close(struct zoo *zoo);
/* Takes it out of the lab. For `restore` of a scenario. */
CM_MUSTUSE int zoo_back(struct stage *stage, struct cm_err *err);

/* Zone text: SOA with that serial, head (NS and their addresses), and the records but
 * for lines that match the pattern drop (POSIX extended, may be NULL), and more. Caller
 * frees. */
char *zoo_zone(const struct zoo *zoo, unsigned serial, const char *head,
               const char *drop, const char *more);

/* The resolver forgets the zone, and who is slow. */
CM_MUSTUSE int zoo_flush(struct stage *stage, struct cm_err *err);

struct zoo_said {
    int status;  /* of chatops dns */
    char *text;  /* what it printed, stderr too */
    char *found; /* for each set that is not right "TYPE NAME VERDICT: WHY" in a line */
    char *servers; /* for each that does not answer or is stale, its name and why */
    char *policy;  /* for each gateway without policy "ADDRESS: WHY" */
};

/* chatops dns with more words, as text and --json; both must agree on the status, and
 * no line of the text but records is longer than 80 columns. */
CM_MUSTUSE int zoo_ask(struct zoo *zoo, const char *words, struct zoo_said *said_r,
                       struct cm_err *err);
void zoo_said_clear(struct zoo_said *said);
/* One run of chatops dns, as it is. Returns its status, or -1. Caller frees *out_r. */
CM_MUSTUSE int zoo_chatops(struct zoo *zoo, const char *words, char **out_r,
                           struct cm_err *err);

#endif
