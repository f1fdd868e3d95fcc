/* oracle: libopendkim, as a second opinion in tests. Loaded at run time: its functions
 * have the names of ours. */
#ifndef FILTER_TESTING_ORACLE_H
#define FILTER_TESTING_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

struct or_lib;

struct or_lib *or_open(const char *path);
void or_close(struct or_lib **o);

/* One header field at a time, "Name: value" without line end. */
struct or_field {
    const char *p;
    size_t len;
};

/* Whether it finds a valid signature of `domain`. record: of every selector of
 * example.org; other domains have none. *why: its word for the last signature that
 * failed, or for the step that did; static. */
bool or_verify(struct or_lib *o, const struct or_field *field, unsigned count,
               const char *body, size_t body_len, const char *domain,
               const char *record, const char **why);

/* The value for a DKIM-Signature field (rsa-sha256, h= of its own choice); caller
 * frees. length: l=, -1 for none. */
char *or_sign(struct or_lib *o, const struct or_field *field, unsigned count,
              const char *body, size_t body_len, const char *pem, const char *selector,
              const char *domain, bool relaxed_header, bool relaxed_body, long length);

#endif
