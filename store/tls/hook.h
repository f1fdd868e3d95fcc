/* hook: what uacme calls for each challenge: METHOD TYPE IDENT TOKEN AUTH. http-01 is
 * accepted (RFC 8555 8.3): AUTH is put into the file TOKEN, which nginx serves on port
 * 80, and taken away afterwards. */
#ifndef TLS_HOOK_H
#define TLS_HOOK_H

#include <stdbool.h>

#define HOOK_ENV "CHATMAIL_ACME_CHALLENGES" /* the directory */

/* Called so by uacme, and not by a person? */
bool hook_called(int argc, char **argv);
/* Exit status: 0 accepted, 1 declined, or it could not be written. dir is there. */
int hook_run(const char *dir, char **argv);

#endif
