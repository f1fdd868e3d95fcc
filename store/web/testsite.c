#include "testsite.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "fakemta.h"

#define ANSWER_MAX (8u << 20)
#define AWAY       "host=/nonexistent dbname=chatmail user=chatmail_web"

struct testsite testsite;
static char answer[ANSWER_MAX];

/* The program */

void testsite_write(const char *path, const char *text)
{
    struct cm_err err;
    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
}

static void write_ini(const char *params, const char *store)
{
    char *text = cm_asprintf("[params]\nmail_domain = %s\nmax_message_size = %d\n"
                             "postfix_reinject_port_incoming = %d\n"
                             "[store]\nmetrics_port = %d\n%s",
                             params, TESTSITE_MESSAGE_MAX, testsite.mta_port,
                             testsite.metrics_port, store);
    testsite_write(testsite.ini_path, text);
    free(text);
}

void testsite_start(void)
{
    const char *argv[] = {WEB_PROGRAM,
                          "--config",
                          testsite.ini_path,
                          "--redis",
                          redisfixture_path(testsite.redis),
                          "--nocreate",
                          testsite.nocreate_path,
                          "--metrics-dir",
                          testsite.metrics_dir,
                          "--textfiles",
                          testsite.textfiles,
                          "--queue",
                          testsite.queue_path,
                          "--db",
                          testsite.conninfo[0] != '\0' ? testsite.conninfo : AWAY,
                          NULL};
    testsite.pid = daemonkit_start(argv, testsite.listener, "http", testsite.log_path);
    assert_int_equal(testsite_ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 404);
}

void testsite_stop(void)
{
    assert_int_equal(daemonkit_stop(testsite.pid, SIGTERM), 0);
}

/* New settings for the running program. */
void testsite_reconfigure(const char *params, const char *store)
{
    write_ini(params, store);
    assert_int_equal(truncate(testsite.log_path, 0), 0);
    kill(testsite.pid, SIGHUP);
    for (int i = 0; i < 200; i++) {
        char *log = NULL;
        struct cm_err err;
        assert_int_equal(cm_file_read(testsite.log_path, 1u << 20, &log, NULL, &err),
                         1);
        bool done = strstr(log, "event=reloaded") != NULL;
        free(log);
        if (done) {
            return;
        }
        usleep(10000);
    }
    fail_msg("not reloaded");
}

/* HTTP */

int testsite_hear(int fd)
{
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    answer[len] = '\0';
    close(fd);
    int status = 0;
    sscanf(answer, "HTTP/1.1 %d ", &status);
    return status;
}

int testsite_ask(const char *text)
{
    int fd = daemonkit_dial(testsite.http_path);
    daemonkit_say_text(fd, text);
    return testsite_hear(fd);
}

const char *testsite_body(void)
{
    const char *b = strstr(answer, "\r\n\r\n");
    assert_non_null(b);
    return b + 4;
}

const char *testsite_field(const char *name)
{
    static char value[512];
    char *want = cm_asprintf("\r\n%s: ", name);
    const char *at = strstr(answer, want);
    value[0] = '\0';
    if (at != NULL) {
        sscanf(at + strlen(want), "%511[^\r]", value);
    }
    free(want);
    return value;
}

/* /new as nginx passes it on. */
int testsite_ask_from(const char *method, const char *target, const char *client,
                      const char *local)
{
    char *text = cm_asprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-Real-IP: %s\r\n"
                             "X-Portico-Local: %s\r\nContent-Length: 0\r\n\r\n",
                             method, target, client, local);
    int status = testsite_ask(text);
    free(text);
    return status;
}

char *testsite_json(const char *key) /* caller frees; NULL: not there */
{
    json_t *root = json_loads(testsite_body(), 0, NULL);
    assert_non_null(root);
    char *text = cm_strdup(json_string_value(json_object_get(root, key)));
    json_decref(root);
    return text;
}

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

int testsite_setup(void **state)
{
    (void)state;
    testsite.redis = redisfixture_new();
    if (testsite.redis == NULL) {
        return 0;
    }
    snprintf(testsite.dir, sizeof(testsite.dir), "/tmp/web-test-XXXXXX");
    assert_non_null(mkdtemp(testsite.dir));
    snprintf(testsite.http_path, sizeof(testsite.http_path), "%s/http.sock",
             testsite.dir);
    snprintf(testsite.log_path, sizeof(testsite.log_path), "%s/log", testsite.dir);
    snprintf(testsite.ini_path, sizeof(testsite.ini_path), "%s/chatmail.ini",
             testsite.dir);
    snprintf(testsite.nocreate_path, sizeof(testsite.nocreate_path), "%s/nocreate",
             testsite.dir);
    snprintf(testsite.metrics_dir, sizeof(testsite.metrics_dir), "%s/metrics",
             testsite.dir);
    snprintf(testsite.textfiles, sizeof(testsite.textfiles), "%s/textfiles",
             testsite.dir);
    snprintf(testsite.queue_path, sizeof(testsite.queue_path), "%s/queue.sock",
             testsite.dir);
    assert_int_equal(mkdir(testsite.metrics_dir, 0755), 0);
    assert_int_equal(mkdir(testsite.textfiles, 0755), 0);
    testsite.listener = daemonkit_listen(testsite.http_path);
    testsite.mta_port = fakemta_start();
    testsite.metrics_port = free_port();
    write_ini(TESTSITE_DOMAIN, "");
    testsite_start();
    return 0;
}

int testsite_teardown(void **state)
{
    (void)state;
    if (testsite.redis == NULL) {
        return 0;
    }
    testsite_stop();
    char *command = cm_asprintf("rm -r %s", testsite.dir);
    assert_int_equal(system(command), 0);
    free(command);
    redisfixture_free(&testsite.redis);
    return 0;
}

int testsite_need(void **state)
{
    (void)state;
    if (testsite.redis == NULL) {
        skip();
    }
    return 0;
}
