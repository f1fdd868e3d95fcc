/* zoo: a mail domain whose DNS may be in any state: chat.zoo.example, delegated to
 * name servers that a scenario starts. The records are those that chatops asks for, for
 * the deployed store and two gateways that exist in DNS only; behind their addresses a
 * web server has the MTA-STS policy. */
#ifndef SCENARIOS_ZOO_H
#define SCENARIOS_ZOO_H

#include "common/err.h"

#include "nameserver.h"
#include "stage.h"

#define ZOO_ZONE   "zoo.example."
#define ZOO_MAIL   "chat.zoo.example."
#define ZOO_DOORS  3 /* IPv4 addresses of its gateways, each with a policy */
#define ZOO_DOOR_1 "198.51.100.58"
#define ZOO_DOOR_2 "198.51.100.61" /* edge1's other */
#define ZOO_DOOR_3 "198.51.100.59"

extern const char zoo_good_policy[];

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

/* Another policy behind one door (from 0 on); NULL: nothing listens there. */
CM_MUSTUSE int zoo_policy(struct zoo *zoo, size_t door, const char *policy,
                          struct cm_err *err);

/* chatops dns with more words, as text and --json at once. An error, with what was
 * seen, when the exit status is another, when no line but a record may be longer than
 * 80 columns and one is, or when one of these is not exactly so ("*" is the rest of a
 * line): found    for each set that is not right "TYPE NAME VERDICT: WHY\n" servers for
 * each that does not answer why, for one that is behind "NAME is stale" policy   for
 * each gateway without a good one "ADDRESS: WHY\n" The resolver's cache is emptied
 * first. */
CM_MUSTUSE int zoo_expect(struct zoo *zoo, const char *words, int status,
                          const char *found, const char *servers, const char *policy,
                          struct cm_err *err);
/* The same with what the resolver has. */
CM_MUSTUSE int zoo_expect_now(struct zoo *zoo, const char *words, int status,
                              const char *found, const char *servers,
                              const char *policy, struct cm_err *err);
/* One run of chatops dns, as it is. Returns its status, or -1. Caller frees *out_r. */
CM_MUSTUSE int zoo_chatops(struct zoo *zoo, const char *words, char **out_r,
                           struct cm_err *err);

#endif
