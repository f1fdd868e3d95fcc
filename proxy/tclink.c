#include "tclink.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Of our filters, among those that somebody else may have on the same link. */
#define HANDLE   1
#define PRIORITY 7079

/* linux/bpf.h of 6.6; Debian 12 has an older one. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define TCX_FIRST   (1u << 3) /* BPF_F_BEFORE, and no other program is named */
#define TCX_LAST    (1u << 4) /* BPF_F_AFTER */

#define PROGRAMS_MAX 64 /* the kernel takes no more on one link */

struct place {
    int link;
    enum px_tclink_where where;
};

static int prog_id(int prog, __u32 *id_r)
{
    struct bpf_prog_info info = {0};
    __u32 len = sizeof(info);
    int rc = bpf_obj_get_info_by_fd(prog, &info, &len);

    *id_r = info.id;
    return rc;
}

/* ---- tcx ---- */

static int tcx(int command, const struct place *at, int prog, __u32 flags)
{
    union bpf_attr attr = {0};

    attr.target_fd = (__u32)at->link; /* is the link's number here */
    attr.attach_bpf_fd = (__u32)prog;
    attr.attach_type = at->where == PX_TCLINK_INGRESS ? TCX_INGRESS : TCX_EGRESS;
    attr.attach_flags = flags;
    return (int)syscall(SYS_bpf, command, &attr, sizeof(attr));
}

/* How many there are; -1: the kernel has no tcx. */
static int tcx_query(const struct place *at, __u32 ids[PROGRAMS_MAX])
{
    union bpf_attr attr = {0};

    attr.query.target_fd = (__u32)at->link;
    attr.query.attach_type = at->where == PX_TCLINK_INGRESS ? TCX_INGRESS : TCX_EGRESS;
    attr.query.prog_ids = (__u64)(uintptr_t)ids;
    attr.query.prog_cnt = PROGRAMS_MAX;
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    return (int)attr.query.prog_cnt;
}

static bool is_alone(const struct place *at, __u32 id)
{
    __u32 ids[PROGRAMS_MAX] = {0};

    return tcx_query(at, ids) == 1 && ids[0] == id;
}

/* Ours comes before the others, and then these go: no packet passes unseen. */
static int tcx_attach(const struct place *at, int prog, __u32 id)
{
    __u32 ids[PROGRAMS_MAX] = {0};

    if (is_alone(at, id)) {
        return 0;
    }
    int n = tcx_query(at, ids);
    for (int i = 0; i < n; i++) {
        if (ids[i] == id && tcx(BPF_PROG_DETACH, at, prog, 0) != 0) {
            return -1;
        }
    }
    if (n < 0 || tcx(BPF_PROG_ATTACH, at, prog, n == 0 ? 0 : TCX_FIRST) != 0) {
        return -1;
    }
    for (int i = 0; i < PROGRAMS_MAX && !is_alone(at, id); i++) {
        if (tcx(BPF_PROG_DETACH, at, 0, TCX_LAST) != 0) {
            return -1;
        }
    }
    return is_alone(at, id) ? 0 : -1;
}

/* ---- clsact ---- */

/* With zeros between its fields, which libbpf looks at. */
static void hook_of(const struct place *at, struct bpf_tc_hook *hook_r)
{
    memset(hook_r, 0, sizeof(*hook_r));
    hook_r->sz = sizeof(*hook_r);
    hook_r->ifindex = at->link;
    hook_r->attach_point =
        at->where == PX_TCLINK_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS;
}

static int tc_attach(const struct place *at, int prog, __u32 id)
{
    struct bpf_tc_hook hook;
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, have, .handle = HANDLE, .priority = PRIORITY);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, want, .handle = HANDLE, .priority = PRIORITY,
                        .prog_fd = prog, .flags = BPF_TC_F_REPLACE);

    hook_of(at, &hook);
    if (bpf_tc_query(&hook, &have) == 0 && have.prog_id == id) {
        return 0;
    }
    int rc = bpf_tc_hook_create(&hook);
    return rc == 0 || rc == -EEXIST ? bpf_tc_attach(&hook, &want) : rc;
}

static void tc_detach(const struct place *at)
{
    struct bpf_tc_hook hook;
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = HANDLE, .priority = PRIORITY);

    hook_of(at, &hook);
    (void)bpf_tc_detach(&hook, &ours);
}

/* ---- both ---- */

int px_tclink_attach(int link, enum px_tclink_where where, int prog, bool ours,
                     const char *name, struct cm_err *err)
{
    const struct place at = {link, where};
    __u32 id = 0;

    if (prog_id(prog, &id) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", name, strerror(errno));
    }
    if (ours && tcx_attach(&at, prog, id) == 0) {
        tc_detach(&at); /* what an earlier version has left */
        return 0;
    }
    int rc = tc_attach(&at, prog, id);
    return rc == 0 ? 0
                   : cm_err_set(err, CM_ERR_WORLD, "%s on link %d: %s", name, link,
                                strerror(-rc));
}

void px_tclink_detach(int link, enum px_tclink_where where)
{
    const struct place at = {link, where};

    for (int i = 0; i < PROGRAMS_MAX && tcx(BPF_PROG_DETACH, &at, 0, TCX_LAST) == 0;
         i++) {
    }
    tc_detach(&at);
}
