/* page: /metrics, one page for the whole store.
 *
 * Every program of ours is asked over its own socket for its figures, at the same time,
 * for at most PAGE_WAIT_MS; who does not answer is chatmail_up 0 and spoils nothing. To
 * that come the figures that chatmail-expire leaves in files, Postfix's queue, and this
 * program's own. */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include "conn.h"

#define PAGE_WAIT_MS 2000
/* NAMEs of chatmail-metrics@NAME.socket that are missed when they are not there; echo
 * only when it is configured. Ended by NULL. Who else has a socket is asked too. */
extern const char *const page_programs[];

#define PAGE_PROGRAMS_MAX 64           /* one for each gateway's calls among them */
#define PAGE_PROGRAM_MAX  (256u << 10) /* bytes that one may say */
#define PAGE_FILES_MAX    16

/* The route's functions; x->site is a struct site. */
void page_end(struct exchange *x);
void page_gone(struct exchange *x);

#endif
