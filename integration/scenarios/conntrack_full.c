/* edge1's connection tracking is full: who is connected lives on, who comes new has to
 * wait or to go elsewhere, and is let in when there is room again.
 *
 * The table's size is one number for all namespaces of the machine, so it is the
 * machine's that is turned down for the time, to more than any other node needs. The
 * table is filled from within edge1, by connections of the node to itself. */
#include "scenario.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "door.h"

#define SIZE    4000
#define MAX     "/proc/sys/net/netfilter/nf_conntrack_max"
#define SAVED   "conntrack_max"
#define PORT    9
#define STEP_MS 15000
#define FULL_MS 1500
#define KNOCKS  4
#define ROOM_MS 30000 /* what is reset is remembered for ten seconds */

/* ---- the machine's number ---- */

static char *saved_path(struct stage *stage)
{
    return cm_asprintf("%s/%s", lab_dir(stage->scene.lab), SAVED);
}

static int write_max(const char *text, struct cm_err *err)
{
    int fd = open(MAX, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return n > 0 ? 0 : cm_err_set(err, CM_ERR_WORLD, "cannot write " MAX);
}

static int turn_down(struct stage *stage, struct cm_err *err)
{
    char *was = NULL, *path = saved_path(stage), size[16];
    int rc = cm_file_read(MAX, 64, &was, NULL, err) == 1
                 ? cm_file_replace(path, was, strlen(was), 0600, err)
                 : -1;
    snprintf(size, sizeof size, "%d", SIZE);
    if (rc == 0) {
        rc = write_max(size, err);
    }
    free(was);
    free(path);
    return rc;
}

int scenario_conntrack_roomy(struct stage *stage, struct cm_err *err)
{
    char *was = NULL, *path = saved_path(stage);
    int rc = cm_file_read(path, 64, &was, NULL, err);
    if (rc == 1 && (rc = write_max(was, err)) == 0) {
        unlink(path);
    }
    free(was);
    free(path);
    return rc < 0 ? -1 : 0;
}

/* ---- the filler ---- */

static int loopback(int fd, bool server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return server ? bind(fd, (struct sockaddr *)&at, sizeof at)
                  : connect(fd, (struct sockaddr *)&at, sizeof at);
}

/* One connection with itself. False when the table has no room. */
static bool fill_one(int door)
{
    struct timeval limit = {.tv_usec = 200000};
    struct linger now = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (loopback(fd, false) != 0) {
        close(fd);
        return false;
    }
    int peer = accept(door, NULL, NULL);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return true;
}

/* Says how many when the table takes no more, and then takes every place that others
 * leave. It dies with us, and resets them all. */
static _Noreturn void be_filler(const char *netns, int out)
{
    int ns = open(netns, O_RDONLY | O_CLOEXEC), on = 1, made = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) {
        _exit(1);
    }
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (loopback(door, true) != 0 || listen(door, 16) != 0) {
        _exit(2);
    }
    while (made < SIZE && fill_one(door)) {
        made++;
    }
    (void)!write(out, &made, sizeof made);
    for (;;) {
        (void)fill_one(door);
    }
}

static int fill(struct stage *stage, pid_t *pid_r, struct cm_err *err)
{
    char netns[64];
    int ends[2], made = 0;
    if (scene_netns(&stage->scene, "edge1", netns, err) != 0) {
        return -1;
    }
    cm_assert(pipe(ends) == 0);
    fflush(NULL);
    *pid_r = fork();
    cm_assert(*pid_r >= 0);
    if (*pid_r == 0) {
        close(ends[0]);
        be_filler(netns, ends[1]);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], &made, sizeof made);
    close(ends[0]);
    if (n != (ssize_t)sizeof made || made == SIZE) {
        return cm_err_set(err, CM_ERR_WORLD, "the table took %d connections", made);
    }
    stage_note(stage, "full with %d", made);
    return 0;
}

static void spill(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

/* ---- */

static int while_full(struct stage *stage, struct imap *present,
                      const struct scene_account *account, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct door edge2 = door_at("edge2", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &edge1, FULL_MS);
    unsigned in = 0;
    /* The kernel may give a place of somebody half-open away, so one may slip in. */
    for (int i = 0; i < KNOCKS; i++) {
        struct cm_err why;
        struct wire *wire = wire_open(&to, &why);
        in += wire != NULL;
        wire_close(&wire);
    }
    if (in == KNOCKS) {
        return cm_err_set(err, CM_ERR_WORLD, "the table is not full");
    }
    for (int i = 0; i < 3; i++) {
        if (imap_command(present, "NOOP", NULL, NULL, err) != 0) {
            return cm_err_prefix(err, "who is there, with a full table");
        }
        stage_sleep_ms(1000);
    }
    return door_must_let_in(stage, &edge2, account, err);
}

int scenario_conntrack_full(struct stage *stage, struct cm_err *err)
{
    struct door edge1 = door_at("edge1", AF_INET, 993, true);
    struct scene_account account;
    struct cm_err ignored;
    int64_t ms = 0;
    pid_t filler = 0;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    struct imap *present = door_imap(stage, &edge1, &account, STEP_MS, err);
    int rc = present == NULL || turn_down(stage, err) != 0 ||
                     fill(stage, &filler, err) != 0 ||
                     while_full(stage, present, &account, err) != 0
                 ? -1
                 : 0;
    spill(&filler);
    if (rc == 0) {
        rc =
            door_until_in(stage, &edge1, &account, cm_now_mono_ms(), ROOM_MS, &ms, err);
        stage_note(stage, "let in %.1f s after there was room", (double)ms / 1000);
    }
    if (rc == 0) {
        rc = imap_command(present, "NOOP", NULL, NULL, err);
    }
    imap_close(&present);
    return scenario_conntrack_roomy(stage, rc == 0 ? err : &ignored) != 0 ? -1 : rc;
}
