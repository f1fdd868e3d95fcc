/* apply against a real kernel, in a network namespace of its own: every rendered text
 * is loaded, read back, left alone the second time, repaired when meddled with,
 * removed. Needs root, nft, iproute2; the WireGuard part needs the kernel's or
 * wireguard-go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "apply.h"
#include "common/clock.h"
#include "common/run.h"
#include "sample.h"

static void sh(const char *const *argv)
{
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    if (cm_run_ok(&run, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
}
#define SH(...) sh((const char *const[]){__VA_ARGS__, NULL})

static int own_namespace(void **unused)
{
    (void)unused;
    /* The mounts too: the control sockets of wireguard-go are files. */
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        fprintf(stderr, "needs root and network namespaces\n");
        exit(77);
    }
    mkdir("/run/wireguard", 0700);
    assert_int_equal(mount("tmpfs", "/run/wireguard", "tmpfs", 0, NULL), 0);
    SH("ip", "link", "set", "lo", "up");
    return 0;
}

/* wireguard-go daemonises itself once the link is there. */
static void make_tunnel(const char *name)
{
    struct cm_run kernel = {.argv = (const char *const[]){"ip", "link", "add", name,
                                                          "type", "wireguard", NULL}};
    struct cm_err err;
    if (cm_run_ok(&kernel, NULL, &err) != 0) {
        SH("wireguard-go", name);
    }
}

static void apply_gateway(const struct px_state *state, struct px_seen *seen,
                          bool change)
{
    struct px_outcome out = {0};
    struct cm_err err;
    if (px_apply_gateway(state, &state->gateways[0], PX_SAMPLE_PRIVATE, seen, &out,
                         &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(out.changed, change);
}

static void gateway_all_modes(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_seen seen = {0};
    struct px_loaded loaded;
    struct cm_err err;
    struct px_outcome out = {0};
    assert_int_equal(px_loaded(&loaded, &err), 0);
    assert_int_equal(px_apply_gateway(&state, &state.gateways[0], PX_SAMPLE_PRIVATE,
                                      &seen, &out, &err),
                     -1);
    assert_int_equal(err.kind, CM_ERR_RETRY); /* no wg0 yet, but rules first */
    make_tunnel("wg0");
    apply_gateway(&state, &seen, true);
    apply_gateway(&state, &seen, false);
    assert_int_equal(px_loaded(&loaded, &err), 1);
    assert_int_equal(loaded.epoch, 17);
    for (int mode = CM_MODE_ACTIVE; mode <= CM_MODE_OFF; mode++) {
        state.epoch++;
        state.gateways[0].mode = (enum cm_mode)mode;
        apply_gateway(&state, &seen, true);
        apply_gateway(&state, &seen, false);
    }
    state.egress = CM_EGRESS_ALL;
    apply_gateway(&state, &seen, false); /* off: egress makes no difference */
}

/* What a hand has put into the table is there as long as nothing is loaded anew. */
static bool kept(void)
{
    const char *const argv[] = {"nft",      "list", "counter", "inet",
                                "chatmail", "kept", NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    return cm_run_ok(&run, NULL, &err) == 0;
}

static void has_ban(const char *source, bool there)
{
    bool v6 = strchr(source, ':') != NULL;
    const char *const argv[] = {
        "nft", "list", "set", "inet", "chatmail", v6 ? "banned6" : "banned4", NULL};
    struct cm_run run = {.argv = argv};
    struct cm_err err;
    char *text = NULL;
    assert_int_equal(cm_run_ok(&run, &text, &err), 0);
    assert_int_equal(strstr(text, source) != NULL, there);
    free(text);
}

/* A new epoch that brings or ends bans leaves counters and the rest as they are. */
static void bans_come_and_go(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_seen seen = {0};
    struct px_loaded loaded;
    struct cm_err err;
    state.epoch = 40;
    state.bans[0].until = state.bans[1].until = cm_now_wall_ms() / 1000 + 1000;
    apply_gateway(&state, &seen, true);
    has_ban("203.0.113.66", true);
    has_ban("2001:db8:ba:d0::", true);
    SH("nft", "add", "counter", "inet", "chatmail", "kept");
    seen = (struct px_seen){0};
    apply_gateway(&state, &seen, false);
    assert_true(kept());
    state.epoch = 41;
    state.ban_count = 1;
    apply_gateway(&state, &seen, true);
    assert_true(kept());
    has_ban("203.0.113.66", true);
    has_ban("2001:db8:ba:d0::", false);
    apply_gateway(&state, &seen, false);
    state.epoch = 42;
    apply_gateway(&state, &seen, true);
    assert_int_equal(px_loaded(&loaded, &err), 1);
    assert_int_equal(loaded.epoch, 42);
    has_ban("203.0.113.66", true);
    seen = (struct px_seen){0};
    apply_gateway(&state, &seen, false); /* a new process finds it so */
    /* Another mode is another text: all is loaded, with the bans. */
    state.gateways[0].mode = CM_MODE_HOLD;
    apply_gateway(&state, &seen, true);
    assert_false(kept());
    has_ban("203.0.113.66", true);
}

/* By which a restarted agent goes on as it was. */
static void what_is_loaded_says_of_itself(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_gateway *gw = &state.gateways[0];
    struct px_seen seen = {0};
    struct px_outcome out = {0};
    struct px_loaded loaded;
    struct cm_err err;
    static const struct {
        bool carried, tracked, tracks, others;
    } kinds[] = {{false, false, true, false},
                 {true, true, false, true},
                 {true, false, false, false}};
    for (size_t i = 0; i < 3; i++) {
        gw->carried = kinds[i].carried;
        gw->tracked = kinds[i].tracked;
        state.epoch++;
        assert_int_equal(px_apply_gateway_rules(&state, gw, &seen, &out, &err), 0);
        assert_int_equal(px_loaded(&loaded, &err), 1);
        assert_int_equal(loaded.epoch, state.epoch);
        assert_int_equal(loaded.tracks, kinds[i].tracks);
        assert_int_equal(loaded.others, kinds[i].others);
    }
}

/* A table that a version before 1.2 has loaded says its epoch in a comment. */
static void older_table(void **unused)
{
    (void)unused;
    struct px_loaded loaded;
    struct cm_err err;
    SH("nft", "delete", "table", "inet", "chatmail");
    SH("nft", "add table inet chatmail { comment \"epoch 1234\"; }");
    assert_int_equal(px_loaded(&loaded, &err), 1);
    assert_int_equal(loaded.epoch, 1234);
}

static void gateway_repairs(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_seen seen = {0};
    apply_gateway(&state, &seen, true);
    /* A new process finds its own work and leaves it alone. */
    struct px_seen fresh = {0};
    apply_gateway(&state, &fresh, false);
    SH("nft", "add", "rule", "inet", "chatmail", "arrive", "drop");
    apply_gateway(&state, &fresh, true);
    SH("ip", "addr", "flush", "dev", "wg0");
    apply_gateway(&state, &fresh, true);
    SH("wg", "set", "wg0", "listen-port", "1234");
    apply_gateway(&state, &fresh, true);
    SH("ip", "link", "set", "wg0", "down");
    apply_gateway(&state, &fresh, true);
    apply_gateway(&state, &fresh, false);
}

static void apply_store(const struct px_state *state, struct px_seen *seen, bool change)
{
    struct px_outcome out = {0};
    struct cm_err err;
    if (px_apply_store(state, PX_SAMPLE_PRIVATE, seen, &out, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(out.changed, change);
}

static void apply_egress(const struct px_state *state, const int *healthy, size_t n,
                         bool change)
{
    struct px_outcome out = {0};
    struct cm_err err;
    if (px_apply_egress(state, healthy, n, &out, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(out.changed, change);
}

static void store_and_egress(void **unused)
{
    (void)unused;
    struct px_state state = px_sample();
    struct px_seen seen = {0};
    struct cm_err err;
    SH("nft", "add", "table", "inet", "others");
    SH("ip", "rule", "add", "pref", "3000", "lookup", "main");
    make_tunnel("wg1");
    apply_store(&state, &seen, true); /* wg2 is not there yet */
    make_tunnel("wg2");
    apply_store(&state, &seen, true);
    apply_store(&state, &seen, false);
    apply_egress(&state, (int[]){1, 2}, 2, true);
    apply_egress(&state, (int[]){1, 2}, 2, false);
    apply_egress(&state, (int[]){2}, 1, true);
    apply_egress(&state, NULL, 0, true);
    apply_store(&state, &seen, false);
    assert_int_equal(px_kill_egress(1, &err), 0);

    state.egress = CM_EGRESS_ALL;
    apply_store(&state, &seen, true);
    apply_store(&state, &seen, false);
    state.gateway_count = 1;
    assert_int_equal(px_link_remove("wg2", &err), 0);
    assert_int_equal(px_link_remove("wg2", &err), 0);
    apply_store(&state, &seen, true);
    state.gateway_count = 0;
    assert_int_equal(px_link_remove("wg1", &err), 0);
    apply_store(&state, &seen, true);
    apply_store(&state, &seen, false);
    /* What is not ours is still there. */
    SH("nft", "list", "table", "inet", "others");
    SH("ip", "rule", "del", "pref", "3000", "lookup", "main");
}

/* A connection to that address; *server_r is the store's end of it. */
static int connection(const char *to, int *listener_r, int *server_r)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    assert_int_equal(inet_pton(AF_INET, to, &in.sin_addr), 1);
    *listener_r = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*listener_r, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(*listener_r, 4), 0);
    assert_int_equal(getsockname(*listener_r, (struct sockaddr *)&in, &len), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, len), 0);
    *server_r = accept(*listener_r, NULL, NULL);
    assert_true(*server_r >= 0);
    return fd;
}

static bool ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void sessions_of_one_gateway_end(void **unused)
{
    (void)unused;
    struct cm_err err;
    int listener[2], server[2], client[2];
    SH("ip", "addr", "add", "10.77.1.2/32", "dev", "lo");
    SH("ip", "addr", "add", "10.77.2.2/32", "dev", "lo");
    client[0] = connection("10.77.1.2", &listener[0], &server[0]);
    client[1] = connection("10.77.2.2", &listener[1], &server[1]);
    assert_int_equal(px_kill_sessions(1, &err), 0);
    assert_true(ended(server[0]));
    assert_false(ended(server[1]));
    /* Who listens there goes on listening. */
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    assert_int_equal(getsockname(listener[0], (struct sockaddr *)&in, &len), 0);
    int again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(again, (struct sockaddr *)&in, len), 0);
    close(again);
    for (int i = 0; i < 2; i++) {
        close(client[i]);
        close(server[i]);
        close(listener[i]);
    }
    SH("ip", "addr", "del", "10.77.1.2/32", "dev", "lo");
    SH("ip", "addr", "del", "10.77.2.2/32", "dev", "lo");
}

/* wireguard-go ends when its link is gone. */
static int remove_tunnels(void **unused)
{
    (void)unused;
    struct cm_err err;
    int failed = 0;
    static const char *const names[] = {"wg0", "wg1", "wg2"};
    for (size_t i = 0; i < 3; i++) {
        failed += px_link_remove(names[i], &err) != 0;
    }
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gateway_all_modes),
        cmocka_unit_test(gateway_repairs),
        cmocka_unit_test(bans_come_and_go),
        cmocka_unit_test(what_is_loaded_says_of_itself),
        cmocka_unit_test(older_table),
        cmocka_unit_test(store_and_egress),
        cmocka_unit_test(sessions_of_one_gateway_end),
    };
    return cmocka_run_group_tests(tests, own_namespace, remove_tunnels);
}
