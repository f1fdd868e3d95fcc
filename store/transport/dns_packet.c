#include "dns_packet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "common/mem.h"

#define UDP_SIZE 1232 /* what passes everywhere in one piece */

size_t dns_packet_question(const char *name, enum dns_type type, uint16_t id,
                           unsigned char *out, size_t size)
{
    ldns_rdf *dname = ldns_dname_new_frm_str(name);
    if (dname == NULL) {
        return 0;
    }
    ldns_pkt *pkt = ldns_pkt_query_new(dname, (ldns_rr_type)type, LDNS_RR_CLASS_IN,
                                       LDNS_RD); /* owns dname */
    cm_assert(pkt != NULL);
    ldns_pkt_set_id(pkt, id);
    ldns_pkt_set_edns_udp_size(pkt, UDP_SIZE);
    uint8_t *wire = NULL;
    size_t len = 0;
    if (ldns_pkt2wire(&wire, pkt, &len) != LDNS_STATUS_OK || len > size) {
        len = 0;
    } else {
        memcpy(out, wire, len);
    }
    free(wire);
    ldns_pkt_free(pkt);
    return len;
}

/* A host in small letters without the dot at its end; what cannot be one becomes "".
 */
static void host_text(const ldns_rdf *rdf, char out[DNS_TEXT_MAX])
{
    char *text = ldns_rdf2str(rdf);
    out[0] = '\0';
    if (text == NULL) {
        return;
    }
    size_t len = strlen(text);
    if (len > 1 && text[len - 1] == '.') {
        text[--len] = '\0';
    }
    if (len < DOMAIN_NAME_MAX) {
        for (size_t i = 0; i <= len; i++) {
            char c = text[i];
            out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
    }
    free(text);
}

/* The strings of a TXT record, each with its length in front. */
static void joined_text(const ldns_rr *rr, char out[DNS_TEXT_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        const uint8_t *data = ldns_rdf_data(rdf);
        size_t n = ldns_rdf_size(rdf) > 0 ? ldns_rdf_size(rdf) - 1 : 0;
        for (size_t k = 0; k < n && len + 1 < DNS_TEXT_MAX; k++) {
            out[len++] = data[k + 1] != '\0' ? (char)data[k + 1] : '?';
        }
    }
    out[len] = '\0';
}

static bool read_record(const ldns_rr *rr, enum dns_type type, struct dns_record *out)
{
    *out = (struct dns_record){.preference = 0};
    const ldns_rdf *first = ldns_rr_rd_count(rr) > 0 ? ldns_rr_rdf(rr, 0) : NULL;
    if (first == NULL) {
        return false;
    }
    switch (type) {
    case DNS_A:
        out->address.family = AF_INET;
        memcpy(&out->address.ip.v4, ldns_rdf_data(first), sizeof(out->address.ip.v4));
        return ldns_rdf_size(first) == sizeof(out->address.ip.v4);
    case DNS_AAAA:
        out->address.family = AF_INET6;
        memcpy(&out->address.ip.v6, ldns_rdf_data(first), sizeof(out->address.ip.v6));
        return ldns_rdf_size(first) == sizeof(out->address.ip.v6);
    case DNS_MX:
        if (ldns_rr_rd_count(rr) < 2) {
            return false;
        }
        out->preference = ldns_rdf2native_int16(first);
        host_text(ldns_rr_rdf(rr, 1), out->text);
        return out->text[0] != '\0';
    case DNS_TXT:
        joined_text(rr, out->text);
        return true;
    }
    return false;
}

static void read_answer(const ldns_pkt *pkt, enum dns_type type, struct dns_found *out)
{
    const ldns_rr_list *list = ldns_pkt_answer(pkt);
    out->ttl_s = UINT32_MAX;
    for (size_t i = 0; list != NULL && i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (ldns_rr_ttl(rr) < out->ttl_s) {
            out->ttl_s = ldns_rr_ttl(rr); /* of CNAMEs on the way too */
        }
        if (ldns_rr_get_type(rr) == (ldns_rr_type)type &&
            out->count < DNS_RECORDS_MAX &&
            read_record(rr, type, &out->records[out->count])) {
            out->count++;
        }
    }
    out->status = out->count > 0 ? DNS_FOUND : DNS_NO_DATA;
    out->ttl_s = out->count > 0 ? out->ttl_s : 0;
}

static bool asked(const ldns_pkt *pkt, const char *name, enum dns_type type)
{
    const ldns_rr_list *list = ldns_pkt_question(pkt);
    if (list == NULL || ldns_rr_list_rr_count(list) != 1) {
        return false;
    }
    const ldns_rr *rr = ldns_rr_list_rr(list, 0);
    ldns_rdf *dname = ldns_dname_new_frm_str(name);
    bool same = dname != NULL && ldns_rr_get_type(rr) == (ldns_rr_type)type &&
                ldns_dname_compare(ldns_rr_owner(rr), dname) == 0;
    ldns_rdf_deep_free(dname);
    return same;
}

int dns_packet_answer(const unsigned char *data, size_t len, const char *name,
                      enum dns_type type, uint16_t id, struct dns_found *out)
{
    ldns_pkt *pkt = NULL;
    if (ldns_wire2pkt(&pkt, data, len) != LDNS_STATUS_OK) {
        return 0;
    }
    int rc = 0;
    if (ldns_pkt_qr(pkt) && ldns_pkt_id(pkt) == id && asked(pkt, name, type)) {
        rc = ldns_pkt_tc(pkt) ? 2 : 1;
        *out = (struct dns_found){.status = DNS_TROUBLE};
        switch (ldns_pkt_get_rcode(pkt)) {
        case LDNS_RCODE_NOERROR:
            read_answer(pkt, type, out);
            break;
        case LDNS_RCODE_NXDOMAIN:
            out->status = DNS_NO_NAME;
            break;
        default:
            snprintf(out->reason, sizeof(out->reason), "the resolver says rcode %d",
                     (int)ldns_pkt_get_rcode(pkt));
        }
    }
    ldns_pkt_free(pkt);
    return rc;
}
