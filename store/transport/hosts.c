#include "hosts.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "dns.h"

struct hosts_lookup {
    const struct env *env;
    struct dns_question *questions[2]; /* A, AAAA */
    size_t open;
    bool trouble;
    uint32_t ttl_s;
    struct peer_address addresses[PEER_ADDRESSES_MAX];
    size_t count;
    hosts_cb cb;
    void *ctx;
};

void hosts_cancel(struct hosts_lookup **lookup)
{
    if (*lookup != NULL) {
        dns_cancel(&(*lookup)->questions[0]);
        dns_cancel(&(*lookup)->questions[1]);
        free(*lookup);
        *lookup = NULL;
    }
}

/* Neither family may crowd out the other. */
static void collect(struct hosts_lookup *l, const struct dns_answer *answer)
{
    size_t room = PEER_ADDRESSES_MAX / 2;
    for (size_t i = 0; i < answer->count && room > 0; i++) {
        const struct peer_address *a = &answer->records[i].address;
        if (l->env->anywhere || peer_is_public(a)) {
            l->addresses[l->count++] = *a;
            room--;
        }
    }
    if (answer->count > 0 && answer->ttl_s < l->ttl_s) {
        l->ttl_s = answer->ttl_s;
    }
}

static void answered(struct hosts_lookup *l, const struct dns_answer *answer)
{
    collect(l, answer);
    l->trouble = l->trouble || answer->status == DNS_TROUBLE;
    if (--l->open > 0) {
        return;
    }
    struct hosts_answer out = {.addresses = l->addresses,
                               .count = l->count,
                               .ttl_s = l->count > 0 ? l->ttl_s : 0,
                               .trouble = l->count == 0 && l->trouble};
    l->cb(&out, l->ctx);
    hosts_cancel(&l);
}

static void on_v4(const struct dns_answer *answer, void *ctx)
{
    struct hosts_lookup *l = ctx;
    l->questions[0] = NULL;
    answered(l, answer);
}

static void on_v6(const struct dns_answer *answer, void *ctx)
{
    struct hosts_lookup *l = ctx;
    l->questions[1] = NULL;
    answered(l, answer);
}

struct hosts_lookup *hosts_find(struct env *env, const char *host, hosts_cb cb,
                                void *ctx)
{
    struct hosts_lookup *l = cm_calloc(1, sizeof(*l));
    l->env = env;
    l->cb = cb;
    l->ctx = ctx;
    l->ttl_s = UINT32_MAX;
    l->open = 1;
    l->questions[0] = dns_ask(env->dns, host, DNS_A, on_v4, l);
    if (!env->no_ipv6) {
        l->open = 2;
        l->questions[1] = dns_ask(env->dns, host, DNS_AAAA, on_v6, l);
    }
    return l;
}

bool hosts_usable(const struct peer_address *addresses, size_t n,
                  const struct peer_source *source)
{
    for (size_t i = 0; i < n; i++) {
        if (peer_source_fits(source, addresses[i].family)) {
            return true;
        }
    }
    return false;
}
