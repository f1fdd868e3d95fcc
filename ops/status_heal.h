/* status_heal: what `chatops status` says of how gateways and their clients fare when
 * something is gone: woken phones, idle clients that nobody tells. Pure. */
#ifndef OP_STATUS_HEAL_H
#define OP_STATUS_HEAL_H

#include <jansson.h>
#include <stddef.h>

#include "common/conf.h"

/* "edge2 fell silent 40 s ago: the phones of 12 accounts were woken"; 0 when it never
 * did, or longer ago than a day. g: of "ctl status". Returns the length. */
size_t op_heal_woken(const json_t *g, char *out, size_t size);
/* Why waking went wrong, of the last day; "" when it did not. */
const char *op_heal_woken_wrong(const json_t *g);

/* Names of gateways whose idle clients are not told that the tunnel or the store is
 * gone, joined by ", ": on the kernel plane, where a machine does not let programs
 * carry what is open (docs/data-planes.md). cluster: "ctl status". Returns the length.
 */
size_t op_heal_untold(const json_t *cluster, const struct cm_conf *conf, char *out,
                      size_t size);
/* An array of the names, for --json. */
json_t *op_heal_untold_json(const json_t *cluster, const struct cm_conf *conf);

#endif
