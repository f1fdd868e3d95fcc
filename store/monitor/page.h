/* page: the operator's status page as HTML, from the ring and the newest text of
 * /metrics. Pure. */
#ifndef MONITOR_PAGE_H
#define MONITOR_PAGE_H

#include <stdint.h>

#include "common/buf.h"
#include "ring.h"

#define PAGE_MAX (6u << 20)

struct page_facts {
    const char *domain;
    const struct ring *ring;
    const char *metrics; /* newest text; NULL: none yet */
    int64_t metrics_s;   /* when, Unix time */
    const char *trouble; /* why the newest question failed; "" */
    int64_t now_s;
};

/* The whole page; its middle alone, as the script fetches it again. */
void page_html(const struct page_facts *facts, struct cm_buf *out);
void page_live(const struct page_facts *facts, struct cm_buf *out);

extern const char page_css[];
extern const char page_js[];

#endif
