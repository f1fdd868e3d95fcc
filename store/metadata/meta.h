/* meta: from a dict request of Dovecot's METADATA to its answer (relay-spec.md 2.4).
 *
 * Device tokens come from PostgreSQL; while that is away their lookups and changes are
 * answered F, and nothing else is touched by it. Listings are always empty, as
 * upstream's are: a client asks for entries by name. A transaction is applied as a
 * whole at its commit, and rollback leaves no trace. Keys and values are given by
 * users; a value is never logged. */
#ifndef METADATA_META_H
#define METADATA_META_H

#include <stdint.h>

#include "common/conf.h"
#include "common/dict.h"

#include "bell.h"
#include "token.h"
#include "turn.h"
#include "versions.h"

struct meta_counts {
    uint64_t lookups;
    uint64_t commits;  /* done */
    uint64_t refused;  /* commits that asked for what is not there */
    uint64_t failed;   /* lookups and commits, by trouble of ours */
    uint64_t messages; /* push was told of, or left a file */
};

struct meta_env {
    const struct cm_conf *conf; /* may change between requests (reload) */
    struct meta_counts counts;
    struct token_store *tokens;
    struct turns *turns;
    struct versions *versions;
    struct bell *bell;
};

/* The context of these is a struct meta_env that outlives the dict. */
extern const struct cm_dict_handler meta_handler;

#endif
