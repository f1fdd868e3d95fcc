/* enrol: invites of gateways, as chatops makes them and chatmail-web takes them.
 *
 * A token is CM_ENROL_LEN letters of CM_INVITE_ALPHABET: 118 bits. The new machine
 * shows it in the header CM_ENROL_HEADER; only its SHA-256 is ever stored. */
#ifndef CM_ENROL_H
#define CM_ENROL_H

#include <stdbool.h>

#include "common/err.h"

#define CM_ENROL_LEN    24
#define CM_ENROL_HASH   65 /* SHA-256 in small hex digits, and NUL */
#define CM_ENROL_HEADER "X-Portico-Token"
#define CM_ENROL_PRINT  25 /* "0123 4567 89ab cdef 0123", and NUL */

/* -1 (WORLD) when the system has no randomness. */
CM_MUSTUSE int cm_enrol_make(char token_r[CM_ENROL_LEN + 1], struct cm_err *err);
/* The hash of exactly one token; false when text is none. */
bool cm_enrol_hash(const char *text, char hash_r[CM_ENROL_HASH]);
/* What people compare: the first 80 bits of the SHA-256 of a WireGuard key's text. */
void cm_enrol_print(const char *wg_public_key, char print_r[CM_ENROL_PRINT]);

#endif
