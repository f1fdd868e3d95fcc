/* people: throw-away accounts of the relay, for chatops test and bench; and the public
 * addresses by which they come. */
#ifndef OP_PEOPLE_H
#define OP_PEOPLE_H

#include <stddef.h>
#include <stdint.h>

#include "cluster.h"
#include "common/err.h"

#define OP_PEOPLE_MAX    200 /* accounts of one run */
#define OP_ENTRANCES_MAX (CM_GATEWAYS_MAX * CM_ADDRESSES_MAX)

struct op_person {
    char addr[320];
    char password[80];
};

struct op_people {
    struct op_cluster *c;
    char invite[16]; /* token that new accounts need, "" */
    char (*addrs)[320];
    size_t count;
};

/* One public address. */
struct op_entrance {
    const char *gateway; /* "store" when none stands in front */
    char address[64];
};

/* Where registrations want an invite one is made, good for a day and `uses` accounts;
 * where they are closed it is an error. From then on interrupt.h tells of Ctrl-C, so
 * that who runs may end and take the accounts away. */
CM_MUSTUSE int op_people_open(struct op_people *p, struct op_cluster *c, int64_t uses,
                              struct cm_err *err);
/* A name and a password that nobody has; the first login makes the account. Those of
 * another domain are not taken away. */
void op_people_new(struct op_people *p, const char *domain, struct op_person *who_r);
/* Takes all accounts away, and the invite; their mailboxes go with the next nightly
 * expiry. What could not be done is said. */
void op_people_close(struct op_people *p);

/* SQL of that, for tests. Caller frees. */
char *op_people_forget_sql(const struct op_people *p);

/* All that take connections, or those of the gateway that --gateway names. */
CM_MUSTUSE int op_entrances(const struct op_cluster *c,
                            struct op_entrance out[OP_ENTRANCES_MAX], size_t *n_r,
                            struct cm_err *err);

#endif
