#include "waker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/doorbell.h"
#include "common/mem.h"
#include "common/run.h"

#define TOOL_MS 5000
#define RING_MS 1000

/* ---- reading ---- */

static bool read_address(const char *text, size_t len, unsigned char out[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[64];
    if (len == 0 || len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    memcpy(out, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, out + 12) == 1 ||
           inet_pton(AF_INET6, copy, out) == 1;
}

static int by_address(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The fifth word of "ESTAB 0 0 10.77.1.2:993 198.51.100.40:51234". */
static bool peer_of(const char *line, size_t len, unsigned char out[16])
{
    const char *end = line + len, *word = line;
    size_t n = 0;
    for (int i = 0; i < 5; i++) {
        line += strspn(line, " ");
        word = line;
        n = line < end ? strcspn(line, " \n") : 0;
        line += n;
    }
    while (n > 0 && word[n - 1] != ':') {
        n--;
    }
    n -= n > 0;
    if (n >= 2 && word[0] == '[' && word[n - 1] == ']') {
        word++;
        n -= 2;
    }
    return read_address(word, n, out);
}

size_t waker_peers(const char *text, unsigned char (*peers)[16], size_t max)
{
    size_t n = 0, kept = 0;
    for (const char *l = text; *l != '\0' && n < max;) {
        size_t len = strcspn(l, "\n");
        n += peer_of(l, len, peers[n]);
        l += len + (l[len] == '\n');
    }
    qsort(peers, n, 16, by_address);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || memcmp(peers[i], peers[kept - 1], 16) != 0) {
            memmove(peers[kept++], peers[i], 16);
        }
    }
    return kept;
}

/* USER TAB SERVICE TAB PID TAB ADDRESS */
static char *account_of(const char *line, size_t len, const unsigned char (*peers)[16],
                        size_t peer_count, bool among)
{
    const char *field[4];
    size_t size[4];
    unsigned char address[16];
    for (int i = 0; i < 4; i++) {
        const char *tab = memchr(line, '\t', len);
        field[i] = line;
        size[i] = i < 3 && tab != NULL ? (size_t)(tab - line) : len;
        if (i < 3 && tab == NULL) {
            return NULL;
        }
        line += size[i] + (i < 3);
        len -= size[i] + (i < 3);
    }
    if (size[0] == 0 || size[0] > CM_DOORBELL_ADDR_MAX || size[1] != 4 ||
        memcmp(field[1], "imap", 4) != 0 || !read_address(field[3], size[3], address) ||
        (bsearch(address, peers, peer_count, 16, by_address) != NULL) != among) {
        return NULL;
    }
    return cm_strndup(field[0], size[0]);
}

size_t waker_accounts(const char *text, const unsigned char (*peers)[16],
                      size_t peer_count, bool among, char **accounts, size_t max)
{
    size_t n = 0, kept = 0;
    for (const char *l = text; *l != '\0' && n < max;) {
        size_t len = strcspn(l, "\n");
        char *account = account_of(l, len, peers, peer_count, among);
        if (account != NULL) {
            accounts[n++] = account;
        }
        l += len + (l[len] == '\n');
    }
    qsort(accounts, n, sizeof(accounts[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && strcmp(accounts[i], accounts[kept - 1]) == 0) {
            free(accounts[i]);
        } else {
            accounts[kept++] = accounts[i];
        }
    }
    return kept;
}

/* ---- at work ---- */

struct round;

struct slice {
    struct round *round;
    size_t from, step;
    size_t rung;
    int failed; /* errno of the first that nobody took */
};

struct round {
    struct waker *waker;
    int number;
    bool by_header;
    char **accounts;
    size_t count;
    struct cm_err err; /* kind NONE: the list is whole */
    struct slice slices[WAKER_THREADS];
    size_t open;
};

struct waker {
    struct cm_work *work;
    struct waker_options o;
    bool busy[CM_GATEWAYS_MAX + 1];
    bool freeing; /* nobody is to be told */
};

/* On the inner address of that tunnel; by_header: on all others. Only
 * those that a program holds: one that it has closed may live on for minutes. */
static int sockets_of(const struct waker *w, int number, bool by_header, char **text_r,
                      struct cm_err *err)
{
    char inner4[46], inner6[46], bracketed[50];
    px_inner4(number, 2, inner4);
    px_inner6(number, 2, inner6);
    snprintf(bracketed, sizeof(bracketed), "[%s]", inner6);
    const char *here[] = {w->o.ss,       "-H",    "-t",         "-n",  "state",
                          "established", "state", "close-wait", "src", inner4,
                          "or",          "src",   bracketed,    NULL};
    const char *elsewhere[] = {
        w->o.ss, "-H",  "-t",   "-n",  "state", "established", "state",   "close-wait",
        "not",   "src", inner4, "and", "not",   "src",         bracketed, NULL};
    struct cm_run run = {.argv = by_header ? elsewhere : here, .timeout_ms = TOOL_MS};
    return cm_run_ok(&run, text_r, err);
}

static int who(const struct waker *w, char **text_r, struct cm_err *err)
{
    const char *argv[] = {w->o.doveadm, "-f", "tab", "who", "-1", NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = TOOL_MS};
    return cm_run_ok(&run, text_r, err);
}

static void collect(void *arg)
{
    struct round *r = arg;
    char *sockets = NULL, *users = NULL;
    if (sockets_of(r->waker, r->number, r->by_header, &sockets, &r->err) == 0 &&
        who(r->waker, &users, &r->err) == 0) {
        unsigned char(*peers)[16] = cm_calloc(WAKER_PEERS_MAX, 16);
        size_t n = waker_peers(sockets, peers, WAKER_PEERS_MAX);
        r->accounts = cm_calloc(WAKER_ACCOUNTS_MAX, sizeof(char *));
        r->count = waker_accounts(users, (const unsigned char(*)[16])peers, n,
                                  !r->by_header, r->accounts, WAKER_ACCOUNTS_MAX);
        free(peers);
    }
    free(sockets);
    free(users);
}

static void ring(void *arg)
{
    struct slice *s = arg;
    const struct waker_options *o = &s->round->waker->o;
    for (size_t i = s->from; i < s->round->count; i += s->step) {
        switch (cm_doorbell_ring(o->bell, o->spool, s->round->accounts[i], RING_MS)) {
        case CM_DOORBELL_TOLD:
        case CM_DOORBELL_LEFT:
            s->rung++;
            break;
        case CM_DOORBELL_NOBODY:
            s->failed = ENOENT;
            return;
        case CM_DOORBELL_FAILED:
            s->failed = errno;
            break;
        case CM_DOORBELL_REFUSED:
            break;
        }
    }
}

static void finish(struct round *r)
{
    struct waker *w = r->waker;
    struct waker_result result = {.number = r->number, .accounts = r->count};
    for (size_t i = 0; i < WAKER_THREADS; i++) {
        result.rung += r->slices[i].rung;
        if (r->slices[i].failed != 0) {
            snprintf(result.why, sizeof(result.why), "chatmail-push is not told: %s",
                     strerror(r->slices[i].failed));
        }
    }
    if (r->err.kind != CM_ERR_NONE) {
        snprintf(result.why, sizeof(result.why), "%.255s", r->err.text);
    }
    w->busy[r->number] = false;
    for (size_t i = 0; i < r->count; i++) {
        free(r->accounts[i]);
    }
    free(r->accounts);
    free(r);
    if (!w->freeing) {
        w->o.done(&result, w->o.ctx);
    }
}

static void rung(void *arg)
{
    struct slice *s = arg;
    if (--s->round->open == 0) {
        finish(s->round);
    }
}

static void collected(void *arg)
{
    struct round *r = arg;
    for (size_t i = 0; i < WAKER_THREADS && !r->waker->freeing; i++) {
        struct slice *s = &r->slices[i];
        struct cm_err err;
        *s = (struct slice){.round = r, .from = i, .step = WAKER_THREADS};
        if (i < r->count && cm_work_submit(r->waker->work, ring, rung, s, &err) == 0) {
            r->open++;
        }
    }
    if (r->open == 0) {
        finish(r);
    }
}

struct waker *waker_new(struct cm_loop *loop, const struct waker_options *options)
{
    struct waker *w = cm_calloc(1, sizeof(*w));
    w->work = cm_work_new(loop, WAKER_THREADS, WAKER_THREADS * CM_GATEWAYS_MAX * 2);
    w->o = *options;
    w->o.doveadm = w->o.doveadm != NULL ? w->o.doveadm : "doveadm";
    w->o.ss = w->o.ss != NULL ? w->o.ss : "ss";
    w->o.bell = w->o.bell != NULL ? w->o.bell : CM_DOORBELL_SOCKET;
    w->o.spool = w->o.spool != NULL ? w->o.spool : CM_DOORBELL_DIR;
    return w;
}

void waker_free(struct waker **waker)
{
    if (*waker == NULL) {
        return;
    }
    (*waker)->freeing = true;
    cm_work_free(&(*waker)->work);
    free(*waker);
    *waker = NULL;
}

bool waker_go(struct waker *w, int number, bool by_header)
{
    struct cm_err err;
    if (w->busy[number]) {
        return false;
    }
    struct round *r = cm_calloc(1, sizeof(*r));
    r->waker = w;
    r->number = number;
    r->by_header = by_header;
    if (cm_work_submit(w->work, collect, collected, r, &err) != 0) {
        free(r);
        return false;
    }
    w->busy[number] = true;
    return true;
}
