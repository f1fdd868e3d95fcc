#include "certs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acme.h"
#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"

#define DAY             86400
#define EXTERNAL_LATE_S (7 * DAY)
#define PORTS_TEXT_MAX  256
#define DEFECT_MAX      400
#define WRONG_LINE_MAX  1024

static const struct {
    uint16_t port;
    enum op_starttls how;
} ports[] = {{25, OP_TLS_SMTP},     {143, OP_TLS_IMAP}, {443, OP_TLS_AT_ONCE},
             {465, OP_TLS_AT_ONCE}, {587, OP_TLS_SMTP}, {993, OP_TLS_AT_ONCE}};
#define PORTS (sizeof(ports) / sizeof(ports[0]))

/* ---- whom to ask ---- */

static void add_addresses(struct op_certs *certs, const char *owner, const char *list)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = list != NULL ? cm_conf_words(list, words, CM_ADDRESSES_MAX) : 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t p = 0; p < PORTS && certs->count < OP_CERTS_MAX; p++) {
            struct op_cert_at *at = &certs->items[certs->count++];
            *at = (struct op_cert_at){
                .owner = owner, .port = ports[p].port, .how = ports[p].how};
            snprintf(at->address, sizeof(at->address), "%.63s", words[i]);
        }
    }
}

static void certs_init(struct op_certs *certs_r)
{
    *certs_r =
        (struct op_certs){.items = cm_calloc(OP_CERTS_MAX, sizeof(*certs_r->items))};
}

void op_certs_of(const char *owner, const char *address, struct op_certs *certs_r)
{
    certs_init(certs_r);
    add_addresses(certs_r, owner, address);
}

void op_certs_list(const struct cm_conf *conf, struct op_certs *certs_r)
{
    certs_init(certs_r);
    if (conf->gateway_count == 0) {
        add_addresses(certs_r, "store", conf->store.addresses);
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (g->mode == CM_MODE_ACTIVE) {
            add_addresses(certs_r, g->name, g->addresses);
        }
    }
}

void op_certs_clear(struct op_certs *certs)
{
    free(certs->items);
    *certs = (struct op_certs){.items = NULL};
}

/* ---- one certificate ---- */

static void day(int64_t t, char out[32])
{
    time_t when = (time_t)t;
    struct tm tm;

    strftime(out, 32, "%Y-%m-%d", gmtime_r(&when, &tm));
}

static void also(char *why, size_t size, const char *fmt, ...) CM_PRINTF(3, 4);

static void also(char *why, size_t size, const char *fmt, ...)
{
    size_t len = strlen(why);
    va_list ap;

    if (len > 0) {
        snprintf(why + len, size - len, " and ");
        len = strlen(why);
    }
    va_start(ap, fmt);
    vsnprintf(why + len, size - len, fmt, ap);
    va_end(ap);
}

static void judge_age(const struct cm_conf *conf, const struct cm_cert_look *is,
                      int64_t now, char *why, size_t size)
{
    int64_t left = is->not_after - now, life = is->not_after - is->not_before;
    bool acme = conf->tls_mode == CM_TLS_ACME;
    char when[32];

    if (left <= 0) {
        day(is->not_after, when);
        also(why, size, "expired on %s", when);
    } else if (is->not_before > now) {
        day(is->not_before, when);
        also(why, size, "is valid from %s on only", when);
    } else if ((acme && !is->self_signed && left < life / 4) ||
               (conf->tls_mode == CM_TLS_EXTERNAL && left < EXTERNAL_LATE_S)) {
        also(why, size, "is good for %lld more days only, so its renewal is late",
             (long long)(left / DAY));
    }
}

void op_certs_judge(const struct cm_conf *conf, const struct cm_cert_look *is,
                    int64_t now, char *why, size_t size)
{
    bool in_time = is->not_before <= now && now < is->not_after;

    why[0] = '\0';
    judge_age(conf, is, now, why, size);
    if (!is->named) {
        also(why, size, "is for %s, not for %s", is->subject, conf->mail_domain);
    }
    if (conf->tls_mode == CM_TLS_SELF) {
        return;
    }
    if (conf->tls_mode == CM_TLS_ACME && is->self_signed) {
        also(why, size,
             "is a temporary one of the store's own, which clients do not "
             "trust");
    } else if (!is->trusted && in_time) {
        also(why, size, "is trusted by nobody here (%s; it is from %s)",
             is->untrusted_why, is->issuer);
    }
}

/* ---- all of them ---- */

/* The one that most places show. NULL: nobody shows any. */
static const struct cm_cert_look *usual(const struct op_certs *certs)
{
    const struct cm_cert_look *best = NULL;
    size_t most = 0;

    for (size_t i = 0; i < certs->count; i++) {
        size_t n = 0;
        for (size_t j = 0; certs->items[i].state == OP_CERT_SHOWN && j < certs->count;
             j++) {
            n += certs->items[j].state == OP_CERT_SHOWN &&
                 strcmp(certs->items[i].is.print, certs->items[j].is.print) == 0;
        }
        if (n > most) {
            most = n;
            best = &certs->items[i].is;
        }
    }
    return best;
}

static bool same_place(const struct op_cert_at *a, const struct op_cert_at *b)
{
    return strcmp(a->owner, b->owner) == 0 && strcmp(a->address, b->address) == 0;
}

/* Does the whole address say nothing? Then the line is not what blocks it. */
static bool all_silent(const struct op_certs *certs, const struct op_cert_at *at)
{
    for (size_t i = 0; i < certs->count; i++) {
        if (same_place(&certs->items[i], at) &&
            certs->items[i].state != OP_CERT_SILENT) {
            return false;
        }
    }
    return true;
}

static void defect(const struct cm_conf *conf, const struct op_certs *certs,
                   const struct op_cert_at *at, const struct cm_cert_look *most,
                   int64_t now, char out[DEFECT_MAX])
{
    char why[DEFECT_MAX - 32] = "";

    out[0] = '\0';
    switch (at->state) {
    case OP_CERT_SHOWN:
        op_certs_judge(conf, &at->is, now, why, sizeof(why));
        if (strcmp(at->is.print, most->print) != 0) {
            also(why, sizeof(why), "is another than at most places (serial %s)",
                 at->is.serial);
        }
        if (why[0] != '\0') {
            snprintf(out, DEFECT_MAX, "the certificate %s", why);
        }
        break;
    case OP_CERT_SILENT:
        if (all_silent(certs, at)) {
            snprintf(out, DEFECT_MAX, "no answer, so no certificate");
        } else if (at->port != 25) {
            snprintf(out, DEFECT_MAX, "no answer in time, so no certificate");
        }
        break;
    case OP_CERT_BAD:
        snprintf(out, DEFECT_MAX, "no certificate: %s", at->why);
        break;
    case OP_CERT_NO_PATH:
        break;
    }
}

/* Is it so at an earlier port of that place too? */
static bool told_before(const struct op_certs *certs, char (*defects)[DEFECT_MAX],
                        size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (same_place(&certs->items[i], &certs->items[at]) &&
            strcmp(defects[i], defects[at]) == 0) {
            return true;
        }
    }
    return false;
}

/* With all ports of the place that have it. */
static void say_defect(const struct op_certs *certs, char (*defects)[DEFECT_MAX],
                       size_t at, void (*say)(void *, const char *), void *ctx)
{
    const struct op_cert_at *first = &certs->items[at];
    char list[PORTS_TEXT_MAX] = "", line[WRONG_LINE_MAX];
    size_t n = 0;

    for (size_t i = at; i < certs->count; i++) {
        if (same_place(first, &certs->items[i]) &&
            strcmp(defects[i], defects[at]) == 0) {
            size_t len = strlen(list);
            snprintf(list + len, sizeof(list) - len, "%s%u", n > 0 ? ", " : "",
                     certs->items[i].port);
            n++;
        }
    }
    snprintf(line, sizeof(line), "%s %s port%s %s: %s", first->owner, first->address,
             n == 1 ? "" : "s", list, defects[at]);
    say(ctx, line);
}

void op_certs_wrong(const struct cm_conf *conf, const struct op_certs *certs,
                    int64_t now, void (*say)(void *ctx, const char *text), void *ctx)
{
    const struct cm_cert_look *most = usual(certs);
    char(*defects)[DEFECT_MAX] = cm_calloc(certs->count + 1, sizeof(*defects));

    for (size_t i = 0; i < certs->count; i++) {
        defect(conf, certs, &certs->items[i], most, now, defects[i]);
    }
    for (size_t i = 0; i < certs->count; i++) {
        if (defects[i][0] != '\0' && !told_before(certs, defects, i)) {
            say_defect(certs, defects, i, say, ctx);
        }
    }
    free(defects);
}

/* Not the relay's fault: no way to it, or a port 25 that this line is kept from. */
static bool out_of_reach(const struct op_certs *certs, const struct op_cert_at *at)
{
    return at->state == OP_CERT_NO_PATH ||
           (at->state == OP_CERT_SILENT && at->port == 25 && !all_silent(certs, at));
}

void op_certs_line(const struct op_certs *certs, int64_t now, struct cm_buf *out)
{
    const struct cm_cert_look *most = usual(certs);
    size_t shown = 0, same = 0, asked = 0;
    char when[32];

    for (size_t i = 0; i < certs->count; i++) {
        const struct op_cert_at *at = &certs->items[i];
        asked += !out_of_reach(certs, at);
        shown += at->state == OP_CERT_SHOWN;
        same += at->state == OP_CERT_SHOWN && strcmp(at->is.print, most->print) == 0;
    }
    if (most == NULL) {
        cm_buf_fmt(out, "%s", asked > 0 ? "not seen anywhere" : "nowhere to ask");
        return;
    }
    day(most->not_after, when);
    cm_buf_fmt(out, "good for %lld days, until %s, from %s%s; the same on ",
               (long long)((most->not_after - now) / DAY), when, most->issuer,
               most->self_signed ? " (self-signed)" : "");
    cm_buf_fmt(out, same == asked ? "all %zu ports" : "%zu of %zu ports", same, asked);
    if (shown < asked) {
        cm_buf_fmt(out, ", %zu did not show one", asked - shown);
    }
    if (asked < certs->count) {
        cm_buf_fmt(out, ", %zu out of reach from here", certs->count - asked);
    }
}

/* ---- for status ---- */

static void tell_store(struct op_cluster *c, void (*say)(void *, const char *),
                       void *ctx)
{
    struct op_tls_told told;
    struct cm_err err;
    char line[WRONG_LINE_MAX];

    if (c->conf.tls_mode == CM_TLS_SELF) {
        return;
    }
    if (op_tls_told(&c->nodes[0].host, &told, &err) != 0) {
        say(ctx, err.text);
        return;
    }
    if (told.tls_problem[0] != '\0') {
        snprintf(line, sizeof(line),
                 "a new certificate is refused: %s; the old one is in use; see: "
                 "journalctl -u chatmail-tls",
                 told.tls_problem);
        say(ctx, line);
    }
    if (told.acme_problem[0] != '\0' && c->conf.tls_mode == CM_TLS_ACME) {
        snprintf(line, sizeof(line),
                 "no new certificate from the CA: %s; see: journalctl -u chatmail-acme",
                 told.acme_problem);
        say(ctx, line);
    }
}

void op_certs_status(struct op_cluster *c, struct cm_buf *line,
                     void (*say)(void *ctx, const char *text), void *ctx)
{
    struct cm_roots *roots = cm_roots_load(CM_CERT_ROOTS);
    struct op_certs certs;

    op_certs_list(&c->conf, &certs);
    op_certs_ask(&certs, c->conf.mail_domain, roots, OP_CERTS_MS);
    int64_t now = cm_now_wall_ms() / 1000;
    op_certs_wrong(&c->conf, &certs, now, say, ctx);
    op_certs_line(&certs, now, line);
    tell_store(c, say, ctx);
    op_certs_clear(&certs);
    cm_roots_free(&roots);
}
