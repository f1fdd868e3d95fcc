/* notify: the notification service that the store's chatmail-push posts to, for the
 * length of a scenario: integration/notifier in node client's network, its CA trusted
 * by the store. */
#ifndef SCENARIOS_NOTIFY_H
#define SCENARIOS_NOTIFY_H

#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#include "stage.h"

struct notify {
    char dir[64], control[96], ca[96];
    pid_t pid;
};

/* Zeroed before. Restarts chatmail-push. Stop it also after a failure. */
CM_MUSTUSE int notify_start(struct stage *stage, struct notify *notify,
                            struct cm_err *err);
void notify_stop(struct notify *notify);
/* The store trusts that CA no longer. Nothing when it does not. */
CM_MUSTUSE int notify_distrust(struct stage *stage, struct cm_err *err);

/* A line of its control socket (notifier/control.h). */
CM_MUSTUSE int notify_tell(const struct notify *notify, const char *line,
                           struct cm_err *err);
/* Forgets what was posted; from now on it answers in that mood ("200", "silent"). */
CM_MUSTUSE int notify_fresh(const struct notify *notify, const char *mood,
                            struct cm_err *err);
/* Posts of one token. at_ms: of the last one, the service's clock, which is this
 * machine's. */
CM_MUSTUSE int notify_posts(const struct notify *notify, const char *token,
                            int *count_r, int64_t *at_ms_r, struct cm_err *err);
/* Waits until the token was posted so often. */
CM_MUSTUSE int notify_comes(const struct notify *notify, const char *token, int count,
                            int64_t limit_ms, int64_t *at_ms_r, struct cm_err *err);

#endif
