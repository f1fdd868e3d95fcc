#include "update.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <ldns/ldns.h>

#include "common/clock.h"
#include "common/mem.h"

#define DNS_PORT   53
#define FUDGE_S    300
#define LABELS_MAX 20

/* TSIG: fields, their sizes, and errors (RFC 8945 4.2, 3). */
#define TSIG_ERROR 5
#define TSIG_OTHER 6
#define TSIG_TIME  6 /* bytes */
#define BADSIG     16
#define BADKEY     17
#define BADTIME    18

int dns_primary_parse(const char *text, struct dns_primary *primary_r,
                      struct cm_err *err)
{
    struct dns_primary p = {.port = DNS_PORT};
    size_t n = strcspn(text, "@");
    char *end = NULL;

    if (n == 0 || n >= sizeof(p.host) || strcspn(text, " \t") < strlen(text)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "not a name server; allowed: ADDRESS or ADDRESS@PORT");
    }
    memcpy(p.host, text, n);
    if (text[n] == '@') {
        unsigned long port = strtoul(text + n + 1, &end, 10);
        if (*end != '\0' || end == text + n + 1 || port < 1 || port > 65535) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "not a port; allowed: 1 to 65535 after \"@\"");
        }
        p.port = (uint16_t)port;
    }
    *primary_r = p;
    return 0;
}

/* ---- one exchange ---- */

static int add_addresses(ldns_resolver *r, const struct dns_primary *p,
                         struct cm_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(p->host, NULL, &hints, &list);

    if (rc != 0) {
        return cm_err_set(err, CM_ERR_RETRY, "name server %s: %s", p->host,
                          gai_strerror(rc));
    }
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        ldns_rdf *rdf = ldns_sockaddr_storage2rdf(
            (const struct sockaddr_storage *)(const void *)a->ai_addr, NULL);
        if (rdf != NULL && ldns_resolver_push_nameserver(r, rdf) != LDNS_STATUS_OK) {
            ldns_rdf_deep_free(rdf);
            continue;
        }
        ldns_rdf_deep_free(rdf);
    }
    freeaddrinfo(list);
    return 0;
}

static ldns_resolver *link_to(const struct dns_primary *p, const struct dns_key *key,
                              struct cm_err *err)
{
    ldns_resolver *r = ldns_resolver_new();
    struct timeval timeout = {.tv_sec = DNS_UPDATE_S};

    cm_assert(r != NULL);
    if (add_addresses(r, p, err) != 0) {
        ldns_resolver_deep_free(r);
        return NULL;
    }
    ldns_resolver_set_port(r, p->port);
    ldns_resolver_set_timeout(r, timeout);
    ldns_resolver_set_retry(r, 1);
    ldns_resolver_set_usevc(r, true);
    ldns_resolver_set_recursive(r, false);
    if (key != NULL) {
        char *algorithm = cm_asprintf("%s.", key->algorithm);
        ldns_resolver_set_tsig_keyname(r, key->name);
        ldns_resolver_set_tsig_keydata(r, key->secret);
        ldns_resolver_set_tsig_algorithm(r, algorithm);
        free(algorithm);
    }
    return r;
}

/* ---- the zone ---- */

/* 1 it is a zone of this server, 0 not, -1 no answer. */
static int is_zone(ldns_resolver *r, const struct dns_primary *p, const char *name,
                   struct cm_err *err)
{
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    ldns_pkt *pkt = NULL;
    int rc = 0;

    if (owner == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s is not a name", name);
    }
    pkt = ldns_resolver_query(r, owner, LDNS_RR_TYPE_SOA, LDNS_RR_CLASS_IN, 0);
    if (pkt == NULL) {
        rc = cm_err_set(err, CM_ERR_RETRY, "name server %s, port %u, does not answer",
                        p->host, p->port);
    } else if (ldns_pkt_aa(pkt)) {
        ldns_rr_list *soa = ldns_pkt_rr_list_by_name_and_type(
            pkt, owner, LDNS_RR_TYPE_SOA, LDNS_SECTION_ANSWER);
        rc = soa != NULL;
        ldns_rr_list_deep_free(soa);
    }
    ldns_pkt_free(pkt);
    ldns_rdf_deep_free(owner);
    return rc;
}

int dns_find_zone(struct dns_primary *primary, const char *name, struct cm_err *err)
{
    ldns_resolver *r = link_to(primary, NULL, err);
    int rc = 0;

    if (r == NULL) {
        return -1;
    }
    for (int i = 0; rc == 0 && i < LABELS_MAX && *name != '\0'; i++) {
        rc = is_zone(r, primary, name, err);
        if (rc == 1) {
            size_t n = strlen(name);
            snprintf(primary->zone, sizeof(primary->zone), "%s%s", name,
                     name[n - 1] == '.' ? "" : ".");
        }
        name += strcspn(name, ".");
        name += *name == '.';
    }
    ldns_resolver_deep_free(r);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "name server %s, port %u, is not authoritative for that name",
                          primary->host, primary->port);
    }
    return rc == 1 ? 0 : -1;
}

/* ---- the update ---- */

static ldns_rr *record(const struct dns_change *c, struct cm_err *err)
{
    ldns_rr *rr = NULL;
    char *line =
        cm_asprintf("%s %u IN %s %s", c->name, c->add ? c->ttl : 0, c->type, c->data);
    ldns_status st = ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL);

    if (st != LDNS_STATUS_OK) {
        cm_err_set(err, CM_ERR_REFUSE, "not a record: %.400s: %s", line,
                   ldns_get_errorstr_by_id(st));
        rr = NULL;
    } else if (!c->add) { /* RFC 2136 2.5.4 */
        ldns_rr_set_class(rr, LDNS_RR_CLASS_NONE);
        ldns_rr_set_ttl(rr, 0);
    }
    free(line);
    return rr;
}

static ldns_rr_list *records(const struct dns_change *changes, size_t count,
                             struct cm_err *err)
{
    ldns_rr_list *list = ldns_rr_list_new();

    for (size_t i = 0; i < count; i++) {
        ldns_rr *rr = record(&changes[i], err);
        if (rr == NULL) {
            ldns_rr_list_deep_free(list);
            return NULL;
        }
        ldns_rr_list_push_rr(list, rr);
    }
    return list;
}

/* Why the server does not take the signature (RFC 8945 3, 5.3): 0 it does not say.
 * *ahead_s: with BADTIME, by how much its clock is ahead. */
static int tsig_error(const ldns_pkt *answer, int64_t *ahead_s)
{
    const ldns_rr *tsig = ldns_pkt_tsig(answer);

    *ahead_s = 0;
    if (tsig == NULL || ldns_rr_rd_count(tsig) <= TSIG_OTHER) {
        return 0;
    }
    const ldns_rdf *other = ldns_rr_rdf(tsig, TSIG_OTHER);
    const uint8_t *data = ldns_rdf_data(other);
    if (ldns_rdf_size(other) == 2 + TSIG_TIME) {
        int64_t at = 0;
        for (size_t i = 0; i < TSIG_TIME; i++) {
            at = at << 8 | data[2 + i];
        }
        *ahead_s = at - cm_now_wall_ms() / 1000;
    }
    return ldns_rdf2native_int16(ldns_rr_rdf(tsig, TSIG_ERROR));
}

static int not_accepted(const ldns_pkt *answer, const struct dns_primary *p,
                        const struct dns_key *key, struct cm_err *err)
{
    int64_t ahead_s;
    int why = tsig_error(answer, &ahead_s);

    if (why == BADTIME) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s does not accept key %s: its clock is %lld s %s this "
                          "one, and %d s are allowed",
                          p->host, key->name, llabs((long long)ahead_s),
                          ahead_s < 0 ? "behind" : "ahead of", FUDGE_S);
    }
    if (why == BADKEY || why == BADSIG) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s does not accept key %s: %s", p->host,
                          key->name,
                          why == BADSIG ? "it has another secret there"
                                        : "there is none of that name and algorithm");
    }
    return cm_err_set(err, CM_ERR_REFUSE, "%s is not the primary of zone %s", p->host,
                      p->zone);
}

static int judge(const ldns_pkt *answer, const struct dns_primary *p,
                 const struct dns_key *key, struct cm_err *err)
{
    ldns_pkt_rcode rcode = ldns_pkt_get_rcode(answer);
    const char *where = p->host;

    switch ((int)rcode) {
    case LDNS_RCODE_NOERROR:
        return 0;
    case LDNS_RCODE_REFUSED:
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s refuses: key %s may not change zone %s there", where,
                          key->name, p->zone);
    case LDNS_RCODE_NOTAUTH:
        return not_accepted(answer, p, key, err);
    case LDNS_RCODE_NOTIMPL:
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s takes no updates (RFC 2136); see chatops dns --form",
                          where);
    default:
        break;
    }
    char *text = ldns_pkt_rcode2str(rcode);
    cm_err_set(err, rcode == LDNS_RCODE_SERVFAIL ? CM_ERR_RETRY : CM_ERR_REFUSE,
               "%s answers the update with %s", where,
               text != NULL ? text : "an error");
    free(text);
    return -1;
}

static int send_update(ldns_resolver *r, ldns_pkt *pkt, const struct dns_primary *p,
                       const struct dns_key *key, struct cm_err *err)
{
    ldns_pkt *answer = NULL;
    ldns_status st = ldns_pkt_tsig_sign(pkt, ldns_resolver_tsig_keyname(r),
                                        ldns_resolver_tsig_keydata(r), FUDGE_S,
                                        ldns_resolver_tsig_algorithm(r), NULL);

    if (st == LDNS_STATUS_OK) {
        st = ldns_send(&answer, r, pkt);
    }
    /* A server that does not know the key cannot sign its answer. */
    if (st != LDNS_STATUS_OK && answer == NULL) {
        bool away = st == LDNS_STATUS_ERR || st == LDNS_STATUS_NETWORK_ERR ||
                    st == LDNS_STATUS_SOCKET_ERROR;
        return cm_err_set(err, CM_ERR_RETRY, "name server %s, port %u%s%s", p->host,
                          p->port, away ? ", " : ": ",
                          away ? "does not answer" : ldns_get_errorstr_by_id(st));
    }
    int rc = judge(answer, p, key, err);
    if (rc == 0 && st != LDNS_STATUS_OK) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "the answer of %s is not signed: %s",
                        p->host, ldns_get_errorstr_by_id(st));
    }
    ldns_pkt_free(answer);
    return rc;
}

int dns_update(const struct dns_primary *primary, const struct dns_key *key,
               const struct dns_change *changes, size_t count, struct cm_err *err)
{
    ldns_rr_list *list = NULL;
    ldns_resolver *r = NULL;
    ldns_pkt *pkt = NULL;
    int rc = -1;

    cm_assert(count > 0 && count <= DNS_CHANGES_MAX && primary->zone[0] != '\0');
    list = records(changes, count, err);
    r = list != NULL ? link_to(primary, key, err) : NULL;
    if (r != NULL) {
        pkt = ldns_update_pkt_new(ldns_dname_new_frm_str(primary->zone),
                                  LDNS_RR_CLASS_IN, NULL, list, NULL);
        cm_assert(pkt != NULL);
        rc = send_update(r, pkt, primary, key, err);
    }
    ldns_pkt_free(pkt);
    ldns_resolver_deep_free(r);
    ldns_rr_list_deep_free(list);
    return rc;
}
