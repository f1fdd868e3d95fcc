#include "preflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000

static const char good[] =
    "uid 0\nos debian 12\narch amd64\nsystemd yes\ntunnel tun\nipv6 yes\n"
    "time 1800000003\ndisk 9000\napt yes\n"
    "listen 0.0.0.0:22 users:((\"sshd\",pid=1,fd=3))\n";

static void expect(const char *text, bool store, const char *reason)
{
    struct op_probe p;
    struct cm_err err;
    int rc = op_probe_read(text, store, &p, &err);

    if (rc == 0) {
        rc = op_probe_judge(&p, store, NOW, &err);
    }
    if (reason == NULL) {
        assert_int_equal(rc, 0);
        return;
    }
    assert_int_equal(rc, -1);
    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", reason, err.text);
    }
}

/* The good node with one line replaced ("" removes it). */
static void defect(const char *line, const char *instead, bool store,
                   const char *reason)
{
    char text[1024];
    const char *at = strstr(good, line);

    assert_non_null(at);
    size_t head = (size_t)(at - good), len = strcspn(at, "\n") + 1;
    memcpy(text, good, head);
    strcpy(text + head, instead);
    strcat(text, at + len);
    expect(text, store, reason);
}

static void test_fit(void **state)
{
    struct op_probe p;
    struct cm_err err;

    (void)state;
    expect(good, true, NULL);
    expect(good, false, NULL);
    assert_int_equal(op_probe_read(good, true, &p, &err), 0);
    assert_string_equal(p.arch, "amd64");
    assert_true(p.ipv6);
    assert_false(p.container);
}

static void test_each_defect(void **state)
{
    (void)state;
    defect("uid 0", "uid 1000\n", true, "as root");
    defect("os ", "os debian 11\n", true, "Debian 12");
    defect("systemd", "", true, "systemd");
    defect("tunnel", "", false, "/dev/net/tun");
    defect("tunnel", "tunnel kernel\n", false, NULL);
    defect("apt", "", true, "apt-get check");
    defect("time", "time 1800000900\n", true, "900 s ahead of");
    defect("time", "time 1799999000\n", true, "1000 s behind");
    defect("disk", "disk 100\n", true, "100 MiB");
    defect("disk", "disk 100\n", false, NULL);
}

static void test_domain(void **state)
{
    struct op_probe p;
    struct cm_err err;

    (void)state;
    assert_int_equal(op_probe_read(good, true, &p, &err), 0);
    assert_int_equal(op_probe_domain(&p, "chat.example.org", &err), 0);
    assert_int_equal(op_probe_read("domain _chat.example\n", true, &p, &err), 0);
    assert_int_equal(op_probe_domain(&p, "_chat.example", &err), 0);
    assert_int_equal(op_probe_domain(&p, "_chat3.example", &err), -1);
    assert_non_null(strstr(err.text, "serves _chat.example"));
}

static void test_ports(void **state)
{
    static const char exim[] = "listen 127.0.0.1:25 users:((\"exim4\",pid=12,fd=3))\n";
    static const char ours[] = "listen [::]:25 users:((\"master\",pid=12,fd=3))\n"
                               "listen 0.0.0.0:993 users:((\"imap-login\",pid=1,fd=3),"
                               "(\"dovecot\",pid=2,fd=4))\n";

    (void)state;
    defect("listen", exim, true, "port 25 is occupied by: exim4");
    defect("listen", exim, false, NULL); /* DNAT never reaches loopback */
    defect("listen", ours, true, NULL);
    defect("listen", ours, false, "port 25 is occupied by: master");
    defect("listen",
           "listen 198.51.100.11:993 users:((\"chatmail-proxy\",pid=12,fd=3))\n", false,
           NULL);
    defect("listen", "listen *:443\n", true, "port 443 is occupied by: an unknown");
    defect("listen", "listen *:4430 users:((\"x\",pid=1,fd=1))\n", true, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_each_defect),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
