/* settings: what chatmail-turn has to know of coturn's settings file, which
 * /usr/lib/portico/turn makes. Pure. */
#ifndef TURN_SETTINGS_H
#define TURN_SETTINGS_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/err.h"

#define SETTINGS_ADDRESSES_MAX 2 /* one of each family */

struct settings {
    struct sockaddr_storage addresses[SETTINGS_ADDRESSES_MAX]; /* with the port */
    size_t address_count;
    int port_min, port_max; /* of what is relayed */
};

/* text is changed. An error (WORLD) says what is missing or wrong. */
CM_MUSTUSE int settings_parse(char *text, struct settings *settings_r,
                              struct cm_err *err);

#endif
