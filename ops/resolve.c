#include "resolve.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "common/buf.h"
#include "common/mem.h"
#include "say.h"

#define DATA_MAX  4096
#define TIMEOUT_S 3

/* ---- one question ---- */

static bool recursive(const struct op_server *server)
{
    return server->recursive || server->address[0] == '\0';
}

static ldns_resolver *resolver_for(const struct op_server *server, struct cm_err *err)
{
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    bool direct = server->address[0] != '\0';
    ldns_resolver *r = NULL;

    if (!direct) {
        if (ldns_resolver_new_frm_file(&r, NULL) != LDNS_STATUS_OK) {
            cm_err_set(err, CM_ERR_WORLD, "/etc/resolv.conf names no resolver");
            return NULL;
        }
    } else {
        bool v6 = strchr(server->address, ':') != NULL;
        ldns_rdf *address = ldns_rdf_new_frm_str(
            v6 ? LDNS_RDF_TYPE_AAAA : LDNS_RDF_TYPE_A, server->address);
        cm_assert(address != NULL);
        r = ldns_resolver_new();
        ldns_status st = ldns_resolver_push_nameserver(r, address);
        ldns_rdf_deep_free(address);
        cm_assert(st == LDNS_STATUS_OK);
    }
    if (server->port != 0) {
        ldns_resolver_set_port(r, server->port);
    }
    ldns_resolver_set_recursive(r, recursive(server));
    ldns_resolver_set_timeout(r, timeout);
    ldns_resolver_set_retry(r, 2);
    ldns_resolver_set_fallback(r, true);
    return r;
}

static char *rr_data(const ldns_rr *rr)
{
    struct cm_buf b;

    cm_buf_init(&b, DATA_MAX);
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        char *text = ldns_rdf2str(ldns_rr_rdf(rr, i));
        cm_buf_fmt(&b, "%s%s", i > 0 ? " " : "", text != NULL ? text : "");
        free(text);
    }
    return cm_buf_steal(&b);
}

/* How long nothing is kept: RFC 2308 5. */
static int64_t negative_ttl(const ldns_pkt *pkt)
{
    const ldns_rr_list *list = ldns_pkt_authority(pkt);

    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA && ldns_rr_rd_count(rr) == 7) {
            uint32_t minimum = ldns_rdf2native_int32(ldns_rr_rdf(rr, 6));
            return minimum < ldns_rr_ttl(rr) ? minimum : ldns_rr_ttl(rr);
        }
    }
    return -1;
}

static void note_alias(const ldns_rr *rr, const ldns_rdf *owner, struct op_answers *out)
{
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME && ldns_rr_rd_count(rr) == 1 &&
        ldns_dname_compare(ldns_rr_owner(rr), owner) == 0) {
        char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
        snprintf(out->alias, sizeof(out->alias), "%s", text != NULL ? text : "");
        free(text);
    }
}

static void collect(const ldns_pkt *pkt, const ldns_rdf *owner, ldns_rr_type type,
                    struct op_answers *out)
{
    const ldns_rr_list *list = ldns_pkt_answer(pkt);

    out->authoritative = ldns_pkt_aa(pkt);
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        note_alias(rr, owner, out);
        if (ldns_rr_get_type(rr) == type && out->count < OP_ANSWERS_MAX) {
            out->items[out->count++] = rr_data(rr);
        }
        if (out->ttl_s < 0 || ldns_rr_ttl(rr) < out->ttl_s) {
            out->ttl_s = ldns_rr_ttl(rr);
        }
    }
    if (out->count == 0) {
        out->ttl_s = negative_ttl(pkt);
    }
}

int op_resolve(const struct op_server *server, const char *name, const char *type,
               struct op_answers *out, struct cm_err *err)
{
    ldns_rr_type rr_type = ldns_get_rr_type_by_name(type);
    ldns_resolver *r = resolver_for(server, err);
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    ldns_pkt *pkt = NULL;
    int rc = -1;

    *out = (struct op_answers){.ttl_s = -1};
    if (r == NULL || owner == NULL) {
        if (owner == NULL) {
            cm_err_set(err, CM_ERR_REFUSE, "%s is not a name", name);
        }
        goto out;
    }
    uint16_t flags = recursive(server) ? LDNS_RD : 0;
    op_wait_note(name);
    pkt = ldns_resolver_query(r, owner, rr_type, LDNS_RR_CLASS_IN, flags);
    if (pkt == NULL) {
        cm_err_set(err, CM_ERR_RETRY, "%s%s%s does not answer", server->name,
                   server->address[0] != '\0' ? " " : "", server->address);
        goto out;
    }
    ldns_pkt_rcode rcode = ldns_pkt_get_rcode(pkt);
    if (rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN) {
        char *text = ldns_pkt_rcode2str(rcode);
        cm_err_set(err, CM_ERR_RETRY, "%s%s%s answers %s", server->name,
                   server->address[0] != '\0' ? " " : "", server->address,
                   text != NULL ? text : "an error");
        free(text);
        goto out;
    }
    collect(pkt, owner, rr_type, out);
    rc = 0;
out:
    ldns_pkt_free(pkt);
    ldns_rdf_deep_free(owner);
    ldns_resolver_deep_free(r);
    return rc;
}

void op_answers_clear(struct op_answers *a)
{
    for (size_t i = 0; i < a->count; i++) {
        free(a->items[i]);
    }
    a->count = 0;
}

/* ---- who serves the zone ---- */

static int add_addresses(const struct op_server *resolver, const char *name,
                         const char *type, struct op_servers *out, struct cm_err *err)
{
    struct op_answers a = {.count = 0};

    if (op_resolve(resolver, name, type, &a, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < a.count && out->count < OP_SERVERS_MAX; i++) {
        struct op_server *s = &out->items[out->count++];
        *s = (struct op_server){.recursive = false};
        snprintf(s->name, sizeof(s->name), "%s", name);
        snprintf(s->address, sizeof(s->address), "%s", a.items[i]);
    }
    op_answers_clear(&a);
    return 0;
}

/* The nearest ancestor with an SOA of its own is the zone. What is behind an alias is
 * not. */
static int find_zone(const struct op_server *resolver, const char *domain,
                     char zone_r[256], struct cm_err *err)
{
    zone_r[0] = '\0';
    for (const char *zone = domain; zone != NULL && *zone != '\0' && zone_r[0] == '\0';
         zone = strchr(zone, '.') != NULL ? strchr(zone, '.') + 1 : NULL) {
        struct op_answers soa;
        if (op_resolve(resolver, zone, "SOA", &soa, err) != 0) {
            return -1;
        }
        if (soa.count > 0 && soa.alias[0] == '\0') {
            snprintf(zone_r, 256, "%s.", zone);
        }
        op_answers_clear(&soa);
    }
    return 0;
}

int op_resolve_servers(const struct op_server *resolver, const char *domain,
                       struct op_servers *out, char zone_r[256], struct cm_err *err)
{
    struct op_answers ns = {.count = 0};

    out->count = out->lost_count = 0;
    if (find_zone(resolver, domain, zone_r, err) != 0 ||
        (zone_r[0] != '\0' && op_resolve(resolver, zone_r, "NS", &ns, err) != 0)) {
        return -1;
    }
    for (size_t i = 0; i < ns.count; i++) {
        struct cm_err ignored; /* a server without one family is no error */
        size_t before = out->count;
        for (int six = 0; six < 2; six++) {
            (void)!add_addresses(resolver, ns.items[i], six ? "AAAA" : "A", out,
                                 &ignored);
        }
        if (out->count == before && before < OP_SERVERS_MAX &&
            out->lost_count < OP_SERVERS_MAX) {
            snprintf(out->lost[out->lost_count++], sizeof(out->lost[0]), "%s",
                     ns.items[i]);
        }
    }
    op_answers_clear(&ns);
    return 0;
}
