/* fields: reads the members of a JSON object strictly (jansson behind this file). A
 * wrong type, range, length or letter is kind REFUSE with the member's full name.
 * Private to proxy/: state.c and report.c. */
#ifndef PX_FIELDS_H
#define PX_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/err.h"

/* An object and what it is called in messages: "" or "gateways[2].". */
struct px_object {
    json_t *json;
    const char *where;
};

#define PX_NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define PX_HOST_LETTERS                                                                \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]"
#define PX_BASE64_LETTERS                                                              \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/="

/* Parses an object; duplicate keys, trailing text and NUL bytes are errors. */
CM_MUSTUSE int px_fields_open(const char *text, size_t len, json_t **root_r,
                              struct cm_err *err);

/* Text of min..cap-1 bytes, all of them in `letters` (NULL: printable ASCII). */
CM_MUSTUSE int px_field_text(const struct px_object *o, const char *key,
                             const char *letters, size_t min, char *out, size_t cap,
                             struct cm_err *err);
CM_MUSTUSE int px_field_int(const struct px_object *o, const char *key, int64_t min,
                            int64_t max, int64_t *out, struct cm_err *err);
CM_MUSTUSE int px_field_bool(const struct px_object *o, const char *key, bool *out,
                             struct cm_err *err);
CM_MUSTUSE int px_field_array(const struct px_object *o, const char *key, size_t min,
                              size_t max, json_t **out, struct cm_err *err);
/* A WireGuard or Ed25519 key: 44 characters of base64. out: 45 bytes. */
CM_MUSTUSE int px_field_key(const struct px_object *o, const char *key, char *out,
                            struct cm_err *err);

#endif
