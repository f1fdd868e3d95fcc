/* zone: text of the lab's zone files and name server configuration. Pure. */
#ifndef LAB_ZONE_H
#define LAB_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

/* "_chat.example", "lab.example", "." or an arpa name: letters, digits, '-', '_', dots.
 */
bool zone_name_ok(const char *name);

/* $ORIGIN, $TTL, SOA and NS in front of records (NULL: none). When the records bring an
 * SOA of their own, they get $ORIGIN and $TTL only. */
void zone_text(const char *name, uint32_t serial, const char *records,
               struct cm_buf *out);

struct zone_builtin {
    const char *name;
    void (*records)(const char *name, struct cm_buf *out); /* NULL: empty at first */
};
extern const struct zone_builtin zone_builtins[]; /* ends with a NULL name */

/* Where nsd keeps zone NAME, below its zones directory: "root.zone" for ".". */
void zone_file_name(const char *name, struct cm_buf *out);

/* One "zone:" entry of nsd.conf. */
void zone_nsd_entry(const char *name, struct cm_buf *out);
const char *zone_nsd_server(void);
const char *zone_unbound_conf(void);

#endif
