/* conf_setting: the settings table as conf*.c share it. Private to common/. */
#ifndef CM_CONF_SETTING_H
#define CM_CONF_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/conf.h"

struct cm_setting;

/* One kind of value. parse() is given the text without blanks at its ends and stores
 * into *field, which it owns from then on; what was there is freed. Its error says what
 * is wrong and what is allowed, nothing else. */
struct cm_value_type {
    int (*parse)(const struct cm_setting *setting, const char *text, void *field,
                 struct cm_err *err);
    const char *allowed; /* for people; a range is added when max > min */
    bool is_string;      /* the field is a char * of the struct */
    bool multiline;
};

struct cm_setting {
    const char *section; /* "params", "store", "gateway" */
    const char *key;
    const struct cm_value_type *type;
    size_t offset; /* in struct cm_conf; of "gateway" in struct cm_conf_gateway */
    const char *fallback; /* as it would stand in the file; NULL: unset */
    int64_t min, max;
    const char *help; /* one line */
    /* How it stands in a generated file; the S-era and upstream's internal keys do not.
     */
    enum { CM_INI_HIDDEN, CM_INI_COMMENT, CM_INI_LIVE } in_generated_ini;
};

/* In the order of the file; ended by key == NULL. */
extern const struct cm_setting cm_settings[];

extern const struct cm_value_type cm_type_text; /* "" when unset */
extern const struct cm_value_type
    cm_type_text_null; /* NULL when unset, "" when empty */
extern const struct cm_value_type
    cm_type_prose; /* NULL when unset or empty; several lines */
extern const struct cm_value_type cm_type_domain;
extern const struct cm_value_type cm_type_host;
extern const struct cm_value_type cm_type_host_null;
extern const struct cm_value_type cm_type_path;
extern const struct cm_value_type cm_type_two_paths;
extern const struct cm_value_type cm_type_addresses;
extern const struct cm_value_type cm_type_ssh;
extern const struct cm_value_type cm_type_int;
extern const struct cm_value_type cm_type_days; /* whole number kept as text */
extern const struct cm_value_type cm_type_size; /* size kept as text */
extern const struct cm_value_type
    cm_type_bytes; /* kept as a number; decimal: 1 TB is 10^12 */
extern const struct cm_value_type cm_type_load;
extern const struct cm_value_type
    cm_type_true; /* upstream's bool: only "true" is true */
extern const struct cm_value_type cm_type_yesno;
extern const struct cm_value_type cm_type_url; /* http:// or https:// with a host */
extern const struct cm_value_type cm_type_registrations;
extern const struct cm_value_type cm_type_mode;
extern const struct cm_value_type cm_type_egress;
extern const struct cm_value_type cm_type_transport;
extern const struct cm_value_type cm_type_plane;
extern const struct cm_value_type cm_type_key; /* public WireGuard key; "" when unset */

/* "whole number, 1 to 64" */
void cm_setting_allowed(const struct cm_setting *setting, struct cm_buf *out);

#endif
