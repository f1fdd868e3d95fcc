/* The verbs against a store that is this machine, with programs that this test plays
 * itself: the real plan, chatmail.ini, scripts and texts; only cluster, database, ss
 * and systemd are made up. In a mount namespace of its own, because paths are the real
 * ones.
 *
 * What the store knows lies in files of $FAKE_STORE: document, numbers, flows (of the
 * gateway), ending (how many of them end at each look), silent-NAME, stubborn-NAME,
 * log.
 */
#include "modes.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "verbkit.h"

#define SKIPPED 77
#define KEY_A   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const char ini[] = "# ours\n[params]\nmail_domain = _chat.example\n"
                          "[store]\n# no ssh: here\n"
                          "\n[gateway edge1]\nssh = root@198.51.100.11\nnumber = 1\n"
                          "addresses = 198.51.100.11 2001:db8:1::11\n"
                          "\n[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
                          "addresses = 203.0.113.12\n";

/* ---- the store's programs ---- */

static char *slurp(const char *dir, const char *name)
{
    char *path = cm_asprintf("%s/%s", dir, name), *text = NULL;
    struct cm_err err;

    if (cm_file_read(path, 1 << 20, &text, NULL, &err) != 1) {
        text = cm_strdup("");
    }
    free(path);
    return text;
}

static void spill(const char *dir, const char *name, const char *text)
{
    char *path = cm_asprintf("%s/%s", dir, name);
    struct cm_err err;

    cm_assert(cm_file_replace(path, text, strlen(text), 0644, &err) == 0);
    free(path);
}

static bool there(const char *dir, const char *prefix, const char *name)
{
    char *path = cm_asprintf("%s/%s%s", dir, prefix, name);
    bool yes = access(path, F_OK) == 0;

    free(path);
    return yes;
}

static void note(const char *dir, const char *word)
{
    char *log = slurp(dir, "log"), *longer = cm_asprintf("%s%s;", log, word);

    spill(dir, "log", longer);
    free(log);
    free(longer);
}

static json_t *gateway_status(const char *dir, json_t *gw, json_int_t epoch)
{
    const char *name = json_string_value(json_object_get(gw, "name"));
    const char *mode = json_string_value(json_object_get(gw, "mode"));
    bool silent = there(dir, "silent-", name), stubborn = there(dir, "stubborn-", name);

    if (json_is_false(json_object_get(gw, "agent"))) {
        return json_pack("{s:s, s:s, s:i, s:s, s:i, s:s, s:s, s:b}", "name", name,
                         "mode", mode, "applied_epoch", -1, "applied_mode", "",
                         "report_age_ms", -1, "error", "", "health", "up", "agent",
                         false);
    }
    return json_pack("{s:s, s:s, s:I, s:s, s:i, s:s}", "name", name, "mode", mode,
                     "applied_epoch", silent || stubborn ? (json_int_t)1 : epoch,
                     "applied_mode", silent || stubborn ? "active" : mode,
                     "report_age_ms", silent ? 90000 : 300, "error",
                     stubborn ? "nft said no" : "");
}

static int play_status(const char *dir)
{
    char *text = slurp(dir, "document");
    json_t *doc = json_loads(text, 0, NULL), *list = json_array(), *gw;
    json_int_t epoch = json_integer_value(json_object_get(doc, "epoch"));
    size_t i;

    json_array_foreach(json_object_get(doc, "gateways"), i, gw)
    {
        json_array_append_new(list, gateway_status(dir, gw, epoch));
    }
    json_t *o =
        json_pack("{s:I, s:s, s:o}", "epoch", epoch, "refused", "", "gateways", list);
    json_dumpf(o, stdout, JSON_COMPACT);
    json_decref(o);
    json_decref(doc);
    free(text);
    return 0;
}

static int play_publish(const char *dir)
{
    char *text = slurp(dir, "document");
    json_t *old = json_loads(text, 0, NULL), *doc = json_loadf(stdin, 0, NULL), *gw;
    json_int_t epoch = json_integer_value(json_object_get(old, "epoch")) + 1;
    size_t i;

    json_object_set_new(doc, "epoch", json_integer(epoch));
    note(dir, "publish");
    json_array_foreach(json_object_get(doc, "gateways"), i, gw)
    {
        note(dir, json_string_value(json_object_get(gw, "mode")));
    }
    free(text);
    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    spill(dir, "document", text);
    printf("{\"changed\":true,\"epoch\":%lld}\n", (long long)epoch);
    json_decref(old);
    json_decref(doc);
    free(text);
    return 0;
}

static int play_sql(const char *dir)
{
    char *document = slurp(dir, "document"), *numbers = slurp(dir, "numbers");

    printf("document %s\n%s", document, numbers);
    free(document);
    free(numbers);
    return 0;
}

/* ss -Htn state established src STORE and not dst GATEWAY, for either family. */
static int play_ss(const char *dir, int argc, char **argv)
{
    char *flows = slurp(dir, "flows"), *ending = slurp(dir, "ending"), number[24];
    long n = atol(flows), fewer = atol(ending);
    bool cuts = strchr(argv[1], 'K') != NULL;
    const char *stops = getenv("FAKE_STOPS");

    if (stops != NULL && !there(dir, "stopped", "")) {
        spill(dir, "stopped", ""); /* a second one would end it at once */
        kill((pid_t)atol(stops), SIGINT);
    }
    cm_assert(argc == 10 && strcmp(argv[4], "src") == 0);
    if (argv[5][0] != '[') {
        cm_assert(
            (strcmp(argv[5], "10.77.1.2") == 0 && strcmp(argv[9], "10.77.1.1") == 0) ||
            (strcmp(argv[5], "10.77.3.2") == 0 && strcmp(argv[9], "10.77.3.1") == 0));
        for (long i = 0; i < n; i++) {
            puts("0 0 10.77.1.2:993 198.51.100.77:4444");
        }
        if (cuts) {
            note(dir, "cut");
        }
        snprintf(number, sizeof(number), "%ld", cuts || n < fewer ? 0 : n - fewer);
        spill(dir, "flows", number);
    }
    free(flows);
    free(ending);
    return 0;
}

static int play(const char *program, const char *dir, int argc, char **argv)
{
    if (strcmp(program, "runuser") == 0) {
        return play_sql(dir);
    }
    if (strcmp(program, "ss") == 0) {
        return play_ss(dir, argc, argv);
    }
    if (strcmp(program, "systemctl") == 0) {
        puts(there(dir, "no-turn", "") ? "inactive" : "active");
        if (strncmp(argv[argc - 1], "chatmail-turn@", 14) == 0 &&
            strcmp(argv[1], "-q") == 0) {
            note(dir, "turn");
            spill(dir, "no-turn", "");
        }
        return 0;
    }
    return strcmp(argv[2], "publish") == 0 ? play_publish(dir) : play_status(dir);
}

/* ---- what stands around the tests ---- */

static char dir[] = "/tmp/chatops-modes-XXXXXX";
static char *config;

static void begin(const char *text)
{
    static const char *const gone[] = {"flows",          "ending",         "log",
                                       "silent-edge1",   "silent-edge2",   "no-turn",
                                       "stubborn-edge1", "stubborn-edge2", "numbers",
                                       "stopped"};
    struct cm_conf conf;
    struct cm_err err;
    struct px_state *s = calloc(1, sizeof(*s));

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
        char *path = cm_asprintf("%s/%s", dir, gone[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(
        system("rm -rf /var/lib/portico /etc/chatmail; mkdir /etc/chatmail"), 0);
    spill(dir, "chatmail.ini", text);
    spill("/etc/chatmail", "chatmail.ini", text);
    assert_int_equal(cm_conf_parse("x.ini", text, strlen(text), &conf, &err), 0);
    *s = (struct px_state){.epoch = 4,
                           .domain = "_chat.example",
                           .store_wg_public_key = KEY_A,
                           .bus_port = 4710,
                           .metrics_port = 3903,
                           .ports = {25, 993},
                           .port_count = 2,
                           .egress = CM_EGRESS_GATEWAYS,
                           .gateway_count = conf.gateway_count};
    for (size_t i = 0; i < conf.gateway_count; i++) {
        struct px_gateway *g = &s->gateways[i];
        *g = (struct px_gateway){.number = (int)conf.gateways[i].number,
                                 .mode = conf.gateways[i].mode,
                                 .egress = true,
                                 .agentless = !conf.gateways[i].agent,
                                 .address_count = 1,
                                 .wg_port = 51820,
                                 .wg_public_key = KEY_A};
        g->wg_public_key[0] = (char)('B' + i);
        snprintf(g->name, sizeof(g->name), "%s", conf.gateways[i].name);
        snprintf(g->addresses[0], 46, "198.51.100.%zu", i + 11);
        snprintf(g->endpoint, sizeof(g->endpoint), "%s", g->addresses[0]);
    }
    char *document = px_state_dump(s);
    spill(dir, "document", document);
    spill(dir, "numbers", "number 1 edge1\nnumber 2 edge2\n");
    free(document);
    free(s);
    cm_conf_clear(&conf);
}

/* Runs "gateway drain edge1 ..."; what it says on stdout, caller frees. */
static char *say(const char *line, int want, struct cm_err *err)
{
    char *words = cm_asprintf("chatops --config %s %s", config, line),
         *out = cm_asprintf("%s/out", dir), *said = verbkit_say(words, out, want, err);

    free(words);
    free(out);
    return said;
}

static void expect(const char *line, int want, const char *part)
{
    struct cm_err err;
    char *said = say(line, want, &err);

    if (strstr(said, part) == NULL && strstr(err.text, part) == NULL) {
        fail_msg("%s: no \"%s\" in: %s%s", line, part, said, err.text);
    }
    free(said);
}

static void expect_file(const char *where, const char *name, const char *text)
{
    char *found = slurp(where, name);

    assert_string_equal(found, text);
    free(found);
}

static char *replaced(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);

    cm_assert(at != NULL);
    return cm_asprintf("%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
}

/* ---- tests ---- */

/* Refuse, wait, cut, in this order; two of five end by themselves. */
static void test_drain(void **state)
{
    char *drained =
        replaced(ini, "[gateway edge1]\n", "[gateway edge1]\nmode = drain\n");
    char *resumed = replaced(drained, "mode = drain", "mode = active");

    (void)state;
    begin(ini);
    spill(dir, "flows", "5");
    spill(dir, "ending", "0");
    expect("gateway drain edge1 --for 0", OP_EXIT_OK,
           "edge1 is drained; 0 flows let go, 5 cut\n"
           "next: reboot it, then: chatops gateway resume edge1\n");
    expect_file(dir, "log", "publish;drain;active;cut;");
    expect_file(dir, "chatmail.ini", drained);
    expect_file("/etc/chatmail", "chatmail.ini", drained);
    /* a second time: nothing */
    expect("gateway drain edge1", OP_EXIT_OK, "edge1 is drained already\n");
    expect("gateway drain edge1 --json", OP_EXIT_OK, "\"changed\":false");
    expect_file(dir, "log", "publish;drain;active;cut;");
    expect("gateway resume edge1", OP_EXIT_OK, "edge1 takes connections\n");
    expect_file(dir, "log", "publish;drain;active;cut;publish;active;active;");
    expect_file(dir, "chatmail.ini", resumed);
    expect("gateway resume edge1", OP_EXIT_OK, "edge1 takes connections already\n");
    free(drained);
    free(resumed);
}

static void test_flows_end(void **state)
{
    (void)state;
    begin(ini);
    spill(dir, "flows", "5");
    spill(dir, "ending", "2");
    expect("gateway drain edge1 --json", OP_EXIT_OK,
           "\"flows_ended\":5,\"flows_cut\":0");
    expect_file(dir, "log", "publish;drain;active;");
}

/* As after a kill between two steps: the rest is done, nothing twice. */
static void test_goes_on(void **state)
{
    char *drained =
        replaced(ini, "[gateway edge1]\n", "[gateway edge1]\nmode = drain\n");

    (void)state;
    begin(ini); /* killed after chatmail.ini here */
    spill(dir, "chatmail.ini", drained);
    expect("gateway drain edge1", OP_EXIT_OK,
           "edge1 is drained; 0 flows let go, 0 cut");
    expect_file(dir, "log", "publish;drain;active;");
    expect_file("/etc/chatmail", "chatmail.ini", drained);
    spill(dir, "flows", "3"); /* killed before the cut */
    expect("gateway drain edge1 --for 0", OP_EXIT_OK, "0 flows let go, 3 cut");
    expect_file(dir, "log", "publish;drain;active;cut;");
    free(drained);
}

/* ^C while flows are waited for: the next call takes up the rest. */
static void test_interrupted(void **state)
{
    struct cm_err err;
    int status;

    (void)state;
    begin(ini);
    spill(dir, "flows", "4");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        char *verb = cm_asprintf("%d", (int)getpid());
        setenv("FAKE_STOPS", verb, 1);
        free(say("gateway drain edge1 --for 60", OP_EXIT_INT, &err));
        _exit(strstr(err.text, "call it again to go on") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_file(dir, "log", "publish;drain;active;");
    expect_file(dir, "flows", "4");
    expect("gateway drain edge1 --for 0", OP_EXIT_OK, "0 flows let go, 4 cut");
    expect_file(dir, "log", "publish;drain;active;cut;");
}

/* Who does not refuse yet keeps its clients. */
static void test_not_applied(void **state)
{
    (void)state;
    begin(ini);
    spill(dir, "flows", "3");
    spill(dir, "stubborn-edge2", "");
    expect("gateway hold edge1", OP_EXIT_FAILED, "edge1 leaves new connections");
    expect_file(dir, "flows", "3");
    begin(ini);
    spill(dir, "silent-edge2", ""); /* named, and not waited for */
    expect("gateway hold edge1 --json", OP_EXIT_FAILED,
           "\"late\":\"edge2: no report for 90 s\"");
    begin(ini);
    spill(dir, "flows", "3");
    spill(dir, "stubborn-edge1", "");
    expect("gateway drain edge1", OP_EXIT_FAILED,
           "edge1: has applied it: not yet epoch 5: nft said no; its flows were left");
    expect_file(dir, "flows", "3");
}

static void test_last_one(void **state)
{
    char *alone = replaced(ini, "[gateway edge2]\n", "[gateway edge2]\nmode = off\n");
    static const char *const verbs[] = {"drain", "off", "remove"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *line = cm_asprintf("gateway %s edge1", verbs[i]);
        begin(alone);
        expect(line, OP_EXIT_FAILED, "edge1 is the last gateway that serves");
        expect_file(dir, "log", "");
        expect_file(dir, "chatmail.ini", alone);
        free(line);
    }
    expect("gateway off edge1 --force", OP_EXIT_OK, "edge1 is off\n");
    /* none is left, so mail goes out directly */
    char *single;
    struct cm_err err;
    assert_int_equal(op_ini_without_section(ini, "gateway edge2", &single, &err), 0);
    begin(single);
    expect("gateway remove edge1 --force", OP_EXIT_OK, "edge1 is removed");
    char *document = slurp(dir, "document");
    assert_non_null(strstr(document, "\"egress\":\"direct\",\"epoch\":6"));
    assert_non_null(strstr(document, "\"gateways\":[]"));
    free(document);
    free(single);
    begin(ini);
    spill(dir, "silent-edge2", "");
    expect("gateway drain edge1", OP_EXIT_FAILED, "is the last gateway that serves");
    free(alone);
}

static void test_remove(void **state)
{
    static const char left[] =
        "# ours\n[params]\nmail_domain = _chat.example\n"
        "[store]\n# no ssh: here\n"
        "\n[gateway edge2]\nssh = root@203.0.113.12\nnumber = 2\n"
        "addresses = 203.0.113.12\n";
    struct cm_err err;

    (void)state;
    begin(ini);
    spill(dir, "flows", "2");
    char *said = say("gateway remove edge1 --for 0", OP_EXIT_OK, &err);
    assert_non_null(strstr(said, "edge1 is removed; 0 flows let go, 2 cut\n"));
    assert_non_null(strstr(said, "delete these DNS records:\n  _chat.example. "));
    assert_non_null(strstr(said, "IN A     198.51.100.11\n"));
    assert_non_null(strstr(said, "IN AAAA  2001:db8:1::11\n"));
    assert_null(strstr(said, "203.0.113.12"));
    free(said);
    expect_file(dir, "log", "publish;drain;active;cut;publish;active;turn;");
    expect_file(dir, "chatmail.ini", left);
    expect_file("/etc/chatmail", "chatmail.ini", left);
    expect_file(dir, ".chatops/numbers", "1 edge1\n");
    expect("gateway remove edge1", OP_EXIT_OK, "edge1 is removed already");
    expect("gateway remove edge9", OP_EXIT_USAGE,
           "there is no gateway \"edge9\"; there is: edge2");
    expect("gateway drain edge1", OP_EXIT_USAGE, "there is no gateway \"edge1\"");
    expect_file(dir, "log", "publish;drain;active;cut;publish;active;turn;");
}

/* Blocked, burnt, gone: it cannot say that it refuses. */
static void test_remove_lost(void **state)
{
    (void)state;
    begin(ini);
    spill(dir, "flows", "2");
    spill(dir, "silent-edge1", "");
    expect("gateway remove edge1", OP_EXIT_OK,
           "edge1 is removed; 0 flows let go, 2 cut");
    expect_file(dir, "log", "publish;drain;active;cut;publish;active;turn;");
}

static void test_rotate(void **state)
{
    struct cm_err err;

    (void)state;
    begin(ini);
    expect("gateway rotate edge1 edge1", OP_EXIT_USAGE, "same gateway");
    expect("gateway rotate edge1 edge3", OP_EXIT_USAGE,
           "there is no gateway \"edge3\"");
    spill(dir, "silent-edge2", "");
    expect("gateway rotate edge1 edge2", OP_EXIT_FAILED,
           "edge2 cannot take over: no report for 90 s");
    expect_file(dir, "log", "");
    begin(ini);
    char *said = say("gateway rotate edge1 edge2", OP_EXIT_OK, &err);
    assert_non_null(strstr(said, "edge1 is removed"));
    const char *stay = strstr(said, "these stay, or are still to be published:\n");
    assert_non_null(stay);
    assert_non_null(strstr(stay, "IN A     203.0.113.12\n"));
    free(said);
    expect("gateway rotate edge1 edge2 --json", OP_EXIT_OK, "\"changed\":false");
    expect_file(dir, "log", "publish;drain;active;publish;active;turn;");
}

/* Changes of chatmail.ini that have not been run stay out of the document. */
static void test_other_changes_wait(void **state)
{
    char *text = replaced(ini, "[params]\n", "[params]\nmax_message_size = 5000000\n");

    (void)state;
    begin(ini);
    spill(dir, "chatmail.ini", text);
    expect("gateway hold edge2", OP_EXIT_OK, "wait for: chatops run");
    char *store = slurp("/etc/chatmail", "chatmail.ini");
    assert_null(strstr(store, "max_message_size"));
    assert_non_null(strstr(store, "[gateway edge2]\nmode = hold\n"));
    free(store);
    free(text);
    /* not published yet */
    text = cm_asprintf("%s\n[gateway new]\nssh = root@h\nnumber = 3\n"
                       "addresses = 203.0.113.14\n",
                       ini);
    begin(ini);
    spill(dir, "chatmail.ini", text);
    expect("gateway drain new", OP_EXIT_FAILED, "run: chatops run");
    expect("gateway remove new", OP_EXIT_OK, "new is removed");
    expect_file(dir, "chatmail.ini", ini);
    expect_file(dir, "log", "turn;");
    free(text);
}

static void test_render(void **state)
{
    (void)state;
    begin(ini);
    expect("gateway render edge1 --pf", OP_EXIT_OK,
           "# ---- /etc/pf.conf ----\n# Gateway edge1 of _chat.example, mode active, "
           "epoch 4\n");
    expect("gateway render edge1 --pf", OP_EXIT_OK, "PrivateKey = PRIVATE-KEY\n");
    expect("gateway render edge2", OP_EXIT_OK, "ip daddr { 203.0.113.12 } tcp dport");
    expect("gateway render edge2 --json", OP_EXIT_OK, "{\"nft -f -\":\"table inet");
    expect("gateway render edge9", OP_EXIT_USAGE, "there is no gateway \"edge9\"");
    expect("gateway drain edge1 --for soon", OP_EXIT_USAGE, "--for");
}

static bool same_for(const char *unit, const char *a, const char *b)
{
    struct op_files files = {0};
    char hash_a[65], hash_b[65];

    op_files_add_ini(&files, a);
    op_unit_files_hash(&files, unit, hash_a);
    op_files_clear(&files);
    op_files_add_ini(&files, b);
    op_unit_files_hash(&files, unit, hash_b);
    op_files_clear(&files);
    return strcmp(hash_a, hash_b) == 0;
}

static int listen_443(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(443)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

/* Nobody there says what it does; its door is tried, and what was not loaded yet is
 * asked for. Flows are cut only when it refuses. */
static void test_agentless(void **state)
{
    char *three = cm_asprintf("%s\n[gateway edge3]\nnumber = 3\n"
                              "addresses = 198.51.100.13\nagent = no\n"
                              "wg_public_key = D%s\n",
                              ini, &KEY_A[1]);
    int fd;

    (void)state;
    begin(three);
    spill(dir, "numbers", "number 1 edge1\nnumber 2 edge2\nnumber 3 edge3\n");
    fd = listen_443();
    expect("gateway resume edge3", OP_EXIT_OK, "edge3 takes connections");
    spill(dir, "flows", "5");
    expect("gateway drain edge3 --for 0", OP_EXIT_FAILED,
           "198.51.100.13 port 443: still accepts; it has no agent: load there what "
           "\"chatops gateway render edge3 --pf\" prints, then call this again");
    expect_file(dir, "flows", "5");
    close(fd);
    expect("gateway drain edge3 --for 0", OP_EXIT_OK,
           "edge3 is drained; 0 flows let go, 5 cut\n");
    /* the others do not wait for it */
    expect("gateway off edge1", OP_EXIT_OK, "edge1 is off");
    expect("gateway remove edge3", OP_EXIT_OK, "edge3 is removed");
    free(three);
}

/* What the next run would start anew: nothing for a mode, chatmail-web for a gateway.
 */
static void test_stamps(void **state)
{
    char *drained =
        replaced(ini, "[gateway edge1]\n", "[gateway edge1]\nmode = drain\n");
    char *other = replaced(ini, "[params]\n", "[params]\nmax_message_size = 5000000\n"),
         *less;
    struct cm_err err;

    (void)state;
    assert_int_equal(op_ini_without_section(ini, "gateway edge1", &less, &err), 0);
    assert_true(same_for("chatmail-auth.service", ini, drained));
    assert_true(same_for("chatmail-web.service", ini, drained));
    assert_true(same_for("chatmail-auth.service", ini, less));
    assert_true(same_for("chatmail-push.service", drained, less));
    assert_false(same_for("chatmail-web.service", ini, less));
    assert_false(same_for("chatmail-auth.service", ini, other));
    free(drained);
    free(other);
    free(less);
}

/* /etc and /var/lib of this process alone: overlays in a tmpfs. */
static int own_world(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        system("ip link set lo up && ip addr add 198.51.100.13/32 dev lo") != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/mnt", "tmpfs", 0, NULL) != 0) {
        return -1;
    }
    return system(
        "cd /mnt && for d in etc var/lib; do mkdir -p up/$d work/$d && mount -t "
        "overlay overlay -o lowerdir=/$d,upperdir=up/$d,workdir=work/$d /$d ||"
        " exit 1; done");
}

static int set_up(void **state)
{
    static const char *const programs[] = {"chatmail-cluster", "ss", "runuser",
                                           "systemctl"};
    char self[512] = "";

    (void)state;
    op_apply_ms = 1000;
    if (mkdtemp(dir) == NULL ||
        readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        char *link = cm_asprintf("%s/%s", dir, programs[i]);
        if (symlink(self, link) != 0) {
            return -1;
        }
        free(link);
    }
    char *path = cm_asprintf("%s:%s", dir, getenv("PATH"));
    setenv("PATH", path, 1);
    setenv("FAKE_STORE", dir, 1);
    free(path);
    config = cm_asprintf("%s/chatmail.ini", dir);
    return 0;
}

static int tear_down(void **state)
{
    char *cmd = cm_asprintf("rm -rf %s", dir);
    int rc = system(cmd);

    (void)state;
    free(cmd);
    free(config);
    return rc;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_flows_end),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_not_applied),
        cmocka_unit_test(test_last_one),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_lost),
        cmocka_unit_test(test_rotate),
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_agentless),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_other_changes_wait),
    };
    const char *name = strrchr(argv[0], '/');
    const char *store = getenv("FAKE_STORE");

    name = name != NULL ? name + 1 : argv[0];
    if (store != NULL && strncmp(name, "test_", 5) != 0) {
        return play(name, store, argc, argv);
    }
    if (own_world() != 0) {
        fprintf(stderr, "skipped: no mount namespace here\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
