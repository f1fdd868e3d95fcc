/* text: what both renderers write alike. Private to proxy/. */
#ifndef PX_TEXT_H
#define PX_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "state.h"

#define PX_TEXT_MAX (1024 * 1024)

bool px_is_v6(const char *address);
/* How many of the gateway's addresses are of that family; *first_r (may be NULL) is the
 * first of them or NULL. */
size_t px_family_count(const struct px_gateway *gw, bool v6, const char **first_r);
/* "{ 25, 80 }" */
void px_text_ports(struct cm_buf *out, const struct px_state *state);
/* "{ 12025, 12080 }": the same, of the store's listeners for PROXY v2. */
void px_text_header_ports(struct cm_buf *out, const struct px_state *state);
/* "{ 3478, 49160-49359 }" */
void px_text_turn(struct cm_buf *out, const struct px_state *state);
/* "{ 198.51.100.11 }", of that family. */
void px_text_addresses(struct cm_buf *out, const struct px_gateway *gw, bool v6);
/* The name alone would do. It is 16 bytes long to copy and compare, for each packet, so
 * what came by Ethernet, as nearly all that comes from outside, is told by its type. */
#define PX_TEXT_FROM_WG0 "meta iiftype != ether iifname \"wg0\""
/* "ip daddr { ... } tcp dport { ... }": to one of our public addresses. */
void px_text_to_tcp(struct cm_buf *out, const struct px_state *state,
                    const struct px_gateway *gw, bool v6);
void px_text_to_turn(struct cm_buf *out, const struct px_state *state,
                     const struct px_gateway *gw, bool v6);
/* "        iifname != "wg0" ip daddr { ... } tcp dport { ... }": from outside to one of
 * our public addresses. */
void px_text_match_tcp(struct cm_buf *out, const struct px_state *state,
                       const struct px_gateway *gw, bool v6);
void px_text_match_turn(struct cm_buf *out, const struct px_state *state,
                        const struct px_gateway *gw, bool v6);
/* " counter name PORT map { 25 : "COUNTER_25" }"; port: "tcp dport". */
void px_text_count(struct cm_buf *out, const struct px_state *state, const char *port,
                   const char *counter);
/* The head of an nft transaction that replaces our table: nft 1.0.6 has no "destroy",
 * and "delete" fails on a table that is not there, so it is made first. */
void px_text_table_open(struct cm_buf *out);
/* Asserts that the limit was not passed and hands the text over; caller frees. */
char *px_text_done(struct cm_buf *out);

#endif
