/* sources: Debian's own entries among this machine's apt sources.
 *
 * Understands both formats, deb822 (*.sources) and one-line (*.list). An entry counts
 * as Debian's when its suite is CODENAME, CODENAME-updates or CODENAME-security, it has
 * the component main, and its key, if it names one, is Debian's archive key. */
#ifndef LAB_SOURCES_H
#define LAB_SOURCES_H

#include "common/buf.h"
#include "common/err.h"

/* Appends one line "deb [signed-by=KEYRING] URI SUITE main" per entry found in text. */
void sources_from_deb822(const char *text, const char *codename, const char *keyring,
                         struct cm_buf *out);
void sources_from_list(const char *text, const char *codename, const char *keyring,
                       struct cm_buf *out);

/* Reads all sources of the machine. None found is an error that says so. */
CM_MUSTUSE int sources_of_host(const char *codename, const char *keyring,
                               struct cm_buf *out, struct cm_err *err);

#endif
