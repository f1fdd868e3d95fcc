/* versions: the app versions file, served as one line (relay-spec.md 2.4.5).
 *
 * Read again when the file on disk is another one. At most VERSIONS_MAX bytes as a
 * line, which must fit into one of Dovecot's protocol. */
#ifndef METADATA_VERSIONS_H
#define METADATA_VERSIONS_H

#include "common/err.h"

#define VERSIONS_MAX 60000

struct versions;

/* path is copied; nothing is read yet. */
struct versions *versions_new(const char *path);
void versions_free(struct versions **versions);

/* 1: *line_r is compact JSON without a line feed, valid until the next call. 0: no such
 * file. -1: it cannot be read, is no JSON object or is too long. */
CM_MUSTUSE int versions_line(struct versions *versions, const char **line_r,
                             struct cm_err *err);

#endif
