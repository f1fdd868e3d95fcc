/* tclink: programs (eBPF) on a network interface, where its packets come and go.
 *
 * Two ways to the same place. Kernels from 6.6 on have tcx, which calls a program
 * straight away; a link's programs have no names there, so it is used only for links
 * that are ours alone. Elsewhere it is a filter of traffic control (clsact), which
 * leaves what others have on that link as it is. Both stay when this process ends. */
#ifndef PX_TCLINK_H
#define PX_TCLINK_H

#include <stdbool.h>

#include "common/err.h"

enum px_tclink_where { PX_TCLINK_INGRESS, PX_TCLINK_EGRESS };

/* From now on that program, and none that was attached by this function before;
 * nothing is done when it is there already. prog: its descriptor. ours: no one else
 * attaches programs to that link. */
CM_MUSTUSE int px_tclink_attach(int link, enum px_tclink_where where, int prog,
                                bool ours, const char *name, struct cm_err *err);
/* What px_tclink_attach has put on a link that is ours; also when there is none. */
void px_tclink_detach(int link, enum px_tclink_where where);

#endif
