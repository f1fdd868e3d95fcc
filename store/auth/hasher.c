#include "hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include "hash.h"

#define SOCKET_FD   3
#define STACK_BYTES (256u << 10)
#define NO_SLOT     HASHER_MAX
/* In the socket per thread: the one under way, and the next. The rest waits here. */
#define AHEAD 2u

/* What goes over the socket, as long as the text in it. */
struct message {
    uint32_t slot;
    char text[HASHER_PASSWORD_MAX + 1];
};
#define HEAD offsetof(struct message, text)

/* The child */

static void *hash_for_ever(void *arg)
{
    (void)arg;
    struct message m;
    char hash[HASH_SIZE];
    for (;;) {
        ssize_t n = recv(SOCKET_FD, &m, sizeof(m), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= (ssize_t)HEAD || m.text[(size_t)n - HEAD - 1] != '\0') {
            _exit(0); /* the other end is closed */
        }
        if (hash_password(m.text, hash) != 0) {
            hash[0] = '\0';
        }
        cm_wipe(m.text, sizeof(m.text));
        memcpy(m.text, hash, sizeof(hash));
        (void)send(SOCKET_FD, &m, HEAD + strlen(hash) + 1, MSG_NOSIGNAL);
    }
}

/* The session first, for its priority is that of the autogroup. Each of these may be
 * refused; then it hashes all the same. */
static void be_humble(void)
{
    (void)setsid();
    (void)setpriority(PRIO_PROCESS, 0, HASHER_NICE);
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        char text[8];
        int n = snprintf(text, sizeof(text), "%d", HASHER_NICE);
        ssize_t ignored = write(fd, text, (size_t)n);
        (void)ignored;
        close(fd);
    }
}

/* One per CPU that this process may use. */
static unsigned thread_count(void)
{
    cpu_set_t cpus;
    int n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return n < HASHER_THREADS_MAX ? (unsigned)n : HASHER_THREADS_MAX;
}

/* SIGTERM is for the unit as a whole; this end of it has answers to give until the
 * socket closes. */
static _Noreturn void child(int fd, unsigned threads)
{
    pthread_attr_t attr;
    pthread_t thread;
    dup2(fd, SOCKET_FD);
    close_range(SOCKET_FD + 1, ~0u, 0);
    prctl(PR_SET_NAME, "auth-hasher");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    be_humble();
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (unsigned i = 1; i < threads; i++) {
        if (pthread_create(&thread, &attr, hash_for_ever, NULL) != 0) {
            break;
        }
    }
    hash_for_ever(NULL);
    _exit(0);
}

/* The parent */

struct slot {
    char *password; /* NULL once it has been sent */
    hasher_cb cb;   /* NULL: free */
    void *ctx;
    unsigned next; /* waits, or is free */
};

struct hasher {
    struct cm_loop *loop;
    pid_t pid;
    int fd; /* -1: no process */
    struct cm_io *io;
    int64_t started; /* monotonic */
    unsigned threads;
    unsigned sent;        /* not answered yet */
    unsigned first, last; /* wait to be sent; NO_SLOT */
    unsigned free;
    bool freeing;
    struct slot slots[HASHER_MAX];
};

static void slot_end(struct hasher *h, unsigned i, const char *hash,
                     const struct cm_err *err)
{
    struct slot *s = &h->slots[i];
    hasher_cb cb = s->cb;
    cm_wipe_str(&s->password);
    s->cb = NULL;
    s->next = h->free;
    h->free = i;
    cb(hash, err, s->ctx);
}

/* Everything under way fails. The callbacks may submit more: that is for the next. */
static void child_gone(struct hasher *h, const char *why)
{
    struct cm_err err;
    cm_io_free(&h->io);
    close(h->fd);
    h->fd = -1;
    kill(h->pid, SIGKILL);
    waitpid(h->pid, NULL, 0);
    h->sent = 0;
    h->first = h->last = NO_SLOT;
    (void)cm_err_set(&err, CM_ERR_RETRY, "%s", why);
    bool was[HASHER_MAX];
    for (unsigned i = 0; i < HASHER_MAX; i++) {
        was[i] = h->slots[i].cb != NULL;
    }
    for (unsigned i = 0; i < HASHER_MAX; i++) {
        if (was[i]) {
            slot_end(h, i, NULL, &err);
        }
    }
}

static int send_slot(struct hasher *h, unsigned i)
{
    struct slot *s = &h->slots[i];
    struct message m = {.slot = i};
    size_t len = strlen(s->password) + 1;
    memcpy(m.text, s->password, len);
    ssize_t n = send(h->fd, &m, HEAD + len, MSG_NOSIGNAL | MSG_DONTWAIT);
    cm_wipe(&m, sizeof(m));
    return n == (ssize_t)(HEAD + len) ? 0 : -1;
}

static void send_next(struct hasher *h)
{
    while (h->first != NO_SLOT && h->sent < AHEAD * h->threads) {
        unsigned i = h->first;
        if (send_slot(h, i) != 0) {
            return; /* it is gone; the end of the socket says so in a moment */
        }
        h->first = h->slots[i].next;
        if (h->first == NO_SLOT) {
            h->last = NO_SLOT;
        }
        cm_wipe_str(&h->slots[i].password);
        h->sent++;
    }
}

static void on_socket(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct hasher *h = ctx;
    struct message m;
    ssize_t n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= (ssize_t)HEAD || m.slot >= HASHER_MAX || h->slots[m.slot].cb == NULL ||
        m.text[(size_t)n - HEAD - 1] != '\0') {
        cm_log(CM_LOG_ERROR, "hasher_gone", "effect", "new accounts are put off", NULL);
        child_gone(h, "hashing process is gone");
        return;
    }
    struct cm_err err = {0};
    if (m.text[0] == '\0') {
        (void)cm_err_set(&err, CM_ERR_WORLD, "cannot hash: no randomness, or crypt(3)");
    }
    h->sent--;
    send_next(h);
    slot_end(h, m.slot, m.text[0] != '\0' ? m.text : NULL, &err);
}

static int child_start(struct hasher *h)
{
    int pair[2];
    h->started = cm_now_mono_ms();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    h->pid = fork();
    if (h->pid == 0) {
        child(pair[1], h->threads);
    }
    close(pair[1]);
    if (h->pid < 0) {
        close(pair[0]);
        return -1;
    }
    h->fd = pair[0];
    h->io = cm_io_new(h->loop, h->fd, CM_IO_READ, on_socket, h);
    return 0;
}

struct hasher *hasher_new(struct cm_loop *loop)
{
    struct hasher *h = cm_calloc(1, sizeof(*h));
    h->loop = loop;
    h->fd = -1;
    h->first = h->last = NO_SLOT;
    h->threads = thread_count();
    for (unsigned i = 0; i < HASHER_MAX; i++) {
        h->slots[i].next = i + 1;
    }
    (void)child_start(h); /* else the first password tries again */
    return h;
}

void hasher_free(struct hasher **hasherp)
{
    struct hasher *h = *hasherp;
    if (h == NULL) {
        return;
    }
    *hasherp = NULL;
    h->freeing = true;
    if (h->fd >= 0) {
        child_gone(h, "shutting down");
    }
    free(h);
}

int hasher_submit(struct hasher *h, const char *password, hasher_cb cb, void *ctx,
                  struct cm_err *err)
{
    if (strlen(password) > HASHER_PASSWORD_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "password too long to be hashed");
    }
    if (h->freeing || h->free == NO_SLOT) {
        return cm_err_set(err, CM_ERR_RETRY, "too many passwords to hash");
    }
    if (h->fd < 0 &&
        (cm_now_mono_ms() - h->started < HASHER_AGAIN_MS || child_start(h) != 0)) {
        return cm_err_set(err, CM_ERR_RETRY, "no hashing process");
    }
    unsigned i = h->free;
    struct slot *s = &h->slots[i];
    h->free = s->next;
    *s = (struct slot){
        .password = cm_strdup(password), .cb = cb, .ctx = ctx, .next = NO_SLOT};
    if (h->last != NO_SLOT) {
        h->slots[h->last].next = i;
    } else {
        h->first = i;
    }
    h->last = i;
    send_next(h);
    return 0;
}
