/* The program, with libcurl as the one who notifies. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "common/clock.h"
#include "common/run.h"

#include "control.h"

#define MANY 1000

static char dir[64], ca[96], control[96], url[64];
static pid_t program;

/* ---- the control socket ---- */

static char *ask(const char *line)
{
    struct cm_buf out;
    struct cm_err err;
    cm_buf_init(&out, 16u << 20);
    if (control_ask(control, line, &out, &err) != 0)
        fail_msg("%s: %s", line, err.text);
    return cm_buf_steal(&out);
}

static void tell(const char *line)
{
    char *answer = ask(line);
    assert_string_equal(answer, "");
    free(answer);
}

static void assert_asked(const char *line, const char *answer)
{
    char *text = ask(line);
    assert_string_equal(text, answer);
    free(text);
}

/* ---- a client ---- */

static CURL *client(const char *token, long version, long timeout_ms)
{
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, token);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    return curl;
}

/* The status, or minus libcurl's error. */
static long notify_by(CURL *curl)
{
    long status = 0;
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return rc == CURLE_OK ? status : -(long)rc;
}

static long notify(const char *token)
{
    CURL *curl = client(token, CURL_HTTP_VERSION_2TLS, 10000);
    long status = notify_by(curl);
    curl_easy_cleanup(curl);
    return status;
}

/* ---- tests ---- */

static int fresh(void **state)
{
    (void)state;
    tell("calm");
    tell("forget");
    return 0;
}

static void test_protocols(void **state)
{
    (void)state;
    static const struct {
        long want, got;
        const char *name;
    } kinds[] = {{CURL_HTTP_VERSION_2TLS, CURL_HTTP_VERSION_2_0, "h2"},
                 {CURL_HTTP_VERSION_1_1, CURL_HTTP_VERSION_1_1, "http/1.1"}};
    for (size_t i = 0; i < 2; i++) {
        CURL *curl = client("openpgp:abc+/=", kinds[i].want, 10000);
        long version = 0, first = 0, connection = 0, stream, second, code;
        long long at;
        char protocol[16], token[64];
        int64_t before = cm_now_wall_ms();
        assert_int_equal(notify_by(curl), 200);
        assert_int_equal(notify_by(curl), 200); /* over the same connection */
        curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
        assert_int_equal(version, kinds[i].got);
        char *list = ask("list"), *line2 = strchr(list, '\n') + 1;
        assert_int_equal(sscanf(list, "%lld %ld %ld %15s %ld %63s", &at, &connection,
                                &first, protocol, &code, token),
                         6);
        assert_in_range(at, before, cm_now_wall_ms());
        assert_string_equal(protocol, kinds[i].name);
        assert_int_equal(code, 200);
        assert_string_equal(token, "openpgp:abc+/=");
        assert_int_equal(sscanf(line2, "%*s %ld %ld", &second, &stream), 2);
        assert_int_equal(second, connection);
        assert_true(stream > first);
        free(list);
        tell("forget");
        curl_easy_cleanup(curl);
    }
}

static void test_without_h2(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *name;
    } kinds[] = {{"http/1.1", " http/1.1 "}, {"nothing", " http/1.1 "}, {"h2", " h2 "}};
    for (size_t i = 0; i < 3; i++) {
        char line[32];
        snprintf(line, sizeof(line), "offer %s", kinds[i].offer);
        tell(line);
        assert_int_equal(notify("abc"), 200); /* it would like HTTP/2 */
        char *list = ask("list");
        assert_non_null(strstr(list, kinds[i].name));
        free(list);
        tell("forget");
    }
    tell("offer nothing");
    tell("calm");
    assert_int_equal(notify("abc"), 200);
    char *list = ask("list");
    assert_non_null(strstr(list, " h2 "));
    free(list);
}

static void test_statuses(void **state)
{
    (void)state;
    tell("mood 410 dead");
    tell("mood 500 dead-later");
    assert_int_equal(notify("dead1"), 410);
    assert_int_equal(notify("dead-later1"), 500);
    assert_int_equal(notify("alive"), 200);
    tell("mood 503");
    assert_int_equal(notify("alive"), 503);
    assert_int_equal(notify("dead1"), 410);
    assert_asked("count", "5\n");
    assert_asked("count dead", "3\n");
    assert_asked("moods", "503\n410 dead\n500 dead-later\n");
    tell("calm");
    assert_int_equal(notify("dead1"), 200);
}

static void test_slow_and_silent(void **state)
{
    (void)state;
    tell("mood slow:300:410 slow");
    tell("mood silent mute");
    int64_t start = cm_now_mono_ms();
    assert_int_equal(notify("slow1"), 410);
    assert_in_range(cm_now_mono_ms() - start, 295, 5000);
    CURL *curl = client("mute1", CURL_HTTP_VERSION_2TLS, 300);
    assert_int_equal(notify_by(curl), -CURLE_OPERATION_TIMEDOUT);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    assert_int_equal(notify_by(curl), -CURLE_OPERATION_TIMEDOUT);
    curl_easy_cleanup(curl);
    assert_asked("count mute", "2\n");
    assert_int_equal(notify("other"), 200);
    tell("mood slow:60000 gone"); /* the client leaves before its answer is due */
    curl = client("gone1", CURL_HTTP_VERSION_2TLS, 200);
    assert_int_equal(notify_by(curl), -CURLE_OPERATION_TIMEDOUT);
    curl_easy_cleanup(curl);
    assert_int_equal(notify("other"), 200);
}

static void test_refuse(void **state)
{
    (void)state;
    tell("mood refuse bad");
    CURL *curl = client("good1", CURL_HTTP_VERSION_2TLS, 10000);
    assert_int_equal(notify_by(curl), 200);
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, "bad1");
    assert_true(notify_by(curl) < 0);
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, "good2");
    assert_int_equal(notify_by(curl), 200);
    tell("mood refuse");
    assert_int_equal(notify_by(curl), -CURLE_COULDNT_CONNECT);
    tell("mood 200");
    assert_int_equal(notify_by(curl), 200); /* at the same port */
    tell("drop");
    assert_int_equal(notify_by(curl), 200); /* by a new connection */
    curl_easy_cleanup(curl);
    char *stats = ask("stats");
    assert_non_null(strstr(stats, "\nopen "));
    free(stats);
}

static void test_what_is_no_notification(void **state)
{
    (void)state;
    CURL *curl = client("x", CURL_HTTP_VERSION_2TLS, 10000);
    char *other = strdup(url);
    strcpy(strrchr(other, '/'), "/other");
    curl_easy_setopt(curl, CURLOPT_URL, other);
    assert_int_equal(notify_by(curl), 404);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    assert_int_equal(notify_by(curl), 404);
    curl_easy_cleanup(curl);
    char *big = calloc(1, 70001);
    memset(big, 'x', 70000);
    assert_int_equal(notify(big), 404);
    free(big);
    free(other);
    assert_asked("count", "0\n");
}

static void test_a_stranger_is_not_trusted(void **state)
{
    (void)state;
    CURL *curl = client("x", CURL_HTTP_VERSION_2TLS, 10000);
    curl_easy_setopt(curl, CURLOPT_CAINFO, "/etc/ssl/certs/ca-certificates.crt");
    assert_true(notify_by(curl) < 0);
    curl_easy_cleanup(curl);
}

static void test_many_on_one_connection(void **state)
{
    (void)state;
    CURLM *multi = curl_multi_init();
    CURL *all[MANY];
    int running = 1;
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    for (int i = 0; i < MANY; i++) {
        char token[32];
        snprintf(token, sizeof(token), "many%04d", i);
        all[i] = client(token, CURL_HTTP_VERSION_2TLS, 30000);
        curl_multi_add_handle(multi, all[i]);
    }
    while (running > 0) {
        assert_int_equal(curl_multi_perform(multi, &running), CURLM_OK);
        curl_multi_poll(multi, NULL, 0, 100, NULL);
    }
    for (int i = 0; i < MANY; i++) {
        long status = 0;
        curl_easy_getinfo(all[i], CURLINFO_RESPONSE_CODE, &status);
        assert_int_equal(status, 200);
        curl_multi_remove_handle(multi, all[i]);
        curl_easy_cleanup(all[i]);
    }
    curl_multi_cleanup(multi);
    assert_asked("count many", "1000\n");
    char *list = ask("list"), *save = NULL, *first = NULL;
    for (char *l = strtok_r(list, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        char *connection = strchr(l, ' ') + 1;
        connection[strcspn(connection, " ")] = '\0';
        first = first == NULL ? connection : first;
        assert_string_equal(connection, first);
    }
    free(list);
    assert_asked("list 1000", "");
}

static void test_control(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "nothing", "mood", "mood blue", "list x"};
    struct cm_err err;
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(control_ask(control, bad[i], &out, &err), -1);
        assert_int_equal(err.kind, CM_ERR_REFUSE);
    }
    assert_int_equal(control_ask("/nonexistent", "help", &out, &err), -1);
    assert_int_equal(err.kind, CM_ERR_RETRY);
    assert_int_equal(out.len, 0);
    cm_buf_clear(&out);
    const char *argv[] = {NOTIFIER, "ask", control, "count", NULL};
    char *said;
    assert_int_equal(cm_run_ok(&(struct cm_run){.argv = argv}, &said, &err), 0);
    assert_string_equal(said, "0\n");
    free(said);
}

/* ---- fixture ---- */

static void make_ca(void)
{
    static const char script[] =
        "cd $1; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        " -keyout ca.key -out ca.pem -days 2 -subj /CN=test 2>&1";
    const char *argv[] = {"sh", "-ec", script, "sh", dir, NULL};
    struct cm_err err;
    if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) != 0)
        fail_msg("%s", err.text);
}

static int start(void **state)
{
    char key[96], line[64] = "";
    int pipes[2], port = 0;
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-notifier-XXXXXX");
    if (mkdtemp(dir) == NULL || pipe(pipes) != 0)
        return -1;
    make_ca();
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    snprintf(key, sizeof(key), "%s/ca.key", dir);
    snprintf(control, sizeof(control), "%s/control", dir);
    program = fork();
    if (program == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        execl(NOTIFIER, NOTIFIER, "--port", "0", "--control", control, "--ca-cert", ca,
              "--ca-key", key, "--name", "127.0.0.1", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    bool said = fgets(line, sizeof(line), out) != NULL;
    fclose(out);
    if (!said || sscanf(line, "notifier: port %d", &port) != 1)
        return -1;
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/notify", port);
    return curl_global_init(CURL_GLOBAL_DEFAULT) == 0 ? 0 : -1;
}

static int stop(void **state)
{
    const char *argv[] = {"rm", "-rf", dir, NULL};
    struct cm_err err;
    int status = -1;
    (void)state;
    kill(program, SIGTERM);
    waitpid(program, &status, 0);
    curl_global_cleanup();
    return cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) == 0 ? status : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_protocols, fresh),
        cmocka_unit_test_setup(test_without_h2, fresh),
        cmocka_unit_test_setup(test_statuses, fresh),
        cmocka_unit_test_setup(test_slow_and_silent, fresh),
        cmocka_unit_test_setup(test_refuse, fresh),
        cmocka_unit_test_setup(test_what_is_no_notification, fresh),
        cmocka_unit_test_setup(test_a_stranger_is_not_trusted, fresh),
        cmocka_unit_test_setup(test_many_on_one_connection, fresh),
        cmocka_unit_test_setup(test_control, fresh),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
