#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/mem.h"

#define SILENT_US  10000000
#define EVENTS_MAX 64
#define SECOND_US  1000000

struct lane {
    int fd;
    bool greeted; /* hello was sent */
    bool busy;
    int64_t since_us;
    bool begun; /* part of the answer came */
    bool good;
};

struct run {
    const struct load *load;
    struct load_result *result;
    struct lane lanes[LOAD_LANES_MAX];
    unsigned idle[LOAD_LANES_MAX];
    unsigned idle_count;
    int epoll;
    uint64_t sent;
    int64_t start_us, heard_us;
    struct sockaddr_un to;
};

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * SECOND_US + ts.tv_nsec / 1000;
}

static int trouble(struct cm_err *err, const char *what)
{
    return cm_err_set(err, CM_ERR_WORLD, "load: %s: %s", what, strerror(errno));
}

static int lane_open(struct run *r, unsigned i, struct cm_err *err)
{
    struct lane *l = &r->lanes[i];
    struct epoll_event want = {.events = EPOLLIN, .data.u32 = i};
    if (l->fd >= 0) {
        return 0;
    }
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    l->greeted = false;
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&r->to, sizeof(r->to)) != 0 ||
        epoll_ctl(r->epoll, EPOLL_CTL_ADD, l->fd, &want) != 0) {
        return trouble(err, "connect");
    }
    return 0;
}

static int lane_begin(struct run *r, unsigned i, int64_t since_us, struct cm_err *err)
{
    struct lane *l = &r->lanes[i];
    char text[2 * LOAD_REQUEST_MAX];
    size_t len = 0;
    if (lane_open(r, i, err) != 0) {
        return -1;
    }
    if (!l->greeted) {
        len = strlen(r->load->hello);
        memcpy(text, r->load->hello, len);
        l->greeted = true;
    }
    len += r->load->request(text + len, r->load->first + r->sent++, r->load->ctx);
    /* Where the other side speaks first, it may have closed by now. */
    if ((len > 0 && send(l->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len) ||
        (r->load->shut && shutdown(l->fd, SHUT_WR) != 0)) {
        return trouble(err, "send");
    }
    l->busy = true;
    l->begun = false;
    l->since_us = since_us;
    return 0;
}

static void lane_answered(struct run *r, unsigned i)
{
    struct lane *l = &r->lanes[i];
    struct load_result *res = r->result;
    int64_t took = now_us() - l->since_us;
    res->waits[took < LOAD_US_MAX ? (took > 0 ? took : 0) : LOAD_US_MAX]++;
    res->answered++;
    res->bad += !l->good;
    if (r->load->fresh) {
        close(l->fd);
        l->fd = -1;
    }
    l->busy = false;
    r->idle[r->idle_count++] = i;
}

static int lane_hear(struct run *r, unsigned i, struct cm_err *err)
{
    struct lane *l = &r->lanes[i];
    char text[4096];
    ssize_t n = recv(l->fd, text, sizeof(text), MSG_DONTWAIT);
    if (n == 0 && r->load->fresh && l->busy && l->begun) {
        lane_answered(r, i);
        return 0;
    }
    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 0
                                        : trouble(err, n < 0 ? "recv" : "it closed");
    }
    if (!l->busy) {
        return cm_err_set(err, CM_ERR_WORLD, "load: an answer to nothing");
    }
    if (!l->begun) {
        l->begun = true;
        size_t want = strlen(r->load->expect);
        l->good = (size_t)n >= want && memcmp(text, r->load->expect, want) == 0;
    }
    if (text[n - 1] == '\n') {
        lane_answered(r, i);
    }
    return 0;
}

/* Lets what is due begin. Returns how long until the next one is, in microseconds. */
static int64_t begin_due(struct run *r, struct cm_err *err)
{
    int64_t now = now_us(), end = r->start_us + r->load->ms * 1000;
    while (r->idle_count > 0) {
        int64_t due = now;
        if (r->load->pace > 0) {
            due = r->start_us + (int64_t)((double)r->sent * SECOND_US / r->load->pace);
        }
        if (due >= end || due > now) {
            return due >= end ? SECOND_US : due - now;
        }
        if (lane_begin(r, r->idle[--r->idle_count], due, err) != 0) {
            return -1;
        }
    }
    return SECOND_US;
}

static int turn(struct run *r, int64_t wait_us, struct cm_err *err)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = {.tv_sec = wait_us / SECOND_US,
                            .tv_nsec = wait_us % SECOND_US * 1000};
    int n = epoll_pwait2(r->epoll, events, EVENTS_MAX, &wait, NULL);
    if (n < 0 && errno != EINTR) {
        return trouble(err, "epoll");
    }
    if (n > 0) {
        r->heard_us = now_us();
    }
    for (int i = 0; i < n; i++) {
        if (lane_hear(r, events[i].data.u32, err) != 0) {
            return -1;
        }
    }
    if (r->idle_count < r->load->lanes && now_us() - r->heard_us > SILENT_US) {
        return cm_err_set(err, CM_ERR_WORLD, "load: no answer for 10 s");
    }
    return 0;
}

static int loop(struct run *r, struct cm_err *err)
{
    r->start_us = r->heard_us = now_us();
    for (;;) {
        int64_t wait_us = begin_due(r, err);
        if (wait_us < 0) {
            return -1;
        }
        bool over = now_us() >= r->start_us + r->load->ms * 1000;
        if (over && r->idle_count == r->load->lanes) {
            r->result->seconds = (double)(now_us() - r->start_us) / SECOND_US;
            return 0;
        }
        if (turn(r, over ? SECOND_US / 100 : wait_us, err) != 0) {
            return -1;
        }
    }
}

int load_run(const struct load *load, struct load_result *result_r, struct cm_err *err)
{
    struct load_result result = {.waits = cm_calloc(LOAD_US_MAX + 1, sizeof(uint32_t))};
    struct run *r = cm_calloc(1, sizeof(*r));
    cm_assert(load->lanes > 0 && load->lanes <= LOAD_LANES_MAX &&
              strlen(load->hello) <= LOAD_REQUEST_MAX);
    *r = (struct run){.load = load, .result = &result, .to.sun_family = AF_UNIX};
    cm_assert(strlen(load->path) < sizeof(r->to.sun_path));
    strncpy(r->to.sun_path, load->path, sizeof(r->to.sun_path) - 1);
    prctl(PR_SET_TIMERSLACK, 1000); /* else each planned moment is 50 us late */
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < load->lanes; i++) {
        r->lanes[i].fd = -1;
        r->idle[r->idle_count++] = i;
    }
    int rc = r->epoll < 0 ? trouble(err, "epoll") : loop(r, err);
    for (unsigned i = 0; i < load->lanes; i++) {
        if (r->lanes[i].fd >= 0) {
            close(r->lanes[i].fd);
        }
    }
    close(r->epoll);
    free(r);
    if (rc != 0) {
        load_clear(&result);
        return -1;
    }
    *result_r = result;
    return 0;
}

void load_clear(struct load_result *result)
{
    free(result->waits);
    result->waits = NULL;
}

double load_rate(const struct load_result *result)
{
    return (double)(result->answered - result->bad) / result->seconds;
}

double load_wait_ms(const struct load_result *result, double share)
{
    uint64_t want = (uint64_t)((double)result->answered * share), seen = 0;
    for (size_t i = 0; i <= LOAD_US_MAX; i++) {
        seen += result->waits[i];
        if (seen > want) {
            return (double)i / 1000;
        }
    }
    return 0;
}
