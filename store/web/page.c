#include "page.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"

#include "families.h"
#include "fetch.h"
#include "queue.h"
#include "site.h"

#define QUEUE_TURN_MS 20
#define NAME_MAX_LEN  32
#define SELF          "web"
#define UP            "chatmail_up"
#define AGES          "chatmail_textfile_mtime_seconds"

#define DNS    "dns"         /* only where the store changes DNS */
#define ECHO   "echo"        /* only where there is a bot */
#define SIGNER "filter-sign" /* only where there is a name to sign for */

const char *const page_programs[] = {
    "auth",    "cluster", "filter-in", "filter-out", SIGNER, "lastlogin", "metadata",
    "monitor", "push",    "transport", ECHO,         DNS,    NULL};

struct page;

struct source {
    struct page *page;
    char name[NAME_MAX_LEN + 1];
    struct fetch *fetch;
    struct cm_buf said;
    bool whole; /* it said all it had to say */
    bool up;
};

struct page {
    struct exchange *x;
    struct site *site;
    struct families *families;
    struct source sources[PAGE_PROGRAMS_MAX];
    size_t count, pending;
    struct cm_timer *queue_timer;
    int64_t waited_ms;
};

/* Who is asked */

static void add_source(struct page *p, const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN || p->count == PAGE_PROGRAMS_MAX ||
        (len == strlen(SELF) && memcmp(name, SELF, len) == 0)) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        if (strlen(p->sources[i].name) == len &&
            memcmp(p->sources[i].name, name, len) == 0) {
            return;
        }
    }
    struct source *s = &p->sources[p->count++];
    s->page = p;
    memcpy(s->name, name, len);
    cm_buf_init(&s->said, PAGE_PROGRAM_MAX);
}

/* Some programs run only on some stores; there their absence is no trouble. */
static bool is_expected(const struct cm_conf *conf, const char *name)
{
    return strcmp(name, ECHO) == 0     ? conf->store.echo_core[0] != '\0'
           : strcmp(name, DNS) == 0    ? conf->store.dns_follow && !conf->is_ip
           : strcmp(name, SIGNER) == 0 ? !conf->is_ip
                                       : true;
}

static void find_sources(struct page *p)
{
    for (const char *const *name = page_programs; *name != NULL; name++) {
        if (is_expected(p->site->conf, *name)) {
            add_source(p, *name, strlen(*name));
        }
    }
    DIR *dir = opendir(p->site->metrics_dir);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n > 5 && strcmp(e->d_name + n - 5, ".sock") == 0) {
            add_source(p, e->d_name, n - 5);
        }
    }
    closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    const struct source *l = a, *r = b;
    return strcmp(l->name, r->name);
}

/* What goes on the page */

static bool add_text(struct page *p, const char *whose, const char *text, size_t len)
{
    struct cm_err err;
    if (families_add(p->families, text, len, &err) == 0) {
        return true;
    }
    cm_log(CM_LOG_WARNING, "metrics_refused", "of", whose, "reason", err.text, NULL);
    return false;
}

static void add_own(struct page *p)
{
    static const char *const reasons[SITE_REJECTIONS] = {"closed", "no_invite", "net",
                                                         "gateway"};
    struct cm_buf out;
    cm_buf_init(&out, PAGE_PROGRAM_MAX);
    cm_metric_process(&out, "chatmail-web");
    conns_metrics(p->site->conns, &out);
    cm_metric_counter(&out, "chatmail_web_delivered_bytes_total",
                      "Bytes of mail passed on from /mxdeliv.",
                      p->site->delivered_bytes);
    cm_metric_gauge(&out, "chatmail_web_deliveries", "Messages from /mxdeliv just now.",
                    (double)p->site->deliveries);
    cm_metric_begin(&out, "chatmail_web_rejected_registrations_total",
                    CM_METRIC_COUNTER, "Requests for an account refused, by reason.");
    for (size_t i = 0; i < SITE_REJECTIONS; i++) {
        const char *const labels[] = {"reason", reasons[i], NULL};
        cm_metric_sample(&out, "chatmail_web_rejected_registrations_total", labels,
                         (double)p->site->rejections[i]);
    }
    queue_metrics(p->site->queue, &out);
    cm_metric_begin(&out, UP, CM_METRIC_GAUGE, "1 when the program gave its figures.");
    cm_metric_begin(&out, AGES, CM_METRIC_GAUGE,
                    "When the figures in that file were made, Unix time.");
    cm_assert(add_text(p, "chatmail-web", out.data, out.len));
    cm_buf_clear(&out);
}

static void add_file(struct page *p, const char *name, struct cm_buf *ages)
{
    char *path = cm_asprintf("%s/%s", p->site->textfile_dir, name), *text = NULL;
    size_t len = 0;
    struct cm_err err;
    struct stat st;
    if (stat(path, &st) == 0 &&
        cm_file_read(path, PAGE_PROGRAM_MAX, &text, &len, &err) == 1 &&
        add_text(p, name, text, len)) {
        const char *const labels[] = {"file", name, NULL};
        cm_metric_sample(ages, AGES, labels, (double)st.st_mtime);
    }
    free(text);
    free(path);
}

static void add_files(struct page *p)
{
    DIR *dir = opendir(p->site->textfile_dir);
    if (dir == NULL) {
        return;
    }
    struct cm_buf ages;
    cm_buf_init(&ages, PAGE_PROGRAM_MAX);
    unsigned files = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".prom") == 0 &&
            files++ < PAGE_FILES_MAX) {
            add_file(p, e->d_name, &ages);
        }
    }
    closedir(dir);
    (void)add_text(p, "chatmail-web", ages.data, ages.len);
    cm_buf_clear(&ages);
}

static void add_ups(struct page *p)
{
    struct cm_buf out;
    cm_buf_init(&out, PAGE_PROGRAM_MAX);
    for (size_t i = 0; i <= p->count; i++) {
        const char *name = i < p->count ? p->sources[i].name : SELF;
        char program[16 + NAME_MAX_LEN];
        snprintf(program, sizeof(program), "chatmail-%s", name);
        const char *const labels[] = {"program", program, NULL};
        cm_metric_sample(&out, UP, labels, i < p->count ? p->sources[i].up : 1);
    }
    (void)add_text(p, "chatmail-web", out.data, out.len);
    cm_buf_clear(&out);
}

/* The exchange */

static void page_free(struct page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        fetch_free(&p->sources[i].fetch);
        cm_buf_clear(&p->sources[i].said);
    }
    cm_timer_free(&p->queue_timer);
    families_free(&p->families);
    free(p);
}

static void finish(struct page *p)
{
    struct cm_buf out;
    struct exchange *x = p->x;
    /* Our own first: whoever uses one of its names otherwise is the one refused. Then
     * always in the same order, whoever was quick. */
    add_own(p);
    qsort(p->sources, p->count, sizeof(p->sources[0]), by_name);
    for (size_t i = 0; i < p->count; i++) {
        struct source *s = &p->sources[i];
        s->up = s->whole && s->said.len > 0 &&
                add_text(p, s->name, s->said.data, s->said.len);
    }
    add_ups(p);
    add_files(p);
    cm_buf_init(&out, FAMILIES_PAGE_MAX + (1u << 20));
    families_write(p->families, &out);
    exchange_answer(x, &(struct answer){.status = 200,
                                        .type = "text/plain; version=0.0.4; "
                                                "charset=utf-8",
                                        .text = out.data,
                                        .len = out.len});
    cm_buf_clear(&out);
    x->state = NULL;
    page_free(p);
}

/* The queue may take longer than the programs; after PAGE_WAIT_MS the page goes without
 * it. */
static void on_queue_turn(void *ctx)
{
    struct page *p = ctx;
    if (p->pending > 0) {
        return;
    }
    if (!queue_busy(p->site->queue) || p->waited_ms >= PAGE_WAIT_MS) {
        finish(p);
        return;
    }
    p->waited_ms += QUEUE_TURN_MS;
    cm_timer_set(p->queue_timer, QUEUE_TURN_MS);
}

static void on_data(const char *data, size_t len, void *ctx)
{
    struct source *s = ctx;
    cm_buf_add(&s->said, data, len);
}

static void on_end(bool whole, void *ctx)
{
    struct source *s = ctx;
    struct page *p = s->page;
    s->whole = whole;
    if (--p->pending == 0) {
        cm_timer_set(p->queue_timer, 0);
    }
}

void page_end(struct exchange *x)
{
    struct page *p = cm_calloc(1, sizeof(*p));
    p->x = x;
    p->site = x->site;
    p->families = families_new();
    p->queue_timer = cm_timer_new(p->site->loop, on_queue_turn, p);
    x->state = p;
    queue_refresh(p->site->queue);
    find_sources(p);
    p->pending = p->count;
    for (size_t i = 0; i < p->count; i++) {
        struct source *s = &p->sources[i];
        struct fetch_hooks hooks = {.data = on_data, .end = on_end, .ctx = s};
        char *path = cm_asprintf("%s/%s.sock", p->site->metrics_dir, s->name);
        s->fetch =
            fetch_new(p->site->loop, path, PAGE_WAIT_MS, PAGE_PROGRAM_MAX, &hooks);
        free(path);
    }
}

void page_gone(struct exchange *x)
{
    if (x->state != NULL) {
        page_free(x->state);
    }
}
