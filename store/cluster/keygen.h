/* keygen: `chatmail-cluster keygen`, the store's two keys: WireGuard, and the Ed25519
 * key that signs desired states. Makes what is missing, leaves what is there, and
 * prints the public halves as one line of JSON: {"cluster":"...","wg":"..."}. */
#ifndef KEYGEN_H
#define KEYGEN_H

#include "common/err.h"
#include "common/sign.h"

#define KEYGEN_DIR "/etc/chatmail"

/* dir holds wg.key and cluster.key, both 0600. */
CM_MUSTUSE int keygen_print(const char *dir, struct cm_err *err);

/* secret_key must be wiped by the caller. */
CM_MUSTUSE int keygen_load_cluster(const char *dir, char secret_key[CM_SIGN_KEY_TEXT],
                                   char public_key[CM_SIGN_KEY_TEXT],
                                   struct cm_err *err);

#endif
