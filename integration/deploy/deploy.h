/* deploy: the two relays of the lab, set up by chatops in the operator's node exactly
 * as an operator would type it: the cluster with two gateways, and a second relay
 * without any. */
#ifndef DEPLOY_DEPLOY_H
#define DEPLOY_DEPLOY_H

#include <stdbool.h>

#include "common/err.h"
#include "lab/lab.h"

struct deploy_gateway {
    const char *name;
    const char *ssh;
};

struct deploy_relay {
    const char *domain;
    const char *dir;       /* in node operator: holds chatmail.ini and .chatops/ */
    const char *ssh;       /* of the store */
    const char *addresses; /* of the store; NULL when gateways stand in front */
    struct deploy_gateway gateways[3]; /* ended by name == NULL */
};

/* Ended by domain == NULL. The first is the cluster. */
extern const struct deploy_relay deploy_relays[];

/* Both relays push to https://HOST:PORT/notify in node client, where nobody listens
 * until a scenario does. */
#define DEPLOY_NOTIFIER_HOST "203.0.113.101"
#define DEPLOY_NOTIFIER_PORT "8443"

/* Deploys what is not deployed yet and publishes both zones. The output of chatops goes
 * to stdout as it comes. */
CM_MUSTUSE int deploy_all(struct lab *lab, struct cm_err *err);

/* The parts of it, for a relay of another table: chatops in node operator; chatmail.ini
 * with store and gateways, once; the zone that chatops dns gives. */
CM_MUSTUSE int deploy_install_chatops(struct lab *lab, struct cm_err *err);
CM_MUSTUSE int deploy_begin(struct lab *lab, const struct deploy_relay *relay,
                            struct cm_err *err);
CM_MUSTUSE int deploy_publish(struct lab *lab, const struct deploy_relay *relay,
                              struct cm_err *err);

/* Runs chatops for a relay in node operator; words: NULL-terminated, without "chatops"
 * and
 * --config. Returns its exit code, -1 when it could not run. out_r may be NULL (output
 * is shown as it comes), else it receives stdout and stderr together; caller frees. */
int deploy_chatops(struct lab *lab, const struct deploy_relay *relay,
                   const char *const *words, char **out_r, struct cm_err *err);

#endif
