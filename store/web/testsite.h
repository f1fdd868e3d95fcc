/* testsite: chatmail-web itself, started as systemd would and asked as nginx would,
 * over a real Redis and a fakemta. For cmocka tests; what is unexpected fails the test.
 */
#ifndef WEB_TESTSITE_H
#define WEB_TESTSITE_H

#include <stddef.h>
#include <sys/types.h>

#include "redisfixture/redisfixture.h"

#define TESTSITE_DOMAIN      "chat.example.org"
#define TESTSITE_MESSAGE_MAX 2000000 /* max_message_size */

struct testsite {
    struct redisfixture *redis; /* NULL: not installed */
    char dir[64], http_path[96], log_path[96], ini_path[96], nocreate_path[96],
        metrics_dir[96], textfiles[96], queue_path[96];
    char conninfo[256]; /* set before setup when there is a PostgreSQL; else it is away
                         */
    int listener, mta_port, metrics_port;
    pid_t pid;
};
extern struct testsite testsite;

/* cmocka fixtures: of the group, and of each test (skips without Redis). */
int testsite_setup(void **state);
int testsite_teardown(void **state);
int testsite_need(void **state);
#define TESTSITE_TEST(f) cmocka_unit_test_setup(f, testsite_need)

void testsite_start(void); /* returns when it answers */
void testsite_stop(void);  /* SIGTERM; it must end well */
/* params: mail_domain's value, perhaps with more lines; store: lines of [store]. The
 * running program has read them when this returns. */
void testsite_reconfigure(const char *params, const char *store);
void testsite_write(const char *path, const char *text);

/* The last answer. */
int testsite_hear(int fd); /* until the end, closes; returns the status, 0 for none */
const char *testsite_body(void);
const char *testsite_field(const char *name); /* "" when it is not there */
char *testsite_json(const char *key);         /* caller frees; NULL: not there */

int testsite_ask(const char *text);
/* As nginx passes it on, with an empty body. */
int testsite_ask_from(const char *method, const char *target, const char *client,
                      const char *local);

#endif
