/* ini_edit: additions to chatmail.ini that leave every byte of the operator's text
 * alone. */
#ifndef OP_INI_EDIT_H
#define OP_INI_EDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"

struct op_new_gateway {
    const char *name;
    const char *ssh; /* NULL: none */
    const char *addresses;
    int64_t number;
    const char *wg_public_key; /* NULL: read over ssh */
    bool agentless;
};

/* The text with a [gateway NAME] section at its end. Caller frees. */
char *op_ini_with_gateway(const char *text, const struct op_new_gateway *gw);

/* The text with that value at [section] key, in place of the one it has, or behind the
 * commented-out line of the key, or at the beginning of the section, or in a section at
 * the end. value NULL: the text without the key's line. -1: the text is no ini. Caller
 * frees. */
CM_MUSTUSE int op_ini_with_value(const char *text, const char *section, const char *key,
                                 const char *value, char **text_r, struct cm_err *err);

/* The text without that section: from its name to the comment that belongs to the next
 * one. Without such a section: the same text. -1: the text is no ini. Caller frees. */
CM_MUSTUSE int op_ini_without_section(const char *text, const char *section,
                                      char **text_r, struct cm_err *err);

/* Does the text have that section, and (unless NULL) that key in it? False too when it
 * is no ini. */
bool op_ini_has(const char *text, const char *section, const char *key);

/* Lowest of 1..CM_GATEWAYS_MAX that neither the conf nor `used` (lines "NUMBER NAME",
 * may be
 * "") has; 0 when all are. A number that served another gateway once is never given
 * again: its inner addresses may still be in somebody's routes. */
int64_t op_free_number(const struct cm_conf *conf, const char *used);

/* From `ip -o addr show scope global`: the addresses of this node that strangers can
 * reach, blank-separated, IPv4 first, at most CM_ADDRESSES_MAX. Caller frees; "" when
 * there is none. */
char *op_public_addresses(const char *ip_output);
/* Not private, shared, loopback, link-local or unique-local. */
bool op_is_public_address(const char *address);

#endif
