/* armour: is this text an encrypted OpenPGP message in ASCII armour (RFC 9580, 6)?
 *
 * Streaming, constant memory. Stricter than the format where cleartext could hide: the
 * BEGIN line is the very first, nothing but line ends follows the END line, no armour
 * headers ("Version: " alone is read over in incoming mail, for Proton Mail sends it),
 * canonical base64 with its padding, and behind it nothing but a CRC of four
 * characters, whose value is not looked at. relay-spec.md 2.9.5. */
#ifndef FILTER_ARMOUR_H
#define FILTER_ARMOUR_H

#include <stdbool.h>
#include <stddef.h>

#include "packets.h"

#define ARMOUR_VERSION_MAX 100 /* bytes of a Version line */

enum armour_state {
    ARMOUR_BEGIN,
    ARMOUR_VERSION_OR_DATA, /* "Version: " may stand here */
    ARMOUR_VERSION,
    ARMOUR_DATA,
    ARMOUR_PAD,    /* one '=' of two was seen */
    ARMOUR_PADDED, /* only a CRC or the END line may follow */
    ARMOUR_CRC,
    ARMOUR_CRC_DONE,
    ARMOUR_END,
    ARMOUR_BAD
};

struct armour {
    enum armour_state state;
    bool version_allowed;
    size_t at;     /* characters of the state's text seen so far */
    unsigned quad; /* characters of a group of four seen so far, */
    unsigned bits; /* and what they say */
    struct packets packets;
};

void armour_init(struct armour *a, bool version_allowed);
/* False when it is none, whatever follows. */
bool armour_feed(struct armour *a, const char *data, size_t len);
bool armour_end(const struct armour *a);

#endif
