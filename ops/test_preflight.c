/* Nodes with each defect, alone and together. */
#include "preflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000

static const char ini[] =
    "[params]\nmail_domain = _chat.example\n"
    "[gateway edge1]\nssh = root@a\nnumber = 1\naddresses = 198.51.100.11\n";

static const char good[] =
    "uid 0\nos debian 12\nname Debian GNU/Linux 12 (bookworm)\narch amd64\nsystemd "
    "yes\n"
    "tunnel tun\nipv6 yes\ntime 1800000003\ndisk 9000 100000 /\ndisk 9000 -1 /home\n"
    "memory 957\ninotify 128\nsysctl yes\napt yes\nresolver 10.0.0.1 3\n"
    "listen tcp 0.0.0.0:22 users:((\"sshd\",pid=1,fd=3))\n";

static struct op_defects judge(const char *text, bool store)
{
    struct op_probe *p = calloc(1, sizeof(*p));
    struct op_defects d = {.count = 0};
    struct cm_conf conf;
    struct cm_err err = {.text = ""};

    if (cm_conf_parse("x.ini", ini, strlen(ini), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    op_probe_read(text, p);
    op_probe_judge(p, &conf, store ? NULL : &conf.gateways[0], NOW, &d);
    cm_conf_clear(&conf);
    free(p);
    return d;
}

static void expect(const char *text, bool store, const char *reason)
{
    struct op_defects d = judge(text, store);

    assert_int_equal(d.count, reason != NULL);
    if (reason != NULL && strstr(d.items[0].what, reason) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", reason, d.items[0].what);
    }
    if (reason != NULL) {
        assert_int_not_equal(strlen(d.items[0].todo), 0);
    }
    op_defects_clear(&d);
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
    struct op_probe *p = calloc(1, sizeof(*p));

    (void)state;
    expect(good, true, NULL);
    expect(good, false, NULL);
    op_probe_read(good, p);
    assert_string_equal(p->arch, "amd64");
    assert_true(p->ipv6);
    assert_false(p->container);
    free(p);
}

static void test_system(void **state)
{
    (void)state;
    defect("uid 0", "uid 1000\n", true, "not root");
    defect("os ", "os debian 11\n", true, "is Debian GNU/Linux 12");
    defect("os ", "os ubuntu 24.04\n", false, "is Debian");
    defect("arch", "arch armhf\n", true, "(armhf)");
    defect("arch", "", false, "(unknown)");
    defect("systemd", "", true, "systemd");
    defect("apt", "", true, "apt-get check");
    defect("time", "time 1800003600\n", true, "3600 s ahead of");
    defect("time", "time 1799999000\n", true, "1000 s behind");
}

static void test_room(void **state)
{
    (void)state;
    defect("disk 9000 100000 /", "disk 100 100000 /\n", true, "100 MiB free in /;");
    defect("disk 9000 100000 /", "disk 500 100000 /\n", false, NULL);
    defect("disk 9000 100000 /", "disk 500 100000 /\ninstalled yes\n", true, NULL);
    defect("disk 9000 100000 /", "disk 0 100000 /\ninstalled yes\n", false, "0 MiB");
    defect("disk 9000 100000 /", "disk 9000 12 /\n", false, "12 inodes");
    defect("memory", "memory 460\n", true, "460 MiB of memory");
    defect("memory", "memory 460\n", false, NULL);
    defect("memory", "memory 120\n", false, "a gateway needs");
    defect("ipv6", "readonly yes\n", false, "cannot be written");
}

static void test_kernel(void **state)
{
    (void)state;
    defect("tunnel", "", false, "/dev/net/tun");
    defect("tunnel", "tunnel kernel\n", false, NULL);
    defect("ipv6", "nft Error: Operation not permitted\n", false,
           "no rules of nft: Error: Operation not permitted");
    defect("sysctl", "", false, "cannot route");
    defect("ipv6", "container yes\n", true, "max_user_instances is 128");
    defect("ipv6", "container yes\n", false, NULL);
}

static void test_resolver(void **state)
{
    (void)state;
    defect("resolver", "", true, "names no resolver");
    defect("resolver", "resolver 10.0.0.9\n", true, "10.0.0.9 does not answer");
    defect("resolver", "resolver 10.0.0.9\nresolver 10.0.0.8 0\n", true, NULL);
    defect("resolver", "resolver 10.0.0.9 2\n", false, "SERVFAIL");
    defect("resolver", "resolver 10.0.0.9 5\n", false, "REFUSED");
}

static void test_restore(void **state)
{
    (void)state;
    defect("ipv6", "half yes\n", true, "in the middle of a restore");
    defect("ipv6", "half yes\n", false, NULL);
}

static void test_domain(void **state)
{
    (void)state;
    defect("ipv6", "domain _chat.example\n", true, NULL);
    defect("ipv6", "domain _old.example\n", true, "serves _old.example");
    defect("ipv6", "domain _old.example\n", false, NULL);
}

static void test_ports(void **state)
{
    static const char exim[] =
        "listen tcp 127.0.0.1:25 users:((\"exim4\",pid=12,fd=3))\n";
    static const char ours[] = "listen tcp [::]:25 users:((\"master\",pid=12,fd=3))\n"
                               "listen tcp 0.0.0.0:993 users:((\"imap-login\",pid=1,fd="
                               "3),(\"dovecot\",pid=2,fd=4))\n";

    (void)state;
    defect("listen", exim, true, "port 25 is occupied by: exim4");
    defect("listen", exim, false, NULL); /* DNAT never reaches loopback */
    defect("listen", ours, true, NULL);
    defect("listen", "listen tcp *:25 users:((\"master\",pid=12,fd=3))\n", false,
           "port 25 is occupied by: master");
    defect("listen",
           "listen tcp 198.51.100.11:993 users:((\"chatmail-proxy\",pid=12,fd=3))\n",
           false, NULL);
    defect("listen", "listen tcp *:443\n", true, "port 443 is occupied by: an unknown");
    defect("listen", "listen tcp *:4430 users:((\"x\",pid=1,fd=1))\n", true, NULL);
    defect("listen", "listen udp *:51820\n", false, "UDP port 51820 is occupied");
    defect("listen", "listen udp *:51820\ninstalled yes\n", false, NULL);
    defect("listen",
           "listen tcp 127.0.0.1:5432 users:((\"docker-proxy\",pid=1,fd=1))\n", true,
           "port 5432 is occupied by: docker-proxy");
    defect("listen", "listen udp *:3478 users:((\"coturn\",pid=1,fd=1))\n", true,
           "UDP port 3478");
}

/* One list of everything. */
static void test_all_at_once(void **state)
{
    struct op_defects d = judge("uid 1000\n", true);

    (void)state;
    /* root, Debian, architecture, systemd, clock, resolver, memory: whether there is a
     * tunnel, nobody but root is told */
    assert_int_equal(d.count, 7);
    op_defects_clear(&d);
    d = judge("uid 0\n", true); /* instead: apt, tunnel, sysctl */
    assert_int_equal(d.count, 9);
    op_defects_clear(&d);
    d = judge("listen tcp *:25 users:((\"a\",pid=1,fd=1))\n"
              "listen tcp *:993 users:((\"b\",pid=1,fd=1))\n",
              true);
    assert_int_equal(d.count, 9);
    op_defects_clear(&d);
}

/* What a node says is not to be trusted to be well formed. */
static void test_nonsense(void **state)
{
    char big[20000];
    struct op_defects d;

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    memcpy(big, "listen tcp ", 11);
    memcpy(big + 9000, "\ndisk \nresolver \nlisten \nname ", 30);
    big[sizeof(big) - 1] = '\0';
    d = judge(big, false);
    assert_true(d.count > 0);
    op_defects_clear(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),      cmocka_unit_test(test_system),
        cmocka_unit_test(test_room),     cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_resolver), cmocka_unit_test(test_domain),
        cmocka_unit_test(test_ports),    cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_nonsense), cmocka_unit_test(test_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
