/* host: what this machine itself must have before a lab can run on it. */
#ifndef LAB_HOST_H
#define LAB_HOST_H

#include "common/err.h"

#include "state.h"

/* Names the packages that are missing; raises fs.inotify.max_user_instances, the only
 * setting of this machine that the lab changes. */
CM_MUSTUSE int host_ready(struct lab *lab, struct cm_err *err);

#endif
