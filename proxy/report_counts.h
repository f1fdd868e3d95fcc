/* report_counts: the members of a report that count traffic (docs/bus.md, since 1.1).
 * Private to proxy/: report.c. */
#ifndef PX_REPORT_COUNTS_H
#define PX_REPORT_COUNTS_H

#include <jansson.h>

#include "fields.h"
#include "report.h"

void px_counts_dump(const struct px_counts *counts, json_t *root);
/* What is absent is unknown. */
CM_MUSTUSE int px_counts_read(const struct px_object *o, struct px_counts *counts,
                              struct cm_err *err);

#endif
