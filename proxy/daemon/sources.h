/* sources: how many connections each client network has open (IPv4 address, IPv6 /64).
 *
 * Open addressing, bounded by what was given at birth; a table that is full refuses
 * networks it does not know. */
#ifndef PROXY_SOURCES_H
#define PROXY_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct sources;

/* max: connections in all; per: of one network. */
struct sources *sources_new(size_t max, unsigned per);
void sources_free(struct sources **sources);
void sources_limit(struct sources *sources, unsigned per);

/* false: that network has as many as it may. */
bool sources_take(struct sources *sources, const struct sockaddr_storage *client);
/* One that was taken has ended. */
void sources_give(struct sources *sources, const struct sockaddr_storage *client);
/* Networks that have one open. */
size_t sources_count(const struct sources *sources);

#endif
