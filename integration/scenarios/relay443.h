/* relay443: port 443 between relay2 and everybody else, and whether the home line's
 * address was seen at relay2. An nft table of our own in that node. */
#ifndef SCENARIOS_RELAY443_H
#define SCENARIOS_RELAY443_H

#include "common/err.h"

#include "stage.h"

enum relay443 {
    RELAY443_OPEN,
    RELAY443_SILENT, /* dropped, in and out: as behind a filter that says nothing */
    RELAY443_REFUSED /* answered with RST, in and out */
};

/* From now on; what was counted before is forgotten. */
CM_MUSTUSE int relay443_set(struct stage *stage, enum relay443 state,
                            struct cm_err *err);
/* Takes the table away, and restarts both chatmail-transport: what they learned while
 * it was closed would last half an hour. */
CM_MUSTUSE int relay443_back(struct stage *stage, struct cm_err *err);
/* 0 when nothing came to ports 25 and 443 from the home line since relay443_set(). */
CM_MUSTUSE int relay443_home_unseen(struct stage *stage, struct cm_err *err);

#endif
