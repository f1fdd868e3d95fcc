/* dns_servers: the part of scenario dns_variants that is about servers. */
#ifndef SCENARIOS_DNS_SERVERS_H
#define SCENARIOS_DNS_SERVERS_H

#include "common/err.h"

#include "zoo.h"

CM_MUSTUSE int dns_servers_play(struct zoo *zoo, struct cm_err *err);

#endif
