/* feed: the file in which chatmail-cluster says which gateways serve
 * (store/cluster/serving_file.h). Pure. */
#ifndef FEED_H
#define FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/err.h"

#define FEED_MAX (32 * 1024) /* bytes */

struct feed_gateway {
    char name[33];
    bool meant; /* active or hold: somebody wants it to serve */
    bool well;  /* not down */
    char addresses[CM_ADDRESSES_MAX][46]; /* numeric */
    size_t address_count;
};

struct feed {
    char domain[254]; /* "": none yet */
    struct feed_gateway gateways[CM_GATEWAYS_MAX];
    size_t count;
};

/* An empty text is a feed without domain. REFUSE: not such a file; feed_r untouched. */
CM_MUSTUSE int feed_parse(const char *text, size_t len, struct feed *feed_r,
                          struct cm_err *err);

#endif
