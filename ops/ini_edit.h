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
    const char *ssh;
    const char *addresses;
    int64_t number;
};

/* The text with a [gateway NAME] section at its end. Caller frees. */
char *op_ini_with_gateway(const char *text, const struct op_new_gateway *gw);

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
