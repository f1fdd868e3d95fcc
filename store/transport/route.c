#include "route.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "dns.h"
#include "hosts.h"
#include "sts_store.h"

struct host_lookup {
    struct route_lookup *route;
    struct hosts_lookup *lookup;
    size_t index;
};

struct route_lookup {
    struct env *env;
    struct domain domain;
    struct dns_question *mx;
    struct sts_lookup *sts;
    struct host_lookup hosts[MX_HOSTS_MAX];
    struct cm_timer *soon; /* answers what needs no question */
    size_t open;           /* questions */
    bool trouble;
    bool has_policy;
    struct sts_policy policy;
    uint32_t ttl_s;
    struct route route;
    route_cb cb;
    void *ctx;
};

void route_cancel(struct route_lookup **lookup)
{
    struct route_lookup *l = *lookup;
    if (l == NULL) {
        return;
    }
    dns_cancel(&l->mx);
    sts_cancel(&l->sts);
    for (size_t i = 0; i < MX_HOSTS_MAX; i++) {
        hosts_cancel(&l->hosts[i].lookup);
    }
    cm_timer_free(&l->soon);
    free(l);
    *lookup = NULL;
}

static void say(struct route_lookup *l, bool refused, const char *fmt, ...)
    CM_PRINTF(3, 4);

static void say(struct route_lookup *l, bool refused, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->route.reply, sizeof(l->route.reply), fmt, ap);
    va_end(ap);
    l->route.refused = refused;
    l->route.host_count = 0;
}

static void finish(struct route_lookup *l)
{
    int64_t keep = l->route.host_count > 0 ? (int64_t)l->ttl_s * 1000 : 0;
    if (keep > ROUTE_KEEP_MAX_MS) {
        keep = ROUTE_KEEP_MAX_MS;
    }
    if (keep < ROUTE_KEEP_MIN_MS) {
        keep = ROUTE_KEEP_MIN_MS;
    }
    l->route.until_ms = cm_now_mono_ms() + keep;
    l->cb(&l->route, l->ctx);
    route_cancel(&l);
}

static bool allowed(const struct route_lookup *l, const char *host)
{
    if (!l->has_policy || l->policy.mode != STS_ENFORCE) {
        return true;
    }
    for (size_t i = 0; i < l->policy.mx_count; i++) {
        if (sts_pattern_matches(l->policy.mx[i], host)) {
            return true;
        }
    }
    return false;
}

/* Leaves the hosts that have addresses and that the policy allows. */
static void weed(struct route_lookup *l)
{
    size_t kept = 0, forbidden = 0;
    for (size_t i = 0; i < l->route.host_count; i++) {
        struct route_host *h = &l->route.hosts[i];
        if (!allowed(l, h->name)) {
            forbidden++;
        } else if (h->address_count > 0) {
            if (kept != i) {
                l->route.hosts[kept] = *h;
            }
            kept++;
        }
    }
    bool none = kept == 0 && l->route.reply[0] == '\0';
    l->route.host_count = kept;
    if (none && forbidden > 0) {
        say(l, false, "451 4.7.0 No mail server of %s is in its MTA-STS policy",
            l->domain.name);
    } else if (none && l->trouble) {
        say(l, false, "421 DNS resolution failed for %s", l->domain.name);
    } else if (none) {
        say(l, false, "451 4.4.4 No mail server of %s has a usable address",
            l->domain.name);
    }
}

static void answered(struct route_lookup *l)
{
    if (--l->open == 0) {
        weed(l);
        finish(l);
    }
}

static void on_host(const struct hosts_answer *answer, void *ctx)
{
    struct host_lookup *h = ctx;
    struct route_lookup *l = h->route;
    struct route_host *host = &l->route.hosts[h->index];
    h->lookup = NULL;
    memcpy(host->addresses, answer->addresses,
           answer->count * sizeof(host->addresses[0]));
    host->address_count = answer->count;
    l->trouble = l->trouble || answer->trouble;
    if (answer->count > 0 && answer->ttl_s < l->ttl_s) {
        l->ttl_s = answer->ttl_s;
    }
    answered(l);
}

static void ask_host(struct route_lookup *l, const char *name)
{
    size_t i = l->route.host_count++;
    snprintf(l->route.hosts[i].name, sizeof(l->route.hosts[i].name), "%s", name);
    l->hosts[i].route = l;
    l->hosts[i].index = i;
    l->hosts[i].lookup = hosts_find(l->env, name, on_host, &l->hosts[i]);
    l->open++;
}

static void use_mx(struct route_lookup *l, const struct dns_answer *answer)
{
    struct mx list[DNS_RECORDS_MAX];
    for (size_t i = 0; i < answer->count; i++) {
        list[i].preference = answer->records[i].preference;
        snprintf(list[i].host, sizeof(list[i].host), "%.255s", answer->records[i].text);
    }
    if (mx_is_null(list, answer->count)) {
        say(l, true, "556 5.1.10 Permanent failure: Recipient address has null MX");
        return;
    }
    l->ttl_s = answer->ttl_s;
    size_t n = mx_sort(list, answer->count);
    for (size_t i = 0; i < n; i++) {
        ask_host(l, list[i].host);
    }
}

static void on_mx(const struct dns_answer *answer, void *ctx)
{
    struct route_lookup *l = ctx;
    l->mx = NULL;
    switch (answer->status) {
    case DNS_NO_NAME:
        say(l, true, "512 Domain %s does not exist", l->domain.name);
        break;
    case DNS_TROUBLE:
        say(l, false, "421 DNS resolution failed for %s", l->domain.name);
        break;
    case DNS_NO_DATA:
        ask_host(l, l->domain.name);
        break;
    case DNS_FOUND:
        use_mx(l, answer);
        break;
    }
    if (l->route.reply[0] != '\0' && l->sts != NULL) {
        sts_cancel(&l->sts); /* it would change nothing */
        l->open--;
    }
    answered(l);
}

static void on_sts(const struct sts_policy *policy, void *ctx)
{
    struct route_lookup *l = ctx;
    l->sts = NULL;
    if (policy != NULL) {
        l->has_policy = true;
        l->policy = *policy;
    }
    answered(l);
}

static void on_soon(void *ctx)
{
    struct route_lookup *l = ctx;
    struct route_host *h = &l->route.hosts[0];
    snprintf(h->name, sizeof(h->name), "%s", l->domain.name);
    if (peer_address_parse(l->domain.name, &h->addresses[0]) &&
        (l->env->anywhere || peer_is_public(&h->addresses[0]))) {
        h->address_count = 1;
    }
    l->route.host_count = 1;
    answered(l);
}

struct route_lookup *route_find(struct env *env, const struct domain *domain,
                                route_cb cb, void *ctx)
{
    struct route_lookup *l = cm_calloc(1, sizeof(*l));
    l->env = env;
    l->domain = *domain;
    l->cb = cb;
    l->ctx = ctx;
    l->ttl_s = UINT32_MAX;
    l->open = 1;
    if (domain->literal) {
        l->soon = cm_timer_new(env->loop, on_soon, l);
        cm_timer_set(l->soon, 0);
        return l;
    }
    l->mx = dns_ask(env->dns, domain->name, DNS_MX, on_mx, l);
    if (domain->name[0] != '_') { /* whose certificates are not looked at either */
        l->sts = sts_find(env->sts, domain->name, on_sts, l);
        l->open++;
    }
    return l;
}
