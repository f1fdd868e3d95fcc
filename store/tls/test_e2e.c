/* chatmail-tls and chatmail-acme as units run them, against pebble (an RFC 8555 CA that
 * asks from three places at once) and nginx, in a network of their own, where one of
 * the relay's two addresses is dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cert.h"
#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"
#include "netkit/netkit.h"

#define DOMAIN  "chat.example.org"
#define TEXT    (256u << 10)
#define READY_S 10

/* Where apt puts them. */
#define NGINX      "/usr/sbin/nginx"
#define PEBBLE     "/usr/bin/pebble"
#define PEBBLE_DNS "/usr/bin/pebble-challtestsrv"
#define UACME      "/usr/bin/uacme"

static struct {
    char dir[64];
    pid_t host, pebble, dns, nginx;
} t;

static char *slurp(const char *name)
{
    struct cm_err err = {0};
    char *path = cm_asprintf("%s/%s", t.dir, name), *text = NULL;

    if (cm_file_read(path, TEXT, &text, NULL, &err) != 1) {
        text = NULL;
    }
    free(path);
    return text;
}

static void spew(const char *name, const char *text)
{
    struct cm_err err = {0};
    char *path = cm_asprintf("%s/%s", t.dir, name);

    assert_int_equal(cm_file_replace(path, text, strlen(text), 0644, &err), 0);
    free(path);
}

static pid_t start(const char *log, const char *command)
{
    pid_t pid = netkit_fork(t.host);

    if (pid == 0) {
        char *line = cm_asprintf("cd %s && exec %s >>%s 2>&1", t.dir, command, log);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void start_pebble(void)
{
    t.pebble =
        start("pebble.log", "env PEBBLE_VA_NOSLEEP=1 PEBBLE_AUTHZREUSE=0"
                            " PEBBLE_WFE_NONCEREJECT=20 " PEBBLE
                            " -config pebble.json -strict -dnsserver 127.0.0.1:8053");
    netkit_must(t.host,
                "for i in $(seq %d); do openssl s_client -connect 127.0.0.1:14000"
                " </dev/null >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1",
                READY_S * 10);
}

/* 127.0.0.9 is the gateway that is dead: port 80 there answers nobody. */
static void start_world(void)
{
    spew("pebble.json",
         "{\"pebble\":{\"listenAddress\":\"127.0.0.1:14000\","
         "\"managementListenAddress\":"
         "\"127.0.0.1:15000\",\"certificate\":\"ca.pem\",\"privateKey\":\"ca.key\","
         "\"httpPort\":80,\"tlsPort\":443,\"ocspResponderURL\":\"\","
         "\"externalAccountBindingRequired\":false}}");
    char *conf =
        cm_asprintf("daemon off; user root; pid nginx.pid; error_log nginx.log;\n"
                    "events {}\nhttp { access_log nginx-access.log; server {\n"
                    "listen 127.0.0.1:80; listen 127.0.0.2:80; location ^~"
                    " /.well-known/acme-challenge/ { alias %s/acme/challenge/;"
                    " default_type text/plain; } location / { return 301"
                    " https://$host$request_uri; } } }\n",
                    t.dir);
    spew("nginx.conf", conf);
    free(conf);
    t.dns = start("dns.log", PEBBLE_DNS " -dns01 127.0.0.1:8053 -http01 '' -https01 ''"
                                        " -tlsalpn01 '' -management 127.0.0.1:8055"
                                        " -defaultIPv6 '' -defaultIPv4 127.0.0.2");
    char *nginx = cm_asprintf(NGINX " -p %s -c %s/nginx.conf", t.dir, t.dir);
    t.nginx = start("nginx-out.log", nginx);
    free(nginx);
    start_pebble();
}

static int set_up(void **state)
{
    static const char *const programs[] = {NGINX, PEBBLE, PEBBLE_DNS, UACME};

    (void)state;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (access(programs[i], X_OK) != 0) {
            fprintf(stderr, "no %s\n", programs[i]);
            exit(77);
        }
    }
    if (netkit_begin() != 0) {
        fprintf(stderr, "needs root and namespaces\n");
        exit(77);
    }
    daemonkit_dir(t.dir, "test-acme");
    t.host = netkit_host();
    netkit_must(t.host, "ip link set lo up");
    netkit_must(0,
                "cd %s && mkdir acme && openssl req -x509 -newkey ec -pkeyopt"
                " ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=ca -addext"
                " subjectAltName=IP:127.0.0.1 -keyout ca.key -out ca.pem 2>/dev/null &&"
                " cat /etc/ssl/certs/ca-certificates.crt ca.pem >roots &&"
                " mount --bind roots /etc/ssl/certs/ca-certificates.crt &&"
                " printf '127.0.0.1 localhost\\n127.0.0.2 " DOMAIN " www." DOMAIN
                " mta-sts." DOMAIN "\\n' >hosts && mount --bind hosts /etc/hosts",
                t.dir);
    spew("ini", "[params]\nmail_domain = " DOMAIN "\nacme_email = me@example.org\n"
                "[store]\nacme_directory = https://127.0.0.1:14000/dir\n");
    spew("systemctl", "#!/bin/sh\necho \"$@\" >>\"${0%/*}/told\"\n");
    netkit_must(0, "chmod 755 %s/systemctl", t.dir);
    start_world();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    netkit_stop(&t.pebble, SIGKILL);
    netkit_stop(&t.nginx, SIGTERM);
    netkit_stop(&t.dns, SIGKILL);
    netkit_stop(&t.host, SIGKILL);
    netkit_must(0, "umount /etc/hosts /etc/ssl/certs/ca-certificates.crt");
    daemonkit_dir_remove(t.dir);
    return 0;
}

static int tls(const char *word)
{
    return netkit_sh(t.host,
                     "cd %s && " TLS_PROGRAM " %s --config ini --root %s --roots none"
                     " --systemctl ./systemctl >>tls.log 2>&1",
                     t.dir, word, t.dir);
}

static int acme(void)
{
    return netkit_sh(t.host,
                     "cd %s && " ACME_PROGRAM " --config ini --dir %s/acme --request"
                     " %s"
                     "/var/lib/chatmail-tls/request.csr --pause 1 >>acme.log 2>&1 &&"
                     " mkdir -p var/lib/chatmail-acme && { [ ! -e acme/cert.pem ] ||"
                     " cp acme/cert.pem var/lib/chatmail-acme/; }",
                     t.dir, t.dir, t.dir);
}

#define LIVE "var/lib/acme/live/" DOMAIN

static struct cm_cert_look in_use(void)
{
    struct cm_cert_look look;
    struct cm_err err = {0};
    struct cm_cert *cert = NULL;
    struct cm_roots *nobody = cm_roots_load("none");
    char *pem = slurp(LIVE "/fullchain");

    assert_non_null(pem);
    assert_int_equal(cm_cert_parse(pem, strlen(pem), &cert, &err), 0);
    assert_true(cm_cert_named(cert, "www." DOMAIN));
    assert_true(cm_cert_named(cert, "mta-sts." DOMAIN));
    cm_cert_look(cert, DOMAIN, nobody, &look);
    assert_true(look.named);
    cm_cert_free(&cert);
    cm_roots_free(&nobody);
    free(pem);
    return look;
}

static void must_say(const char *file, const char *what)
{
    char *text = slurp(file);

    if (text == NULL || strstr(text, what) == NULL) {
        fail_msg("%s has no \"%s\": %s", file, what, text != NULL ? text : "-");
    }
    free(text);
}

/* Gone when it was read, so that each test sees its own. */
static size_t told(void)
{
    char *text = slurp("told");
    size_t n = 0;

    for (const char *p = text; p != NULL && (p = strstr(p, "reload ")) != NULL; p++) {
        n++;
    }
    free(text);
    netkit_must(0, "rm -f %s/told", t.dir);
    return n;
}

/* From nothing: a temporary certificate, then the CA's, for the same key. */
static void test_first(void **state)
{
    (void)state;
    assert_int_equal(tls("prepare"), 0);
    assert_true(in_use().self_signed);
    netkit_must(0, "mkdir -p %s/acme/challenge && : >%s/acme/challenge/of-a-killed-run",
                t.dir, t.dir);
    char *key = slurp(LIVE "/privkey");
    assert_int_equal(acme(), 0);
    assert_int_equal(tls("install"), 0);
    assert_int_equal(told(), 3);
    struct cm_cert_look look = in_use();
    assert_false(look.self_signed);
    char *kept = slurp(LIVE "/privkey");
    assert_string_equal(key, kept);
    must_say("acme/account", "https://127.0.0.1:14000/my-account/");
    must_say("var/lib/chatmail-tls/state.json", "\"temporary\":false");
    must_say("acme/state.json", "\"problem\":\"\"");
    must_say("pebble.log", "Starting 3 validations");
    netkit_must(0, "test -z \"$(ls %s/acme/challenge)\"", t.dir);
    /* not due, nothing new */
    assert_int_equal(acme(), 0);
    assert_int_equal(tls("install"), 0);
    assert_int_equal(told(), 0);
    assert_string_equal(in_use().serial, look.serial);
    cm_wipe_str(&key);
    cm_wipe_str(&kept);
}

static void forget_answer(void)
{
    netkit_must(0, "rm -f %s/acme/ca-*/request-cert.pem", t.dir);
}

/* What the mock DNS says about a name, from now on. */
static void tell_dns(const char *verb, const char *name, const char *more)
{
    char *body = cm_asprintf("{\"host\":\"%s\"%s}", name, more);

    spew("body", body);
    netkit_must(t.host,
                "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8055; { printf \"POST /%s"
                " HTTP/1.0\\r\\nContent-Length: %zu\\r\\n\\r\\n\"; cat %s/body; } >&3;"
                " grep -q \" 200 \" <&3'",
                verb, strlen(body), t.dir);
    free(body);
}

/* The CA meets the dead gateway in all its questions. Then that address leaves the DNS,
 * while chatmail-acme is at its tries. */
static void test_dead_gateway(void **state)
{
    (void)state;
    static const char *const names[] = {DOMAIN, "www." DOMAIN, "mta-sts." DOMAIN};
    char *key = slurp(LIVE "/privkey");
    struct cm_cert_look before = in_use();

    for (size_t i = 0; i < 3; i++) {
        tell_dns("add-a", names[i], ",\"addresses\":[\"127.0.0.9\",\"127.0.0.2\"]");
    }
    forget_answer();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(acme());
    }
    usleep(2000 * 1000);
    for (size_t i = 0; i < 3; i++) {
        tell_dns("clear-a", names[i], "");
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    must_say("acme.log", "127.0.0.9:80: connect: connection refused");
    assert_int_equal(tls("install"), 0);
    struct cm_cert_look after = in_use();
    char *kept = slurp(LIVE "/privkey");
    assert_string_not_equal(after.serial, before.serial);
    assert_string_equal(key, kept);
    assert_int_equal(told(), 3);
    cm_wipe_str(&key);
    cm_wipe_str(&kept);
}

/* Nobody answers at the CA: that counts nothing, so the next run asks again. */
static void test_away(void **state)
{
    (void)state;
    struct cm_cert_look before = in_use();

    netkit_stop(&t.pebble, SIGKILL);
    forget_answer();
    assert_int_equal(acme(), 1);
    must_say("acme/state.json",
             "the CA cannot be reached: https://127.0.0.1:14000/dir: ");
    netkit_must(0, "test ! -e %s/acme/failed", t.dir);
    assert_string_equal(in_use().print, before.print);
    start_pebble();
    assert_int_equal(acme(), 0);
    assert_int_equal(tls("install"), 0);
    assert_string_not_equal(in_use().print, before.print);
    assert_int_equal(told(), 3);
}

/* The CA says no each time: the old one stays, and the next run lets the CA rest. */
static void test_denied(void **state)
{
    (void)state;
    struct cm_cert_look before = in_use();

    netkit_stop(&t.nginx, SIGTERM);
    forget_answer();
    netkit_must(0, "rm -f %s/var/lib/chatmail-acme/cert.pem %s/acme/cert.pem", t.dir,
                t.dir);
    assert_int_equal(acme(), 1);
    must_say("acme/state.json", "the CA says: ");
    must_say("acme.log", "type=ietf:params:acme:error:connection");
    must_say("acme/state.json", "/.well-known/acme-challenge/");
    assert_int_equal(tls("install"), 0);
    assert_string_equal(in_use().print, before.print);
    assert_int_equal(told(), 0);
    netkit_must(0, ": >%s/pebble.log", t.dir);
    assert_int_equal(acme(), 0);
    must_say("acme.log", "certificate_later");
    must_say("acme/state.json", "the CA says: ");
    char *asked = slurp("pebble.log");
    assert_string_equal(asked, "");
    free(asked);
    netkit_must(0, "test -z \"$(ls %s/acme/challenge)\"", t.dir);
}

/* No rest when the names lead elsewhere: the dead gateway's address has left the DNS.
 * Its order alone is no such thing. */
static void test_leads_elsewhere(void **state)
{
    (void)state;
    netkit_must(0, "grep -qx 127.0.0.2 %s/acme/failed", t.dir);
    /* into the file, which is mounted elsewhere too */
    netkit_must(0, "cd %s && sed 's/^127.0.0.2 /127.0.0.3 /' hosts >h && cat h >hosts",
                t.dir);
    assert_int_equal(acme(), 1);
    must_say("pebble.log", "Starting 3 validations");
    netkit_must(0, "grep -qx 127.0.0.3 %s/acme/failed && : >%s/pebble.log", t.dir,
                t.dir);
    assert_int_equal(acme(), 0);
    char *asked = slurp("pebble.log");
    assert_string_equal(asked, "");
    free(asked);
}

/* While a name leads nowhere the CA is not asked. */
static void test_no_address(void **state)
{
    (void)state;
    netkit_must(0, "cd %s && rm -f acme/failed && echo '127.0.0.2 " DOMAIN "' >hosts",
                t.dir);
    netkit_must(0, ": >%s/pebble.log", t.dir);
    assert_int_equal(acme(), 0);
    must_say("acme/state.json", "mta-sts." DOMAIN " has no address yet");
    char *asked = slurp("pebble.log");
    assert_string_equal(asked, "");
    free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_dead_gateway),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_leads_elsewhere),
        cmocka_unit_test(test_no_address),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
