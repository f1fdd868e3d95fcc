/* hash: SHA512-CRYPT of a password. */
#ifndef AUTH_HASH_H
#define AUTH_HASH_H

#include "common/err.h"

#define HASH_SIZE 128 /* "{SHA512-CRYPT}$6$", 16, "$", 86, NUL */

/* "{SHA512-CRYPT}$6$<16 characters>$...". -1 if the system has no randomness or
 * crypt(3) refuses. Takes milliseconds: not for a loop. Safe in threads. */
CM_MUSTUSE int hash_password(const char *password, char hash_r[HASH_SIZE]);

#endif
