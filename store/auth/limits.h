/* limits: is the machine in a state to take on another account (relay-spec.md 2.2.5)?
 * Existing accounts are never held to them. */
#ifndef AUTH_LIMITS_H
#define AUTH_LIMITS_H

#include <stdint.h>

#include "common/err.h"

struct limits {
    double max_load_1m; /* negative refuses every creation */
    int64_t min_available_memory_mib;
    int64_t min_free_disk_mib;
    const char *mailboxes_dir; /* borrowed */
};

/* How to look at the machine; 0, or -1 when a value cannot be read. Tests bring their
 * own. */
struct limits_readers {
    int (*load_1m)(double *load_r, struct cm_err *err);
    int (*available_mib)(int64_t *mib_r, struct cm_err *err);
    int (*free_disk_mib)(const char *path, int64_t *mib_r, struct cm_err *err);
};
extern const struct limits_readers limits_machine;

/* 0, or -1 (REFUSE) with "registration rejected: ...", a text that counters match. A
 * value that cannot be read is logged ("... ignoring") and skipped. */
CM_MUSTUSE int limits_check(const struct limits *limits,
                            const struct limits_readers *readers, struct cm_err *err);

#endif
