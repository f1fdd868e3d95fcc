#include "zone.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/mem.h"

#define TTL           3600
#define TXT_CHUNK     255
#define DATA_MAX      4096
#define ZONE_MAX      (64 * 1024)
#define NAME_MAX_TEXT 256

/* ---- building ---- */

static void add(struct op_zone *z, bool required, char *name, const char *type,
                char *data)
{
    z->items = cm_realloc_array(z->items, z->count + 1, sizeof(*z->items));
    z->items[z->count++] = (struct op_record){name, type, data, required};
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
        if (list == NULL || (g != NULL && g->mode == CM_MODE_OFF)) {
            continue;
        }
        size_t n = cm_conf_words(list, words, CM_ADDRESSES_MAX);
        for (size_t w = 0; w < n; w++) {
            if (v6 == (strchr(words[w], ':') != NULL)) {
                add(z, true, cm_asprintf("%s.", conf->mail_domain), v6 ? "AAAA" : "A",
                    cm_strdup(words[w]));
            }
        }
    }
}

static char *dkim_text(const char *key)
{
    return cm_asprintf("v=DKIM1;k=rsa;p=%s;s=email;t=s", key);
}

char *op_zone_dkim_one_line(const char *dkim_key)
{
    return dkim_text(dkim_key);
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

static void add_recommended(struct op_zone *z, const struct op_zone_input *in)
{
    static const struct {
        const char *service;
        int port;
    } services[] = {
        {"_submission", 587}, {"_submissions", 465}, {"_imap", 143}, {"_imaps", 993}};
    const char *d = in->conf->mail_domain;

    add(z, false, cm_asprintf("%s.", d), "TXT", cm_strdup("\"v=spf1 a ~all\""));
    add(z, false, cm_asprintf("_dmarc.%s.", d), "TXT",
        cm_strdup("\"v=DMARC1;p=reject;adkim=s;aspf=s\""));
    if (in->conf->tls_mode == CM_TLS_ACME && in->acme_account[0] != '\0') {
        add(z, false, cm_asprintf("%s.", d), "CAA",
            cm_asprintf("0 issue \"letsencrypt.org;accounturi=%s\"", in->acme_account));
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
    add_required(zone_r, in);
    add_recommended(zone_r, in);
    if (!in->conf->is_ip) {
        add_reverse(zone_r, in->conf);
    }
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
    return cm_asprintf("%-40s %-6d IN %-5s %s", r->name, TTL, r->type, r->data);
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

/* "a" "b" joined; blanks that RFC 6376 tag lists do not see are gone, and so is a final
 * semicolon. SPF's blanks mean something, so they stay there. */
static void normal_txt(const char *data, char *out, size_t size)
{
    bool tags = strcasestr(data, "v=spf1") == NULL;
    bool inside = strchr(data, '"') == NULL;
    size_t n = 0;

    for (; *data != '\0' && n + 1 < size; data++) {
        if (*data == '\\' && data[1] != '\0') {
            out[n++] = *++data;
        } else if (*data == '"') {
            inside = !inside;
        } else if (inside && !(tags && isspace((unsigned char)*data))) {
            out[n++] = *data;
        }
    }
    while (n > 0 && (out[n - 1] == ';' || out[n - 1] == ' ')) {
        n--;
    }
    out[n] = '\0';
}

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
    if (strcmp(type, "TXT") == 0) {
        normal_txt(data, out, size);
    } else if (strcmp(type, "AAAA") == 0) {
        normal_address(data, out, size);
    } else if (strcmp(type, "A") == 0) {
        snprintf(out, size, "%s", data);
    } else {
        normal_names(data, out, size);
    }
}

/* At the domain itself there are other people's TXT records, and anybody's CAA. */
static bool is_ours(const struct op_record *r, const char *published)
{
    if (strcmp(r->type, "CAA") == 0) {
        return strcasestr(published, "accounturi") != NULL;
    }
    return strcmp(r->type, "TXT") != 0 || strcasestr(r->data, "v=spf1") == NULL ||
           strcasestr(published, "v=spf1") != NULL;
}

static bool in_set(const struct op_record *set, size_t n, const char *published)
{
    char want[DATA_MAX], have[DATA_MAX];

    normal(set->type, published, have, sizeof(have));
    for (size_t i = 0; i < n; i++) {
        normal(set->type, set[i].data, want, sizeof(want));
        if (strcmp(want, have) == 0) {
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

enum op_verdict op_zone_judge(const struct op_zone *zone, size_t first, size_t *n_r,
                              const char *const *published, size_t count, char *why,
                              size_t size)
{
    const struct op_record *set = &zone->items[first];
    size_t n = 1, there = 0, foreign = 0, missing = 0, used = 0;

    while (first + n < zone->count && strcmp(set[n].name, set->name) == 0 &&
           strcmp(set[n].type, set->type) == 0) {
        n++;
    }
    *n_r = n;
    why[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(set, published[i])) {
            continue;
        }
        there++;
        foreign += !in_set(set, n, published[i]);
        int len = snprintf(why + used, size - used, "%s%s", used > 0 ? ", " : "",
                           published[i]);
        used += len < 0 ? 0 : (size_t)len < size - used ? (size_t)len : size - used - 1;
    }
    for (size_t i = 0; i < n; i++) {
        missing += !is_published(&set[i], published, count);
    }
    if (foreign == 0 && missing == 0) {
        return OP_RIGHT;
    }
    return there == 0 ? OP_MISSING : OP_WRONG;
}
