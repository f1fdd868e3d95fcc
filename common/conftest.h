/* conftest: what the tests of conf share. Inside cmocka tests only. */
#ifndef CM_CONFTEST_H
#define CM_CONFTEST_H

#include <stddef.h>

#include "common/conf.h"

#define MINIMAL "[params]\nmail_domain = chat.example.org\n"

/* Each fails the test when the text is not accepted; clear the result. */
struct cm_conf must_parse(const char *text);
struct cm_conf with_params(const char *lines); /* MINIMAL and these */
struct cm_conf of_domain(const char *domain);

/* The whole text is refused with that message, and nothing is given out. */
void assert_fails(const char *text, const char *message);

/* What stands behind MINIMAL, so that the first line is line 3, and the message behind
 * "chatmail.ini:". */
struct wrong {
    const char *lines, *message;
};
void assert_all_fail(const struct wrong *cases, size_t count);
#define ASSERT_ALL_FAIL(table)                                                         \
    assert_all_fail(table, sizeof(table) / sizeof((table)[0]))

#endif
