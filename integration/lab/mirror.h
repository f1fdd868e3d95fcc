/* mirror: the folder that every node's apt knows and nothing else: DIR/mirror, mounted
 * as /srv/mirror. It holds the Debian packages that a deployment needs, with all they
 * depend on, downloaded once by this machine's apt; and our own packages as last built.
 */
#ifndef LAB_MIRROR_H
#define LAB_MIRROR_H

#include <stdbool.h>

#include "common/err.h"

#include "state.h"

/* Downloads what is missing. Asked again only when the list, the image, or the
 * dependencies of our own packages change. Needs image_ready(). */
CM_MUSTUSE int mirror_ready(struct lab *lab, struct cm_err *err);
/* Puts our own packages in and writes the index anew. */
CM_MUSTUSE int mirror_publish(struct lab *lab, struct cm_err *err);

/* Is there a package file of ours with this name? */
bool mirror_has_own(struct lab *lab, const char *package);
/* One hash over all package files of ours, of nothing when there are none: as they were
 * last built, and as the nodes of this lab got them. */
CM_MUSTUSE int mirror_built_hash(struct lab *lab, char hex[65], struct cm_err *err);
CM_MUSTUSE int mirror_published_hash(struct lab *lab, char hex[65], struct cm_err *err);

#endif
