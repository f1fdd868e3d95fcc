/* What is measured, against a web server on loopback in a network namespace of its own:
 * one of ours that answers as the store's does, and nginx itself where it is installed.
 */
#include "measure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

#define SKIPPED 77
#define NGINX   "/usr/sbin/nginx"
#define ADDRESS "198.51.100.11"

static char dir[] = "/tmp/chatops-measure-XXXXXX";

/* ---- a web server ---- */

static void answer(int fd, FILE *log, const char *client)
{
    static char in[16384];
    size_t len = 0;

    for (ssize_t n; (n = read(fd, in + len, sizeof(in) - 1 - len)) > 0;) {
        len += (size_t)n;
        in[len] = '\0';
        if (strstr(in, "\r\n\r\n") == NULL) {
            continue;
        }
        char *path = in + 4;
        path[strcspn(path, " ")] = '\0';
        fprintf(log, "%s \"GET chat.example%.150s\" 301 300\n", client, path);
        fflush(log);
        dprintf(fd,
                "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 5\r\n"
                "Location: https://chat.example%s\r\n\r\nmoved",
                path);
        len = 0;
    }
}

static void serve(int fd)
{
    FILE *log = fopen("/proc/self/cwd/log", "a");

    for (int conn; (conn = accept(fd, NULL, NULL)) >= 0; close(conn)) {
        answer(conn, log, ADDRESS);
    }
}

static pid_t start_ours(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        serve(fd);
        _exit(0);
    }
    close(fd);
    return pid;
}

/* As ops/templates/nginx/nginx.conf has port 80; its log goes to a file here. */
static pid_t start_nginx(void)
{
    char *text = cm_asprintf(
        "daemon off; master_process off; pid %s/pid; error_log %s/error;\n"
        "events {}\nhttp {\n"
        " log_format portico '$remote_addr \"$request_method $host$uri\" $status "
        "$bytes_sent';\n access_log %s/log portico;\n"
        " server { listen 80 default_server;\n"
        "  location / { return 301 https://$host$request_uri; } } }\n",
        dir, dir, dir);
    char *path = cm_asprintf("%s/nginx.conf", dir);
    struct cm_err err;

    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        execl(NGINX, NGINX, "-c", path, (char *)NULL);
        _exit(127);
    }
    free(path);
    free(text);
    for (int i = 0; i < 100; i++) {
        char said[120];
        if (op_reach_tcp(ADDRESS, 80, NULL, 1000, said, sizeof(said)) == OP_REACH_OK) {
            break;
        }
        usleep(50 * 1000);
    }
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- tests ---- */

static char address_list[] = ADDRESS;
static struct cm_conf_gateway gateway = {.addresses = address_list};

static struct op_view measure(void)
{
    struct op_node node = {.gateway = &gateway};
    static struct op_view views[CM_ADDRESSES_MAX];
    struct op_host here;
    struct cm_err err = {.text = ""};

    assert_int_equal(op_measure(&node, "chat.example", 2222, views), 1);
    op_host_init(&here, "store", "", dir);
    if (op_measure_seen(&here, views, 1, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return views[0];
}

static void check_good(void)
{
    struct op_view v = measure();
    char why[300];

    assert_string_equal(v.here, ADDRESS);
    assert_string_equal(v.seen, ADDRESS);
    assert_int_equal(op_measure_who(&v, &gateway), OP_SEEN_US);
    assert_true(v.store_us > 0 && v.gateway_us > 0);
    if (!v.full) {
        fail_msg("%s", v.stuck);
    }
    assert_in_range(v.up, 56000, 70000);
    assert_in_range(v.down, 56000, 70000);
    assert_in_range(v.out_segment, 1380, 1460);
    assert_int_equal(v.doors[0].port, 25);
    assert_int_equal(v.doors[0].result, OP_REACH_BAD);
    assert_int_equal(v.doors[1].port, 80);
    assert_int_equal(v.doors[1].result, OP_REACH_OK);
    assert_true(op_measure_wrong(&v, &gateway, why, sizeof(why)));
    assert_string_equal(why, ADDRESS " port 25: Connection refused");
}

static void test_ours(void **state)
{
    pid_t pid = start_ours();

    (void)state;
    check_good();
    end(pid);
}

static void test_nginx(void **state)
{
    (void)state;
    if (access(NGINX, X_OK) != 0) {
        skip();
    }
    pid_t pid = start_nginx();
    check_good();
    end(pid);
}

/* A hole for large packets: small ones pass, so that everything seems well. */
static void test_black_hole(void **state)
{
    pid_t pid = start_ours();

    (void)state;
    op_measure_answer_ms = 700;
    assert_int_equal(
        system(
            "nft 'add table inet t; add chain inet t c { type filter hook input "
            "priority 0; }; add rule inet t c tcp dport 80 meta length > 1000 drop'"),
        0);
    struct op_view v = measure();
    assert_true(v.store_us > 0);
    assert_false(v.full);
    assert_string_equal(v.stuck, "no proper answer to question 1 of 7000 bytes");
    assert_int_equal(system("nft delete table inet t"), 0);
    end(pid);
}

static void test_nobody_there(void **state)
{
    struct op_view v = measure();
    char why[300];

    (void)state;
    assert_false(v.full);
    assert_int_equal(v.store_us, -1);
    assert_int_equal(op_measure_who(&v, &gateway), OP_SEEN_NOBODY);
    assert_true(op_measure_wrong(&v, &gateway, why, sizeof(why)));
    assert_string_equal(v.stuck, "port 80: Connection refused");
}

/* Pure. */
static void test_who(void **state)
{
    static const struct {
        const char *here, *seen;
        enum op_seen who;
    } cases[] = {
        {"198.51.100.90", "198.51.100.90", OP_SEEN_US},
        {"2001:db8::1", "2001:db8:0::1", OP_SEEN_US},
        {"10.9.0.3", "203.0.113.90", OP_SEEN_NAT},
        {"10.9.0.3", ADDRESS, OP_SEEN_ANOTHER},     /* masqueraded by the gateway */
        {"10.9.0.3", "10.77.1.1", OP_SEEN_ANOTHER}, /* by the tunnel */
        {"203.0.113.90", "203.0.113.91", OP_SEEN_ANOTHER},
        {"203.0.113.90", "", OP_SEEN_NOBODY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct op_view v = {.token = ""};
        snprintf(v.here, sizeof(v.here), "%s", cases[i].here);
        snprintf(v.seen, sizeof(v.seen), "%s", cases[i].seen);
        assert_int_equal(op_measure_who(&v, &gateway), cases[i].who);
    }
}

static void test_log(void **state)
{
    struct op_view v[2] = {{.token = "chatops-aa"}, {.token = "chatops-bb"}};

    (void)state;
    op_measure_take_log("2001:db8::7 \"GET x/chatops-bb\" 301 1\n"
                        "203.0.113.5 \"GET x/chatops-cc\" 301 1\n"
                        "no line at all\n",
                        v, 2);
    assert_string_equal(v[0].seen, "");
    assert_string_equal(v[1].seen, "2001:db8::7");
}

static int set_up(void **state)
{
    struct cm_err err;
    static const char script[] = "#!/bin/sh\nexec cat \"$MEASURE_DIR/log\"\n";

    (void)state;
    if (mkdtemp(dir) == NULL || chdir(dir) != 0 ||
        cm_file_replace("journalctl", script, strlen(script), 0755, &err) != 0 ||
        cm_file_replace("log", "", 0, 0644, &err) != 0) {
        return -1;
    }
    char *path = cm_asprintf("%s:%s:/usr/sbin", dir, getenv("PATH"));
    setenv("PATH", path, 1);
    setenv("MEASURE_DIR", dir, 1);
    free(path);
    return system("ip link set lo mtu 1500 up && ip addr add " ADDRESS "/32 dev lo");
}

static int tear_down(void **state)
{
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = chdir("/") == 0 ? system(cmd) : -1;

    (void)state;
    free(cmd);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours),       cmocka_unit_test(test_nginx),
        cmocka_unit_test(test_black_hole), cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_who),        cmocka_unit_test(test_log),
    };
    if (unshare(CLONE_NEWNET) != 0) {
        fprintf(stderr, "skipped: no network namespace here\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
