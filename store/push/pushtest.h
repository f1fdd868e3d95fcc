/* pushtest: the stage on which the tests of the whole program play: one pushkit for all
 * of a test program's tests, cleared before each. Inside cmocka tests only. */
#ifndef PUSHTEST_H
#define PUSHTEST_H

#include <stdint.h>

#include "pushkit.h"

extern struct pushkit kit; /* kit.pg is NULL when PostgreSQL or Redis are missing */

/* Fixtures of the group. */
int pushtest_open(void **state);
int pushtest_close(void **state);

/* For the set-up of a test, one after the other. The first gives the service its good
 * mood back and forgets all posts, tokens and rings; the second starts push (retry_ms
 * as in pushkit_start) and its log. Both do nothing without PostgreSQL or Redis. */
void pushtest_clear(void);
void pushtest_start(const char *retry_ms);
/* The tear-down of a test. */
int pushtest_stop(void **state);
/* The first line of a test: skips it without PostgreSQL or Redis. */
void need(void);

/* The answers are valid until the next call. */
const char *sql(const char *text);
const char *redis(const char *command, const char *key);

/* Rings, and the answer is that it is on record. */
void ring(const char *addr);
/* At least so many tokens with that prefix are posted within the limit. */
void assert_come(const char *prefix, long count, int64_t limit_ms);

#endif
