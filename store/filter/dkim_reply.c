/* dkim_dns.h: the messages. */
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"

#include "dkim_dns.h"

void dkim_answer_clear(struct dkim_answer *a)
{
    for (unsigned i = 0; i < a->count; i++) {
        free(a->record[i]);
    }
    *a = (struct dkim_answer){0};
}

size_t dkim_query_make(unsigned char out[DKIM_QUERY_MAX], uint16_t id, const char *name,
                       bool edns)
{
    static const unsigned char opt[] = {
        0, 0, ns_t_opt, DKIM_DNS_UDP_SIZE >> 8, DKIM_DNS_UDP_SIZE & 0xff, 0, 0, 0,
        0, 0, 0};
    unsigned char wire[NS_MAXCDNAME];
    if (strlen(name) > DKIM_DNS_NAME_MAX ||
        ns_name_pton(name, wire, sizeof(wire)) < 0) {
        return 0;
    }
    unsigned char *p = out;
    const unsigned char head[] = {
        (unsigned char)(id >> 8), (unsigned char)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns};
    memcpy(p, head, sizeof(head));
    p += sizeof(head);
    for (const unsigned char *label = wire;; label += *label + 1) {
        memcpy(p, label, *label + 1u);
        p += *label + 1;
        if (*label == 0) {
            break;
        }
    }
    const unsigned char tail[] = {0, ns_t_txt, 0, ns_c_in};
    memcpy(p, tail, sizeof(tail));
    p += sizeof(tail);
    if (edns) {
        memcpy(p, opt, sizeof(opt));
        p += sizeof(opt);
    }
    return (size_t)(p - out);
}

static bool same_question(ns_msg *msg, const char *name)
{
    ns_rr rr;
    return ns_msg_count(*msg, ns_s_qd) == 1 && ns_parserr(msg, ns_s_qd, 0, &rr) == 0 &&
           strcasecmp(ns_rr_name(rr), name) == 0 && ns_rr_type(rr) == ns_t_txt &&
           ns_rr_class(rr) == ns_c_in;
}

/* A TXT record is a row of counted strings. */
static void add_record(struct dkim_answer *out, const ns_rr *rr)
{
    const unsigned char *p = ns_rr_rdata(*rr), *end = p + ns_rr_rdlen(*rr);
    char *text = cm_malloc(ns_rr_rdlen(*rr)); /* the count bytes are spare */
    size_t len = 0;
    while (p < end) {
        size_t n = *p++;
        n = n < (size_t)(end - p) ? n : (size_t)(end - p);
        memcpy(text + len, p, n);
        len += n;
        p += n;
    }
    out->record[out->count] = text;
    out->len[out->count++] = len;
}

static void least_ttl(struct dkim_answer *out, const ns_rr *rr)
{
    int64_t ttl = ns_rr_ttl(*rr) <= INT32_MAX ? (int64_t)ns_rr_ttl(*rr) : 0;
    out->ttl_s = ttl < out->ttl_s ? ttl : out->ttl_s;
}

/* Where the CNAME of `name` leads; false: there is none. */
static bool follow(ns_msg *msg, char name[NS_MAXDNAME], struct dkim_answer *out)
{
    for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
        ns_rr rr;
        char target[NS_MAXDNAME];
        if (ns_parserr(msg, ns_s_an, i, &rr) == 0 && ns_rr_type(rr) == ns_t_cname &&
            ns_rr_class(rr) == ns_c_in && strcasecmp(ns_rr_name(rr), name) == 0 &&
            dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), ns_rr_rdata(rr), target,
                      sizeof(target)) >= 0) {
            least_ttl(out, &rr);
            memcpy(name, target, sizeof(target));
            return true;
        }
    }
    return false;
}

static void collect(ns_msg *msg, const char *name, struct dkim_answer *out)
{
    for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
        ns_rr rr;
        if (ns_parserr(msg, ns_s_an, i, &rr) == 0 && ns_rr_type(rr) == ns_t_txt &&
            ns_rr_class(rr) == ns_c_in && strcasecmp(ns_rr_name(rr), name) == 0 &&
            out->count < DKIM_RECORDS_MAX) {
            least_ttl(out, &rr);
            add_record(out, &rr);
        }
    }
}

static enum dkim_reply read_answers(ns_msg *msg, const char *question,
                                    struct dkim_answer *out)
{
    char name[NS_MAXDNAME];
    *out = (struct dkim_answer){.ttl_s = INT32_MAX};
    snprintf(name, sizeof(name), "%s", question);
    for (int hops = 0; hops < DKIM_CNAME_MAX && follow(msg, name, out); hops++) {
    }
    collect(msg, name, out);
    if (out->count > 0) {
        return DKIM_REPLY_FOUND;
    }
    /* A referral is no proof of absence: only the zone or a recursing server knows. */
    return ns_msg_getflag(*msg, ns_f_aa) || ns_msg_getflag(*msg, ns_f_ra)
               ? DKIM_REPLY_ABSENT
               : DKIM_REPLY_BAD;
}

enum dkim_reply dkim_reply_read(const unsigned char *data, size_t len, uint16_t id,
                                const char *name, struct dkim_answer *out)
{
    ns_msg msg;
    if (len > INT32_MAX || ns_initparse(data, (int)len, &msg) != 0 ||
        ns_msg_id(msg) != id || !ns_msg_getflag(msg, ns_f_qr) ||
        ns_msg_getflag(msg, ns_f_opcode) != ns_o_query) {
        return DKIM_REPLY_OTHER;
    }
    int rcode = ns_msg_getflag(msg, ns_f_rcode);
    /* A server that did not understand may not repeat the question. */
    if (rcode == ns_r_formerr || rcode == ns_r_notimpl) {
        return DKIM_REPLY_NO_EDNS;
    }
    if (!same_question(&msg, name)) {
        return DKIM_REPLY_OTHER;
    }
    if (ns_msg_getflag(msg, ns_f_tc)) {
        return DKIM_REPLY_TRUNCATED;
    }
    return rcode == ns_r_noerror || rcode == ns_r_nxdomain
               ? read_answers(&msg, name, out)
               : DKIM_REPLY_BAD;
}
