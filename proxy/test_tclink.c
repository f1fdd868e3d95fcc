/* Programs on lo, in a network namespace of their own: one that drops all, and one that
 * lets all pass. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "common/file.h"
#include "common/run.h"
#include "programs.h"
#include "tclink.h"

#define LO 1

static int drops, passes;

/* r0 = verdict; exit */
static int program(int verdict)
{
    const struct bpf_insn text[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
        {.code = BPF_JMP | BPF_EXIT}};

    return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "verdict", "GPL", text, 2, NULL);
}

static int set_up(void **unused)
{
    static const char *const up[] = {"ip", "link", "set", "lo", "up", NULL};
    struct cm_run run = {.argv = up};
    struct cm_err err;

    (void)unused;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0 ||
        (drops = program(TC_ACT_SHOT)) < 0 || (passes = program(TC_ACT_UNSPEC)) < 0) {
        fprintf(stderr, "needs root, network namespaces and eBPF\n");
        exit(77);
    }
    return cm_run_ok(&run, NULL, &err);
}

/* Whether a datagram to ourselves comes. */
static bool is_open(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_usec = 200000};
    socklen_t len = sizeof(here);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char byte = 'x';

    assert_int_equal(bind(fd, (struct sockaddr *)&here, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(sendto(fd, &byte, 1, 0, (struct sockaddr *)&here, len), 1);
    bool came = recv(fd, &byte, 1, 0) == 1;
    close(fd);
    return came;
}

static void put(int prog, bool ours)
{
    struct cm_err err;

    if (px_tclink_attach(LO, PX_TCLINK_INGRESS, prog, ours, "verdict", &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void the_last_one_counts(void **unused)
{
    (void)unused;
    for (int ours = 0; ours <= 1; ours++) {
        put(drops, ours);
        assert_false(is_open());
        put(drops, ours);
        assert_false(is_open());
        put(passes, ours);
        assert_true(is_open());
        put(drops, ours);
        assert_false(is_open());
        px_tclink_detach(LO, PX_TCLINK_INGRESS);
        assert_true(is_open());
        px_tclink_detach(LO, PX_TCLINK_INGRESS);
    }
}

/* An earlier version has put it there as a filter; this one knows a faster way. */
static void what_was_a_filter_goes(void **unused)
{
    (void)unused;
    put(drops, false);
    put(passes, true);
    assert_true(is_open());
    px_tclink_detach(LO, PX_TCLINK_INGRESS);
}

static void filters_of_others_stay(void **unused)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LO,
                        .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, theirs, .handle = 1, .priority = 8000,
                        .prog_fd = drops);

    (void)unused;
    put(passes, false);
    assert_int_equal(bpf_tc_attach(&hook, &theirs), 0);
    assert_false(is_open());
    put(passes, false);
    px_tclink_detach(LO, PX_TCLINK_INGRESS);
    assert_false(is_open());
    theirs.prog_fd = 0;
    theirs.prog_id = 0;
    assert_int_equal(bpf_tc_detach(&hook, &theirs), 0);
    assert_true(is_open());
}

static void no_such_link(void **unused)
{
    struct cm_err err;

    (void)unused;
    assert_int_equal(
        px_tclink_attach(4711, PX_TCLINK_EGRESS, drops, true, "verdict", &err), -1);
    assert_non_null(strstr(err.text, "verdict on link 4711"));
}

/* It needs no more than CAP_NET_ADMIN and CAP_BPF for what is loaded. */
static void what_is_loaded_can_be_attached(void **unused)
{
    char *status = NULL;
    struct cm_err err;

    (void)unused;
    px_programs_loaded();
    assert_int_equal(
        cm_file_read("/proc/thread-self/status", 65536, &status, NULL, &err), 1);
    const char *effective = strstr(status, "\nCapEff:");
    assert_non_null(effective);
    unsigned long long set = strtoull(effective + strlen("\nCapEff:"), NULL, 16);
    assert_true((set >> CAP_NET_ADMIN & 1) == 1 && (set >> CAP_PERFMON & 1) == 0);
    free(status);
    put(drops, true);
    assert_false(is_open());
    px_tclink_detach(LO, PX_TCLINK_INGRESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_counts),
        cmocka_unit_test(what_was_a_filter_goes),
        cmocka_unit_test(filters_of_others_stay),
        cmocka_unit_test(no_such_link),
        cmocka_unit_test(
            what_is_loaded_can_be_attached), /* the last: nothing is given back */
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
