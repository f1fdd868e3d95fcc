#include "zone.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/mem.h"
#include "txt.h"

#define TXT_CHUNK     255
#define DATA_MAX      4096
#define ZONE_MAX      (64 * 1024)
#define NAME_MAX_TEXT 256

/* ---- building ---- */

static void add(struct op_zone *z, bool required, char *name, const char *type,
                char *data)
{
    z->items = cm_realloc_array(z->items, z->count + 1, sizeof(*z->items));
    z->items[z->count++] = (struct op_record){name, type, data, required, OP_TTL};
}

/* With dns_follow the store takes a drained gateway out by itself. */
static bool left_out(const struct cm_conf *conf, const struct cm_conf_gateway *g)
{
    return g->mode == CM_MODE_OFF ||
           (conf->store.dns_follow && g->mode == CM_MODE_DRAIN);
}

/* Addresses of everything that serves; a store without gateways serves itself. */
static void add_addresses(struct op_zone *z, const struct cm_conf *conf, bool v6)
{
    for (size_t i = 0; i < conf->gateway_count || (i == 0 && conf->gateway_count == 0);
         i++) {
        const struct cm_conf_gateway *g =
            conf->gateway_count > 0 ? &conf->gateways[i] : NULL;
        const char *list = g != NULL ? g->addresses : conf->store.addresses;
        char words[CM_ADDRESSES_MAX][64];
        if (list == NULL || (g != NULL && left_out(conf, g))) {
            continue;
        }
        size_t n = cm_conf_words(list, words, CM_ADDRESSES_MAX);
        for (size_t w = 0; w < n; w++) {
            if (v6 == (strchr(words[w], ':') != NULL)) {
                add(z, true, cm_asprintf("%s.", conf->mail_domain), v6 ? "AAAA" : "A",
                    cm_strdup(words[w]));
                z->items[z->count - 1].ttl =
                    conf->store.dns_follow ? OP_TTL_FOLLOW : OP_TTL;
            }
        }
    }
}

static char *dkim_text(const char *key)
{
    return cm_asprintf("v=DKIM1;k=rsa;p=%s;s=email;t=s", key);
}

/* A character-string of DNS holds 255 bytes. */
static char *quote_txt(const char *text)
{
    struct cm_buf b;

    cm_buf_init(&b, DATA_MAX);
    do {
        size_t n = strlen(text) < TXT_CHUNK ? strlen(text) : TXT_CHUNK;
        cm_buf_fmt(&b, "%s\"%.*s\"", b.len > 0 ? " " : "", (int)n, text);
        text += n;
    } while (*text != '\0');
    return cm_buf_steal(&b);
}

static void add_required(struct op_zone *z, const struct op_zone_input *in)
{
    const char *d = in->conf->mail_domain;

    add_addresses(z, in->conf, false);
    if (!in->conf->disable_ipv6) {
        add_addresses(z, in->conf, true);
    }
    add(z, true, cm_asprintf("%s.", d), "MX", cm_asprintf("10 %s.", d));
    if (in->conf->tls_mode == CM_TLS_ACME) {
        add(z, true, cm_asprintf("_mta-sts.%s.", d), "TXT",
            cm_asprintf("\"v=STSv1; id=%s\"", in->mta_sts_id));
        add(z, true, cm_asprintf("mta-sts.%s.", d), "CNAME", cm_asprintf("%s.", d));
    }
    add(z, true, cm_asprintf("www.%s.", d), "CNAME", cm_asprintf("%s.", d));
    char *dkim = dkim_text(in->dkim_key);
    add(z, true, cm_asprintf("opendkim._domainkey.%s.", d), "TXT", quote_txt(dkim));
    free(dkim);
}

/* RFC 1035 3.5, RFC 3596 2.5. Caller frees. */
static char *reverse_name(const char *address)
{
    unsigned char a[16];
    struct cm_buf b;

    cm_buf_init(&b, NAME_MAX_TEXT);
    if (inet_pton(AF_INET, address, a) == 1) {
        cm_buf_fmt(&b, "%u.%u.%u.%u.in-addr.arpa.", a[3], a[2], a[1], a[0]);
    } else if (inet_pton(AF_INET6, address, a) == 1) {
        for (size_t i = sizeof(a); i-- > 0;) {
            cm_buf_fmt(&b, "%x.%x.", a[i] & 15u, a[i] >> 4);
        }
        cm_buf_str(&b, "ip6.arpa.");
    }
    cm_assert(b.len > 0); /* the settings take nothing else for an address */
    return cm_buf_steal(&b);
}

/* Mail leaves from the first address of each family (proxy/plane_gateway.c). */
static void add_reverse_of(struct op_zone *z, const struct cm_conf *conf,
                           const char *list)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(list, words, CM_ADDRESSES_MAX);
    bool done[2] = {false, conf->disable_ipv6};

    for (size_t w = 0; w < n; w++) {
        bool v6 = strchr(words[w], ':') != NULL;
        if (!done[v6]) {
            done[v6] = true;
            add(z, false, reverse_name(words[w]), OP_REVERSE,
                cm_asprintf("%s.", conf->mail_domain));
            snprintf(z->egress[z->egress_count++], sizeof(z->egress[0]), "%.45s",
                     words[w]);
        }
    }
}

/* A home line that mail leaves by, past gateways, is not known here. */
static void add_reverse(struct op_zone *z, const struct cm_conf *conf)
{
    if (conf->gateway_count == 0 && conf->store.addresses != NULL) {
        add_reverse_of(z, conf, conf->store.addresses);
    }
    for (size_t i = 0;
         i < conf->gateway_count && conf->store.egress != CM_EGRESS_DIRECT; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (g->egress && g->mode != CM_MODE_OFF) {
            add_reverse_of(z, conf, g->addresses);
        }
    }
}

/* With addresses that come and go "a" says too little: a gateway that is back sends
 * before every cache knows. */
static char *spf_text(const struct op_zone *z, const struct cm_conf *conf)
{
    struct cm_buf b;

    cm_buf_init(&b, DATA_MAX);
    cm_buf_str(&b, "v=spf1 a");
    for (size_t i = 0; i < z->egress_count && conf->store.dns_follow; i++) {
        cm_buf_fmt(&b, " %s:%s", strchr(z->egress[i], ':') != NULL ? "ip6" : "ip4",
                   z->egress[i]);
    }
    cm_buf_str(&b, " ~all");
    char *quoted = quote_txt(b.data);
    cm_buf_clear(&b);
    return quoted;
}

static void add_recommended(struct op_zone *z, const struct op_zone_input *in)
{
    static const struct {
        const char *service;
        int port;
    } services[] = {
        {"_submission", 587}, {"_submissions", 465}, {"_imap", 143}, {"_imaps", 993}};
    const char *d = in->conf->mail_domain;

    add(z, false, cm_asprintf("%s.", d), "TXT", spf_text(z, in->conf));
    add(z, false, cm_asprintf("_dmarc.%s.", d), "TXT",
        cm_strdup("\"v=DMARC1;p=reject;adkim=s;aspf=s\""));
    if (in->conf->tls_mode == CM_TLS_ACME && in->acme_account[0] != '\0') {
        add(z, false, cm_asprintf("%s.", d), "CAA",
            cm_asprintf("0 issue \"%s;accounturi=%s\"",
                        in->acme_issuer != NULL && in->acme_issuer[0] != '\0'
                            ? in->acme_issuer
                            : "letsencrypt.org",
                        in->acme_account));
    }
    add(z, false, cm_asprintf("_adsp._domainkey.%s.", d), "TXT",
        cm_strdup("\"dkim=discardable\""));
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        add(z, false, cm_asprintf("%s._tcp.%s.", services[i].service, d), "SRV",
            cm_asprintf("0 1 %d %s.", services[i].port, d));
    }
}

void op_zone_build(const struct op_zone_input *in, struct op_zone *zone_r)
{
    *zone_r = (struct op_zone){.items = NULL};
    struct op_zone reverse = {.items = NULL};

    zone_r->follows = in->conf->store.dns_follow;
    if (!in->conf->is_ip) {
        add_reverse(&reverse, in->conf);
    }
    memcpy(zone_r->egress, reverse.egress, sizeof(reverse.egress));
    zone_r->egress_count = reverse.egress_count;
    add_required(zone_r, in);
    add_recommended(zone_r, in);
    for (size_t i = 0; i < reverse.count; i++) {
        add(zone_r, false, reverse.items[i].name, OP_REVERSE, reverse.items[i].data);
    }
    free(reverse.items);
}

void op_zone_clear(struct op_zone *zone)
{
    for (size_t i = 0; i < zone->count; i++) {
        free(zone->items[i].name);
        free(zone->items[i].data);
    }
    free(zone->items);
    *zone = (struct op_zone){.items = NULL};
}

char *op_zone_line(const struct op_record *r)
{
    return cm_asprintf("%-40s %-6d IN %-5s %s", r->name, r->ttl, r->type, r->data);
}

char *op_zone_text(const struct op_zone *zone)
{
    struct cm_buf b;
    bool said = false;

    cm_buf_init(&b, ZONE_MAX);
    cm_buf_str(&b, "; Required DNS entries\n");
    for (size_t i = 0; i < zone->count; i++) {
        if (i > 0 && zone->items[i - 1].required && !zone->items[i].required) {
            cm_buf_str(&b, "\n; Recommended DNS entries\n");
        }
        bool reverse = strcmp(zone->items[i].type, OP_REVERSE) == 0;
        if (reverse && !said) {
            said = true;
            cm_buf_str(&b, "\n; Reverse DNS: ask whoever rents you these addresses\n");
        }
        char *line = op_zone_line(&zone->items[i]);
        cm_buf_fmt(&b, "%s%s\n", reverse ? "; " : "", line);
        free(line);
    }
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

/* ---- comparing ---- */

static void normal_address(const char *data, char *out, size_t size)
{
    struct in6_addr v6;

    if (inet_pton(AF_INET6, data, &v6) == 1) {
        inet_ntop(AF_INET6, &v6, out, (socklen_t)size);
    } else {
        snprintf(out, size, "%s", data);
    }
}

/* Names: lower case, single blanks, final dot. */
static void normal_names(const char *data, char *out, size_t size)
{
    size_t n = 0;

    while (*data != '\0' && n + 2 < size) {
        data += strspn(data, " \t");
        while (*data != '\0' && *data != ' ' && *data != '\t' && n + 2 < size) {
            out[n++] = (char)tolower((unsigned char)*data++);
        }
        out[n++] = ' ';
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    if (n > 0 && out[n - 1] != '.' && out[n - 1] != '"') {
        out[n++] = '.';
    }
    out[n] = '\0';
}

static void normal(const char *type, const char *data, char *out, size_t size)
{
    if (strcmp(type, "AAAA") == 0) {
        normal_address(data, out, size);
    } else if (strcmp(type, "A") == 0) {
        snprintf(out, size, "%s", data);
    } else {
        normal_names(data, out, size);
    }
}

bool op_zone_is_spf(const struct op_record *r)
{
    return strcmp(r->type, "TXT") == 0 && strncmp(r->data, "\"v=spf1", 7) == 0;
}

/* 0 issue "letsencrypt.org; ..." of the same CA: without account it lets anybody's in,
 * whatever stands beside it. */
static bool same_issuer(const char *want, const char *have)
{
    const char *a = strstr(want, "issue \""), *b = strcasestr(have, "issue \"");

    if (a == NULL || b == NULL) {
        return false;
    }
    a += strlen("issue \"");
    b += strlen("issue \"");
    b += strspn(b, " \t");
    size_t n = strcspn(a, "; \t\"");
    return n == strcspn(b, "; \t\"") && strncasecmp(a, b, n) == 0;
}

/* At the domain itself there are other people's TXT records, and anybody's CAA. Of
 * DMARC and MTA-STS only records that say so count, for their readers too. */
bool op_zone_is_ours(const struct op_record *r, const char *published)
{
    static const char *const versions[] = {"v=spf1", "v=DMARC1", "v=STSv1"};
    char want[OP_TXT_MAX], have[OP_TXT_MAX];

    if (strcmp(r->type, "CAA") == 0) {
        return strcasestr(published, "accounturi") != NULL ||
               same_issuer(r->data, published);
    }
    if (strcmp(r->type, "TXT") != 0) {
        return true;
    }
    op_txt_join(r->data, want, sizeof(want));
    op_txt_join(published, have, sizeof(have));
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        if (op_txt_is(want, versions[i])) {
            return op_txt_is(have, versions[i]);
        }
    }
    return true;
}

/* RFC 8659 4.2: blanks around the parts of an issue value are nothing. */
static void normal_caa(const char *data, char *out, size_t size)
{
    size_t n = 0;

    for (int field = 0; *data != '\0' && n + 1 < size; data++) {
        bool blank = *data == ' ' || *data == '\t';
        if (!blank) {
            out[n++] = field < 2 ? (char)tolower((unsigned char)*data) : *data;
        } else if (field < 2) {
            out[n++] = ' ';
            field++;
            data += strspn(data, " \t") - 1;
        }
    }
    out[n] = '\0';
}

bool op_zone_serves(const struct op_record *r, const char *published)
{
    char want[DATA_MAX], have[DATA_MAX];

    if (strcmp(r->type, "TXT") == 0) {
        op_txt_join(r->data, want, sizeof(want));
        op_txt_join(published, have, sizeof(have));
        return op_txt_serves(want, have);
    }
    if (strcmp(r->type, "CAA") == 0) {
        normal_caa(r->data, want, sizeof(want));
        normal_caa(published, have, sizeof(have));
    } else {
        normal(r->type, r->data, want, sizeof(want));
        normal(r->type, published, have, sizeof(have));
    }
    return strcmp(want, have) == 0;
}

static bool in_set(const struct op_record *set, size_t n, const char *published)
{
    for (size_t i = 0; i < n; i++) {
        if (op_zone_serves(&set[i], published)) {
            return true;
        }
    }
    return false;
}

static bool is_published(const struct op_record *r, const char *const *published,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (in_set(r, 1, published[i])) {
            return true;
        }
    }
    return false;
}

size_t op_zone_set(const struct op_zone *zone, size_t first)
{
    const struct op_record *set = &zone->items[first];
    size_t n = 1;

    while (first + n < zone->count && strcmp(set[n].name, set->name) == 0 &&
           strcmp(set[n].type, set->type) == 0) {
        n++;
    }
    return n;
}

enum op_verdict op_zone_judge(const struct op_zone *zone, size_t first,
                              const char *const *published, size_t count, char *why,
                              size_t size)
{
    const struct op_record *set = &zone->items[first];
    size_t n = op_zone_set(zone, first), there = 0, foreign = 0, missing = 0, used = 0;
    bool reverse = strcmp(set->type, OP_REVERSE) == 0;

    why[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!op_zone_is_ours(set, published[i])) {
            continue;
        }
        there++;
        foreign += !reverse && !in_set(set, n, published[i]);
        int len = snprintf(why + used, size - used, "%s%s", used > 0 ? ", " : "",
                           published[i]);
        used += len < 0 ? 0 : (size_t)len < size - used ? (size_t)len : size - used - 1;
    }
    for (size_t i = 0; i < n; i++) {
        missing += !is_published(&set[i], published, count);
    }
    if (op_zone_is_spf(set) && there > 0) {
        return there == 1 ? OP_RIGHT : OP_WRONG;
    }
    bool addresses = set->required &&
                     (strcmp(set->type, "A") == 0 || strcmp(set->type, "AAAA") == 0);
    if (foreign == 0 && (missing == 0 || (zone->follows && addresses && there > 0))) {
        return OP_RIGHT;
    }
    return there == 0 ? OP_MISSING : OP_WRONG;
}
