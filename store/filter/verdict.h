/* verdict: what a message is, from its header fields and its body, streaming.
 *
 * Used by both milters, the bench and the fuzz target. Pure; a struct of fixed size
 * holds all there is, whatever the size of the message.
 *
 * Encrypted (relay-spec.md 2.9.5): multipart/encrypted with exactly two parts,
 * "Version: 1" and armour. Closed by its last delimiter, with nothing behind it; before
 * the first part nothing but the notice that many programs write ("This is an
 * OpenPGP/MIME encrypted message ..."): what nobody needs cannot hold cleartext. */
#ifndef FILTER_VERDICT_H
#define FILTER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "armour.h"
#include "content_type.h"
#include "decode.h"
#include "header.h"
#include "mime.h"
#include "snippet.h"

/* Header bytes of a securejoin request, which is all cleartext. */
#define VERDICT_CLEAR_HEADER_MAX (16u << 10)

enum verdict_side { VERDICT_OUTGOING, VERDICT_INCOMING };

enum verdict_kind {
    VERDICT_ENCRYPTED,
    VERDICT_SECUREJOIN,
    VERDICT_SETUP,  /* outgoing: passes from an address to itself only */
    VERDICT_REPORT, /* incoming: of a mailer-daemon */
    VERDICT_CLEAR
};

struct verdict {
    enum verdict_side side;
    struct fields fields;
    size_t header_bytes;
    struct ctype ctype; /* name "" when there is none, or none that can be read */
    char from[ADDRESS_SIZE];
    const char *from_problem; /* NULL: from is good */
    enum { VERDICT_TRACK_NONE, VERDICT_TRACK_PGP, VERDICT_TRACK_JOIN } track;
    const char *reason; /* why it is not what `track` would be */
    struct mime mime;
    struct decode decode;
    struct snippet snippet; /* preamble, or a part that must be short */
    struct armour armour;
};

void verdict_init(struct verdict *v, enum verdict_side side);
void verdict_header(struct verdict *v, const char *name, size_t name_len,
                    const char *value, size_t value_len);
void verdict_headers_end(struct verdict *v);
/* False: the rest of the body changes nothing and need not come. */
bool verdict_body(struct verdict *v, const char *data, size_t len);
void verdict_end(struct verdict *v);

enum verdict_kind verdict_kind(const struct verdict *v);
/* A static text for the log when the kind is not VERDICT_ENCRYPTED. */
const char *verdict_reason(const struct verdict *v);

#endif
