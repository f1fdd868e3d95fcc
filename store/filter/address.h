/* address: mail addresses as they stand in header fields and SMTP commands
 * (RFC 5322, 3.4; RFC 5321, 4.1.2; relay-spec.md 2.9.2 and 6.7).
 *
 * All results are lower-case (ASCII), at most ADDRESS_MAX bytes. */
#ifndef FILTER_ADDRESS_H
#define FILTER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_MAX   254 /* RFC 5321, 4.5.3.1.3, without the brackets */
#define ADDRESS_DEPTH 8   /* nested comments */
#define ADDRESS_SIZE  (ADDRESS_MAX + 1)

/* The first address of a list: "Foo <a@b>", "a@b (comment)", "group: a@b, c@d;",
 * "<@x,@y:a@b>". A quoted local part keeps its quotes unless it does not need them. A
 * local part may be without a domain only between angle brackets. False: there is none,
 * or it is longer than ADDRESS_MAX. text: unfolded. */
bool address_first(const char *text, char out[ADDRESS_SIZE]);

/* What stands behind "MAIL FROM:" or "RCPT TO:", or such a command as a whole;
 * parameters behind the brackets are not looked at. "<>" gives "". */
bool address_command(const char *text, char out[ADDRESS_SIZE]);

/* The part behind the '@'; NULL unless there is exactly one '@' outside of quotes, and
 * something on both sides of it. */
const char *address_domain(const char *addr);

/* A domain in square brackets: an IPv4 address, or "ipv6:" and an IPv6 address. The
 * address alone goes to ip (may be NULL). */
bool address_is_literal(const char *domain, char ip[46]);

/* The account a recipient is delivered to: lower-case, quotes that are not needed
 * removed, local part cut at its first '+'. False when there is no local part and
 * domain. */
bool address_account(const char *rcpt, char out[ADDRESS_SIZE]);

#endif
