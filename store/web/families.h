/* families: one page of Prometheus text made from the texts of many programs.
 *
 * Several programs emit the same family (chatmail_process_*); on a page its HELP and
 * TYPE may stand only once, with all samples below them. A text is taken as a whole or
 * not at all: it is read strictly (exposition format 0.0.4, counters and gauges and
 * what else TYPE may say), so that one program's mistake cannot spoil the page. Pure.
 */
#ifndef WEB_FAMILIES_H
#define WEB_FAMILIES_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define FAMILIES_MAX      1024       /* on the page */
#define FAMILIES_PAGE_MAX (4u << 20) /* bytes */
#define FAMILIES_LINE_MAX 8192

struct families;

struct families *families_new(void);
void families_free(struct families **families);

/* Adds a program's text. -1 (REFUSE, "line N: what is wrong"): nothing of it is on the
 * page. A series that stands there already is left out: the first one counts. */
CM_MUSTUSE int families_add(struct families *families, const char *text, size_t len,
                            struct cm_err *err);

/* The page, families in the order in which they came. */
void families_write(const struct families *families, struct cm_buf *out);

#endif
