/* From `chatops gateway invite` to a machine that waits: the real verb against a store
 * that is this machine, and then the very line that it printed, run by a shell. What is
 * made up: cluster, database and web server (scripts in $PLAY), apt, systemd. In a
 * mount namespace of its own, because paths are the real ones. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli.h"
#include "common/enrol.h"
#include "common/file.h"
#include "common/mem.h"
#include "hash.h"
#include "verbkit.h"

#define SKIPPED 77
#define KEY     "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk="
#define STORE   "U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk="

static char dir[] = "/tmp/chatops-enrol-XXXXXX";

/* ---- what is made up ---- */

static const struct {
    const char *name, *script;
} programs[] = {
    {"runuser", "sql=$(cat)\n"
                "case $sql in\n"
                "*document*) cat $PLAY/facts ;;\n"
                "*json_agg*) cat $PLAY/waiting ;;\n"
                "*'insert into gateway_invite'*) printf %s \"$sql\" >$PLAY/inserted;"
                " echo 2026-11-28T10:00:00Z ;;\n"
                "*'select number'*) echo 2 old ;;\n"
                "*'delete from gateway_invite'*) cat $PLAY/deleted ;;\n"
                "esac\n"},
    {"chatmail-cluster",
     "case $1 in keygen) echo '{\"cluster\":\"" STORE "\",\"wg\":\"" STORE "\"}' ;;\n"
     "ctl) cat $PLAY/status ;; esac\n"},
    /* the first door is dead; what others get lies in files */
    {"curl", "echo \"$@\" >>$PLAY/curl.log; out=/dev/stdout\n"
             "while [ $# -gt 0 ]; do case $1 in -o) out=$2; shift ;;\n"
             "--data-binary) data=${2#@}; shift ;; https://*) url=$1 ;; esac; shift; "
             "done\n"
             "case $url in\n"
             "https://198.51.100.11/*) exit 7 ;;\n"
             "*/enrol/script) cp $PLAY/script $out ;;\n"
             "*/enrol/package*) cp $PLAY/deb $out ;;\n"
             "*/enrol/join) cp $data $PLAY/joined; cat $PLAY/refusal 2>/dev/null &&"
             " exit 22 || : ;;\n"
             "*) exit 3 ;; esac\n"},
    {"apt-get", "echo \"apt-get $@\" >>$PLAY/done.log\n"},
    {"systemctl", "echo \"systemctl $@\" >>$PLAY/done.log\n"},
    {"chatmail-gateway", "echo '{\"wg\":\"" KEY "\"}'\n"},
    /* a far machine is this one; its last word is the command */
    {"ssh", "case \"$*\" in *-M*|*-O*|*-G*) exit 0 ;; esac\n"
            "for word; do :; done; exec sh -c \"$word\"\n"},
    {"dpkg", "echo amd64\n"},
    {"dpkg-query", "echo 0.1.0\n"},
    {"modprobe", "exit 0\n"},
    {"ss", "cat $PLAY/listeners 2>/dev/null\n"},
    {"ip", "echo '2: eth0    inet 203.0.113.13/24 scope global eth0'\n"},
};

static void spill(const char *name, const char *text, mode_t mode)
{
    char *path = cm_asprintf("%s/%s", dir, name);
    struct cm_err err;

    cm_assert(cm_file_replace(path, text, strlen(text), mode, &err) == 0);
    free(path);
}

static char *slurp(const char *path)
{
    char *text = NULL;
    struct cm_err err;

    return cm_file_read(path, 1 << 20, &text, NULL, &err) == 1 ? text : cm_strdup("");
}

static char *slurp_here(const char *name)
{
    char *path = cm_asprintf("%s/%s", dir, name), *text = slurp(path);

    free(path);
    return text;
}

#define MEMBER(age)                                                                    \
    "{\"epoch\":4,\"refused\":\"\",\"gateways\":[{\"name\":\"edge1\",\"mode\":"        \
    "\"active\",\"applied_epoch\":4,\"applied_mode\":\"active\",\"report_age_"         \
    "ms\":" age ",\"error\":\"\"}]}"

static void begin(void)
{
    assert_int_equal(
        system("cd $PLAY && rm -f inserted curl.log done.log joined refusal "
               "listeners script; rm -rf /etc/chatmail /root/portico* "
               "/var/lib/portico .chatops"),
        0);
    spill("facts",
          "document {\"bus_port\":4710,\"domain\":\"_chat.example\",\"egress\":"
          "\"gateways\",\"epoch\":4,\"format\":\"1.1\",\"gateways\":[{\"addresses\":["
          "\"198.51.100.11\",\"2001:db8:1::11\"],\"egress\":true,\"endpoint\":"
          "\"198.51.100.11\",\"mode\":\"active\",\"name\":\"edge1\",\"number\":1,"
          "\"wg_port\":51820,\"wg_public_key\":\"" KEY "\"}],\"metrics_port\":3903,"
          "\"ports\":[25,993],\"store_wg_public_key\":\"" STORE "\"}\nnumber 1 edge1\n",
          0644);
    spill("status", MEMBER("300"), 0644);
    spill("waiting", "[]\n", 0644);
    spill("deleted", "", 0644);
    spill("deb", "the package\n", 0644);
}

/* What it says on stdout, caller frees. */
static char *say(const char *line, int want, struct cm_err *err)
{
    bool packages = strstr(line, "invite") != NULL || strstr(line, "accept") != NULL;
    char *words =
             cm_asprintf("chatops --config %s/chatmail.ini%s%s %s", dir,
                         packages ? " --packages " : "", packages ? dir : "", line),
         *out = cm_asprintf("%s/out", dir), *said = verbkit_say(words, out, want, err);

    free(words);
    free(out);
    return said;
}

static void refused(const char *line, int want, const char *part)
{
    struct cm_err err;
    char *said = say(line, want, &err);

    if (strstr(err.text, part) == NULL) {
        fail_msg("%s: no \"%s\" in: %s", line, part, err.text);
    }
    free(said);
}

/* The script as it went to the database. */
static char *inserted_script(void)
{
    char *sql = slurp_here("inserted"), *from = strstr(sql, "$portico$");

    assert_non_null(from);
    from += strlen("$portico$");
    char *script = cm_strndup(from, (size_t)(strstr(from, "$portico$") - from));
    free(sql);
    return script;
}

/* The line that was printed, and where its script would come from. */
static char *make_invite(void)
{
    struct cm_err err;
    char *said = say("gateway invite edge3 --json", OP_EXIT_OK, &err);
    json_t *envelope = json_loads(said, 0, NULL),
           *o = json_object_get(envelope, "data");
    char *line = cm_strdup(json_string_value(json_object_get(o, "line"))),
         *script = inserted_script();

    assert_int_equal(json_integer_value(json_object_get(o, "number")), 3);
    spill("script", script, 0644);
    json_decref(envelope);
    free(script);
    free(said);
    return line;
}

/* As pasted; what it says on either stream. */
static char *paste(const char *line, int want)
{
    spill("line", line, 0644);
    int rc = system("cd / && sh $PLAY/line >$PLAY/pasted 2>&1 </dev/null");
    char *said = slurp_here("pasted");

    if (WEXITSTATUS(rc) != want) {
        fail_msg("status %d: %s", WEXITSTATUS(rc), said);
    }
    return said;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in: %s", part, text);
    }
}

/* ---- tests ---- */

static void test_invite(void **state)
{
    char token[CM_ENROL_LEN + 1], hash[CM_ENROL_HASH], deb_hash[OP_HASH_TEXT];
    char *line, *sql, *deb, *path;

    (void)state;
    begin();
    line = make_invite();
    assert_int_equal(sscanf(line, "t=%24[a-z0-9];", token), 1);
    assert_true(cm_enrol_hash(token, hash));
    sql = slurp_here("inserted");
    has(sql, hash);
    has(sql, "interval '86400 seconds'");
    assert_null(strstr(sql, token));
    op_hash("the package\n", 12, deb_hash);
    has(sql, deb_hash);
    path = cm_asprintf("/var/lib/portico/enrol/%s.deb", deb_hash);
    deb = slurp(path);
    assert_string_equal(deb, "the package\n");
    free(deb);
    free(path);
    free(sql);
    free(line);
}

static void test_line_makes_it_wait(void **state)
{
    char *line, *said, *log, *conf, *joined, *again;

    (void)state;
    begin();
    line = make_invite();
    said = paste(line, 0);
    has(said,
        "portico: this machine is ready to be gateway edge3. Its fingerprint: 573e "
        "33c2 540f 3ba3 bb1b\n");
    has(said, "chatops gateway accept edge3\n");
    conf = slurp("/etc/chatmail/gateway.conf");
    has(conf, "name = edge3\nnumber = 3\nwg_port = 51820\nbus_port = 4710\n");
    has(conf, "cluster_key = " STORE "\nstore_wg_key = " STORE "\n");
    joined = slurp_here("joined");
    assert_string_equal(joined, KEY "\n2: eth0    inet 203.0.113.13/24 scope global "
                                    "eth0\n");
    log = slurp_here("done.log");
    has(log, "install --no-install-recommends --reinstall --allow-downgrades "
             "/var/cache/portico/portico-gateway-");
    has(log, "systemctl -q enable chatmail-tunnel@wg0.service "
             "chatmail-gateway.service\nsystemctl start chatmail-tunnel@wg0.service\n"
             "systemctl restart chatmail-gateway.service\n");
    /* every question shows the token and wants the store's key */
    free(log);
    log = slurp_here("curl.log");
    size_t lines = 0;
    for (char *save = NULL, *l = strtok_r(log, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save), lines++) {
        has(l, "--pinnedpubkey sha256//");
        has(l, "X-Portico-Token: ");
        has(l, lines % 2 == 0 ? "https://198.51.100.11/enrol/"
                              : "https://[2001:db8:1::11]/enrol/");
    }
    assert_int_equal(lines, 6);
    /* once more: brings it up to date */
    spill("listeners", "LISTEN 0 1 0.0.0.0:25 0.0.0.0:*\n", 0644);
    again = paste(line, 0);
    has(again, "573e 33c2 540f 3ba3 bb1b");
    free(again);
    free(log);
    free(conf);
    free(joined);
    free(said);
    free(line);
}

static void test_nothing_foreign_runs(void **state)
{
    char *line, *said, *log;

    (void)state;
    begin();
    line = make_invite();
    spill("deb", "another package\n", 0644);
    said = paste(line, 1);
    has(said, "what came is not the package that was invited: nothing was installed");
    free(said);
    spill("script", "#!/bin/sh\ntouch $PLAY/joined\n", 0644);
    said = paste(line, 1);
    has(said, "FAILED");
    log = slurp_here("done.log");
    assert_string_equal(log, "");
    free(log);
    log = slurp_here("joined");
    assert_string_equal(log, "");
    free(log);
    free(said);
    free(line);
}

static void test_machine_says_why_not(void **state)
{
    char *line, *said;

    (void)state;
    begin();
    line = make_invite();
    spill("listeners",
          "LISTEN 0 1 127.0.0.1:25 0.0.0.0:*\nLISTEN 0 1 0.0.0.0:80 0.0.0.0:*\n"
          "LISTEN 0 1 [::]:80 [::]:*\nLISTEN 0 1 *:8080 *:*\n",
          0644);
    said = paste(line, 1);
    has(said, "portico: other programs listen on port 80 ; stop and disable them");
    free(said);
    assert_int_equal(system("rm $PLAY/listeners"), 0);
    spill("refusal", "No invite is good for this.\n", 0644);
    said = paste(line, 1);
    has(said, "portico: the store did not take it: No invite is good for this.");
    free(said);
    free(line);
}

static void test_invite_refused(void **state)
{
    (void)state;
    begin();
    refused("gateway invite edge1", OP_EXIT_USAGE, "edge1 is in ");
    refused("gateway invite Edge", OP_EXIT_USAGE, "is no name for a gateway");
    refused("gateway invite edge3 --for 1w", OP_EXIT_USAGE, "--for: \"1w\"");
    spill("status", MEMBER("90000"), 0644);
    refused("gateway invite edge3", OP_EXIT_FAILED,
            "there is none; the first one needs SSH: chatops gateway add edge3 --ssh");
    spill("facts", "", 0644);
    refused("gateway invite edge3", OP_EXIT_FAILED,
            "the first gateway needs SSH (chatops gateway add edge3 --ssh "
            "root@ADDRESS), and: nothing has been published yet");
}

static void test_accept_wants_the_fingerprint(void **state)
{
    struct cm_err err;
    char *said;

    (void)state;
    begin();
    refused("gateway accept edge3", OP_EXIT_FAILED, "no machine waits as edge3");
    spill("waiting",
          "[{\"name\":\"edge3\",\"number\":3,\"joined\":false,\"over\":false,"
          "\"expires\":\"2026-11-28T10:00:00Z\",\"key\":\"\",\"interfaces\":\"\","
          "\"from\":\"\"}]",
          0644);
    refused("gateway accept edge3", OP_EXIT_FAILED,
            "no machine has come as edge3 yet; its invite is good until 2026-11-28");
    spill("waiting",
          "[{\"name\":\"edge3\",\"number\":3,\"joined\":true,\"over\":false,"
          "\"expires\":\"2026-11-28T10:00:00Z\",\"key\":\"" KEY
          "\",\"interfaces\":\"\",\"from\":\"203.0.113.13\"}]",
          0644);
    refused("gateway accept edge3", OP_EXIT_USAGE,
            "edge3 waits with the fingerprint 573e 33c2 540f 3ba3 bb1b");
    refused("gateway reject edge4", OP_EXIT_FAILED, "neither invited nor waiting");
    spill("deleted", "edge3\n", 0644);
    said = say("gateway reject edge3", OP_EXIT_OK, &err);
    has(said, "the invite of edge3 is void");
    free(said);
}

static void test_add_without_agent(void **state)
{
    static const char add[] =
        "gateway add edge9 --wg-key " KEY " --no-run --addresses ";
    char *before = slurp_here("chatmail.ini"), *line, *said, *text;
    struct cm_err err;

    (void)state;
    begin();
    refused("gateway add edge9 --wg-key x --ssh root@h", OP_EXIT_USAGE, "say one of");
    refused("gateway add edge9", OP_EXIT_USAGE, "needs --ssh TARGET");
    refused("gateway add edge9 --wg-key " KEY, OP_EXIT_USAGE, "needs --addresses");
    line = cm_asprintf("%s203.0.113.300", add);
    refused(line, OP_EXIT_FAILED, "203.0.113.300 is not a public address");
    free(line);
    line = cm_asprintf("%s203.0.113.19", add);
    said = say(line, OP_EXIT_OK, &err);
    has(said, "added gateway edge9 (number 2, addresses 203.0.113.19)");
    free(said);
    text = slurp_here("chatmail.ini");
    has(text,
        "\n[gateway edge9]\nnumber = 2\naddresses = 203.0.113.19\nwg_public_key = " KEY
        "\nagent = no\n");
    free(text);
    /* the same again goes on, another one of that name is refused */
    said = say(line, OP_EXIT_OK, &err);
    has(said, "has gateway edge9 already");
    free(said);
    refused("gateway add edge9 --no-run --ssh root@203.0.113.19", OP_EXIT_USAGE,
            "has a gateway edge9 already, with none");
    /* its files have its own key nowhere, and the store's where the peer is */
    said = say("gateway render edge9 --pf", OP_EXIT_OK, &err);
    has(said,
        "# ---- /etc/pf.conf ----\n# Gateway edge9 of _chat.example, mode active, "
        "epoch 4\n");
    has(said, "# ---- /usr/local/etc/wireguard/wg0.conf ----\n");
    has(said, "PublicKey = " STORE "\n");
    has(said, "gate4 = \"10.77.2.1\"\n");
    free(said);
    spill("chatmail.ini", before, 0644);
    free(before);
    free(line);
}

#define INVITED                                                                        \
    "[gateway edge3]\n# by a pasted line\nnumber = 3\naddresses = 203.0.113.13\n"      \
    "wg_public_key = "

/* Joined by an invite, looked after by SSH from now on: the same machine, with the same
 * key; another machine is refused, and chatmail.ini stays as it was. */
static void test_adopt(void **state)
{
    static const char add[] =
        "gateway add edge3 --ssh root@203.0.113.13 --no-run --addresses 203.0.113.13";
    char *before = slurp_here("chatmail.ini"), *text, *with, *said;
    struct cm_err err;

    (void)state;
    begin();
    with = cm_asprintf("%s%s" KEY "\nmode = drain\n", before, INVITED);
    spill("chatmail.ini", with, 0644);
    refused(add, OP_EXIT_USAGE,
            "root@203.0.113.13 is not the machine that joined as edge3: it has no "
            "tunnel key; nothing was changed");
    spill("other", "#!/bin/sh\necho '{\"wg\":\"" STORE "\"}'\n", 0755);
    assert_int_equal(system("cp $PLAY/other /usr/sbin/chatmail-gateway && "
                            "mkdir -p /etc/chatmail && echo x >/etc/chatmail/wg.key"),
                     0);
    refused(add, OP_EXIT_USAGE, "its tunnel has another key than its section says");
    text = slurp_here("chatmail.ini");
    assert_string_equal(text, with);
    free(text);
    assert_int_equal(system("cp $PLAY/chatmail-gateway /usr/sbin/"), 0);
    refused("gateway add edge3 --ssh root@203.0.113.13 --addresses 203.0.113.14",
            OP_EXIT_USAGE, "has a gateway edge3 already, with 203.0.113.13");
    said = say(add, OP_EXIT_OK, &err);
    has(said, "edge3 keeps its key and its place");
    free(said);
    text = slurp_here("chatmail.ini");
    has(text, "\nnumber = 3\naddresses = 203.0.113.13\n");
    has(text, "\nssh = root@203.0.113.13\n");
    has(text, "\nmode = drain\n");
    assert_null(strstr(text, "wg_public_key"));
    free(text);
    /* once more goes on */
    said = say(add, OP_EXIT_OK, &err);
    has(said, "has gateway edge3 already; next: chatops");
    free(said);
    spill("chatmail.ini", before, 0644);
    free(before);
    free(with);
}

/* ---- around them ---- */

/* /etc, /root, /run, /var of this process alone. */
static int own_world(void)
{
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/mnt", "tmpfs", 0, NULL) != 0) {
        return -1;
    }
    return system(
        "cd /mnt && mkdir -p up/etc work/etc && mount -t overlay overlay -o "
        "lowerdir=/etc,upperdir=up/etc,workdir=work/etc /etc && "
        "mkdir -p up/sbin work/sbin && mount -t overlay overlay -o "
        "lowerdir=/usr/sbin,upperdir=up/sbin,workdir=work/sbin /usr/sbin && "
        "for d in /root /run /var; do mount -t tmpfs tmpfs $d || exit 1; done "
        "&& mkdir -p /run/systemd/system /var/log /var/cache /var/lib && "
        "printf 'ID=debian\\nVERSION_ID=12\\n' >/etc/os-release");
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        char *text = cm_asprintf("#!/bin/sh\n%s", programs[i].script);
        spill(programs[i].name, text, 0755);
        free(text);
    }
    char *path = cm_asprintf("%s:%s", dir, getenv("PATH"));
    setenv("PATH", path, 1);
    setenv("PLAY", dir, 1);
    free(path);
    char *ini = cm_asprintf("[params]\nmail_domain = _chat.example\n"
                            "tls_external_cert_and_key = %s/cert %s/key\n"
                            "[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                            "addresses = 198.51.100.11\n",
                            dir, dir);
    spill("chatmail.ini", ini, 0644);
    free(ini);
    spill("portico-gateway_0.1.0_amd64.deb", "the package\n", 0644);
    return system("cd $PLAY && openssl req -x509 -newkey ec -pkeyopt "
                  "ec_paramgen_curve:P-256 -noenc -subj /CN=x -keyout key -out cert "
                  "2>/dev/null");
}

static int tear_down(void **state)
{
    (void)state;
    return system("rm -rf \"$PLAY\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invite),
        cmocka_unit_test(test_line_makes_it_wait),
        cmocka_unit_test(test_nothing_foreign_runs),
        cmocka_unit_test(test_machine_says_why_not),
        cmocka_unit_test(test_invite_refused),
        cmocka_unit_test(test_accept_wants_the_fingerprint),
        cmocka_unit_test(test_add_without_agent),
        cmocka_unit_test(test_adopt),
    };
    if (own_world() != 0) {
        fprintf(stderr, "skipped: no mount namespace here\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
