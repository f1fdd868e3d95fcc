#include "sts_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "dns.h"
#include "egress.h"
#include "hosts.h"
#include "http.h"
#include "lru.h"

#define SAVE_AFTER_MS 2000
#define FILE_MAX      (8u << 20)
#define CONNECT_MS    5000

struct kept {
    char id[STS_ID_MAX];
    int64_t until_ms; /* wall clock */
    struct sts_policy policy;
};

struct sts_store {
    struct env *env;
    char *path; /* NULL: not kept on disk */
    struct lru *kept;
    struct cm_work *writer;
    struct cm_timer *save;
    bool dirty, writing, closing;
    char *text; /* what the writer writes */
};

struct sts_lookup {
    struct sts_store *store;
    char domain[DOMAIN_NAME_MAX];
    char host[DOMAIN_NAME_MAX + 8];
    char id[STS_ID_MAX];
    struct dns_question *txt;
    struct hosts_lookup *addresses;
    struct http_request *fetch;
    struct cm_timer *limit;
    sts_cb cb;
    void *ctx;
};

/* The file: "DOMAIN ID UNTIL-MS MODE MAX-AGE MX..." on each line. */

static void write_line(const char *domain, const void *value, void *ctx)
{
    const struct kept *k = value;
    struct cm_buf *out = ctx;
    cm_buf_fmt(out, "%s %s %" PRId64 " %s %" PRId64, domain, k->id, k->until_ms,
               sts_mode_name(k->policy.mode), k->policy.max_age_s);
    for (size_t i = 0; i < k->policy.mx_count; i++) {
        cm_buf_fmt(out, " %s", k->policy.mx[i]);
    }
    cm_buf_str(out, "\n");
}

static char *all_text(const struct sts_store *store)
{
    struct cm_buf out;
    cm_buf_init(&out, FILE_MAX);
    lru_each(store->kept, write_line, &out);
    return cm_buf_steal(&out);
}

static void write_file(void *arg)
{
    struct sts_store *store = arg;
    struct cm_err err;
    if (cm_file_replace(store->path, store->text, strlen(store->text), 0600, &err) !=
        0) {
        cm_log_err(CM_LOG_WARNING, "sts_save_failed", &err);
    }
}

static void written(void *arg)
{
    struct sts_store *store = arg;
    free(store->text);
    store->text = NULL;
    store->writing = false;
    if (store->dirty && !store->closing) {
        cm_timer_set(store->save, SAVE_AFTER_MS);
    }
}

static void on_save(void *ctx)
{
    struct sts_store *store = ctx;
    struct cm_err err;
    if (store->writing || !store->dirty || store->path == NULL) {
        return;
    }
    store->text = all_text(store);
    store->dirty = false;
    store->writing = true;
    if (cm_work_submit(store->writer, write_file, written, store, &err) != 0) {
        written(store); /* cannot be: one job at a time */
    }
}

static void changed(struct sts_store *store)
{
    store->dirty = true;
    if (!store->writing) {
        cm_timer_set(store->save, SAVE_AFTER_MS);
    }
}

/* One line is a policy in other words; it is read by the same rules. */
static void read_line(struct sts_store *store, char *line, int64_t now_ms)
{
    char *rest = NULL, *words[5];
    for (size_t i = 0; i < 5; i++) {
        words[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (words[i] == NULL) {
            return;
        }
    }
    struct cm_buf text;
    cm_buf_init(&text, STS_TEXT_MAX);
    cm_buf_fmt(&text, "version: STSv1\nmode: %s\nmax_age: %s\n", words[3], words[4]);
    for (char *mx; (mx = strtok_r(NULL, " ", &rest)) != NULL;) {
        cm_buf_fmt(&text, "mx: %s\n", mx);
    }
    struct kept k = {.until_ms = strtoll(words[2], NULL, 10)};
    struct cm_err err;
    snprintf(k.id, sizeof(k.id), "%s", words[1]);
    /* A clock that was far ahead must not keep a policy for ever. */
    if (address_is_hostname(words[0]) && k.until_ms > now_ms &&
        k.until_ms - now_ms <= STS_AGE_MAX_S * INT64_C(1000) &&
        sts_policy_parse(text.data, text.len, &k.policy, &err) == 0) {
        *(struct kept *)lru_put(store->kept, words[0]) = k;
    }
    cm_buf_clear(&text);
}

static void read_file(struct sts_store *store)
{
    char *text = NULL, *rest = NULL;
    struct cm_err err;
    if (cm_file_read(store->path, FILE_MAX, &text, NULL, &err) < 0) {
        cm_log_err(CM_LOG_WARNING, "sts_load_failed", &err);
        return;
    }
    int64_t now = cm_now_wall_ms();
    for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        read_line(store, line, now);
    }
    free(text);
}

struct sts_store *sts_store_new(struct env *env, const char *dir)
{
    struct sts_store *store = cm_calloc(1, sizeof(*store));
    store->env = env;
    store->kept = lru_new(STS_STORE_MAX, sizeof(struct kept));
    store->writer = cm_work_new(env->loop, 1, 1);
    store->save = cm_timer_new(env->loop, on_save, store);
    if (dir != NULL) {
        store->path = cm_asprintf("%s/mta-sts", dir);
        read_file(store);
    }
    return store;
}

void sts_store_free(struct sts_store **storep)
{
    struct sts_store *store = *storep;
    if (store == NULL) {
        return;
    }
    store->closing = true;
    cm_work_free(&store->writer);
    if (store->dirty && store->path != NULL) {
        store->text = all_text(store);
        write_file(store);
        free(store->text);
    }
    cm_timer_free(&store->save);
    lru_free(&store->kept);
    free(store->path);
    free(store);
    *storep = NULL;
}

/* A lookup */

void sts_cancel(struct sts_lookup **lookup)
{
    struct sts_lookup *l = *lookup;
    if (l == NULL) {
        return;
    }
    dns_cancel(&l->txt);
    hosts_cancel(&l->addresses);
    http_cancel(&l->fetch);
    cm_timer_free(&l->limit);
    free(l);
    *lookup = NULL;
}

static struct kept *still_good(struct sts_lookup *l)
{
    struct kept *k = lru_get(l->store->kept, l->domain);
    return k != NULL && k->until_ms > cm_now_wall_ms() ? k : NULL;
}

static void finish(struct sts_lookup *l)
{
    const struct kept *k = still_good(l);
    sts_cb cb = l->cb;
    void *ctx = l->ctx;
    struct sts_policy policy;
    if (k != NULL) {
        policy = k->policy;
    }
    sts_cancel(&l);
    cb(k != NULL ? &policy : NULL, ctx);
}

static void not_fetched(struct sts_lookup *l, const char *reason)
{
    cm_log(CM_LOG_WARNING, "sts_fetch_failed", "domain", l->domain, "reason", reason,
           "kept", still_good(l) != NULL ? "yes" : "no", NULL);
    finish(l);
}

static void on_limit(void *ctx)
{
    not_fetched(ctx, "timed out");
}

static void on_policy(const struct http_result *result, const struct cm_err *err,
                      void *ctx)
{
    struct sts_lookup *l = ctx;
    struct kept k = {.until_ms = 0};
    struct cm_err bad;
    l->fetch = NULL;
    if (result->status != 200) {
        char status[32];
        snprintf(status, sizeof(status), "status %d", result->status);
        not_fetched(l, result->status == 0 ? err->text : status);
        return;
    }
    if (sts_policy_parse(result->body, result->body_len, &k.policy, &bad) != 0) {
        not_fetched(l, bad.text);
        return;
    }
    memcpy(k.id, l->id, sizeof(k.id));
    k.until_ms = cm_now_wall_ms() + k.policy.max_age_s * 1000;
    *(struct kept *)lru_put(l->store->kept, l->domain) = k;
    changed(l->store);
    cm_log(CM_LOG_INFO, "sts_policy", "domain", l->domain, "mode",
           sts_mode_name(k.policy.mode), NULL);
    finish(l);
}

static void on_addresses(const struct hosts_answer *answer, void *ctx)
{
    struct sts_lookup *l = ctx;
    struct env *env = l->store->env;
    const struct egress_list *list = egress_now(env->egress);
    size_t i = egress_find(list, 0);
    l->addresses = NULL;
    if (i == SIZE_MAX ||
        !hosts_usable(answer->addresses, answer->count, &list->items[i].source)) {
        not_fetched(l, "its host cannot be reached");
        return;
    }
    struct http_options o = {.host = l->host,
                             .port = env->https_port,
                             .path = "/.well-known/mta-sts.txt",
                             .addresses = answer->addresses,
                             .address_count = answer->count,
                             .source = &list->items[i].source,
                             .verify = true,
                             .response_max = STS_TEXT_MAX,
                             .connect_ms = CONNECT_MS,
                             .total_ms = STS_FETCH_MS};
    l->fetch = http_start(env->http, &o, on_policy, l);
}

static void on_record(const struct dns_answer *answer, void *ctx)
{
    struct sts_lookup *l = ctx;
    size_t records = 0;
    l->txt = NULL;
    for (size_t i = 0; i < answer->count; i++) {
        char id[STS_ID_MAX];
        if (sts_record_parse(answer->records[i].text, id)) {
            memcpy(l->id, id, sizeof(id));
            records++;
        }
    }
    /* Several records are none (3.1); none does not end what is in force. */
    const struct kept *k = still_good(l);
    if (records != 1 || (k != NULL && strcmp(k->id, l->id) == 0)) {
        finish(l);
        return;
    }
    l->addresses = hosts_find(l->store->env, l->host, on_addresses, l);
}

struct sts_lookup *sts_find(struct sts_store *store, const char *domain, sts_cb cb,
                            void *ctx)
{
    struct sts_lookup *l = cm_calloc(1, sizeof(*l));
    char record[DOMAIN_NAME_MAX + 16];
    l->store = store;
    l->cb = cb;
    l->ctx = ctx;
    snprintf(l->domain, sizeof(l->domain), "%s", domain);
    snprintf(l->host, sizeof(l->host), "mta-sts.%s", domain);
    snprintf(record, sizeof(record), "_mta-sts.%s", domain);
    l->txt = dns_ask(store->env->dns, record, DNS_TXT, on_record, l);
    l->limit = cm_timer_new(store->env->loop, on_limit, l);
    cm_timer_set(l->limit, STS_FETCH_MS + DNS_LIMIT_MS);
    return l;
}
