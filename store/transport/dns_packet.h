/* dns_packet: a question as bytes and an answer from bytes (ldns behind this one file).
 * Pure. */
#ifndef TRANSPORT_DNS_PACKET_H
#define TRANSPORT_DNS_PACKET_H

#include "dns.h"

/* Returns the packet's length; 0 when that is no name to ask for. */
size_t dns_packet_question(const char *name, enum dns_type type, uint16_t id,
                           unsigned char *out, size_t size);

struct dns_found {
    enum dns_status status;
    uint32_t ttl_s;
    size_t count;
    struct dns_record records[DNS_RECORDS_MAX];
    char reason[64];
};

/* 1: out is the answer to that question; 0: it is no answer to it; 2: it was cut, ask
 * over TCP. */
int dns_packet_answer(const unsigned char *data, size_t len, const char *name,
                      enum dns_type type, uint16_t id, struct dns_found *out);

#endif
