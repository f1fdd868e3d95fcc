/* secrets: no password that was tried may stand in any log of the store. */
#ifndef SCENARIOS_SECRETS_H
#define SCENARIOS_SECRETS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "stage.h"

/* Searches the journal since then (wall clock) and all of /var/log for the accounts'
 * passwords, in clear and as AUTH PLAIN carries them. */
CM_MUSTUSE int secrets_unlogged(struct stage *stage, int64_t since_ms,
                                const struct scene_account *const *accounts, size_t n,
                                struct cm_err *err);

#endif
