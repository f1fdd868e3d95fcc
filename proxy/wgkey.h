/* wgkey: a node's WireGuard private key in its file (0600, base64). */
#ifndef PX_WGKEY_H
#define PX_WGKEY_H

#include "common/err.h"

#define PX_WG_KEY_TEXT 45 /* with NUL */

/* Makes the key unless the file holds one already, and tells its public half. The
 * private half is never on a command line. */
CM_MUSTUSE int px_wgkey_make(const char *path, char public_key[PX_WG_KEY_TEXT],
                             struct cm_err *err);
/* 1 read, 0 no such file, -1. Wipe `private_key` after use. */
CM_MUSTUSE int px_wgkey_load(const char *path, char private_key[PX_WG_KEY_TEXT],
                             struct cm_err *err);

#endif
