/* create: POST /new, its old path, and GET /new (relay-spec.md 2.11).
 *
 * A name and a password are given out; nothing is made. Refusals are JSON with a
 * "reason" for people: the client shows it. */
#ifndef WEB_CREATE_H
#define WEB_CREATE_H

#include "conn.h"

/* The route's functions; x->site is a struct site. */
void create_end(struct exchange *x);
void create_gone(struct exchange *x);

/* The value of invite= in a query, when it is a token; else "". */
void create_invite(const char *query, char *token_r, size_t size);

#endif
