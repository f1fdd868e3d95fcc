/* audit: what every page of ours must be, asked of the browser that shows it. */
#ifndef BROWSER_AUDIT_H
#define BROWSER_AUDIT_H

#include "cdp.h"

/* The complaints, an array of texts; the caller owns it. */
json_t *audit_list(struct cdp *cdp);
/* Fails the test, naming `where` and each complaint: scrolls sideways; text below a
 * contrast of 4.5 (3 when large); no language, title, or not one h1; a picture without
 * text; a thing to tap lower than 24 pixels. */
void audit_page(struct cdp *cdp, const char *where);
/* Each link is reached by the Tab key, in order, and shows that it is. */
void audit_keyboard(struct cdp *cdp, const char *where);

#endif
