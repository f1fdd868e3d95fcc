/* systemd: the two protocols between systemd and a daemon, sd_notify(3) and
 * sd_listen_fds(3), by their public description.
 *
 * Instead of libsystemd, which in Debian 12 brings six more libraries into every
 * process, about a megabyte of each daemon's memory. */
#ifndef CM_SYSTEMD_H
#define CM_SYSTEMD_H

#include <stdint.h>

#include "common/err.h"

#define CM_SYSTEMD_FD_FIRST 3
#define CM_SYSTEMD_FDS_MAX  64

/* Lines "KEY=VALUE", joined by LF, to whoever started us. Nothing when nobody asked to
 * be told, or it is not there to hear: a daemon goes on without. */
void cm_systemd_notify(const char *lines);
void cm_systemd_notifyf(const char *fmt, ...) CM_PRINTF(1, 2);

/* Leaves a descriptor in systemd's hands while this process is restarted
 * (FileDescriptorStoreMax=): the next one finds it among those passed, by that name,
 * which has no colon. Instead of any that was left under the name before. */
void cm_systemd_keep_fd(const char *name, int fd);

struct cm_systemd_fds {
    int count;                       /* descriptors from CM_SYSTEMD_FD_FIRST on */
    char *names[CM_SYSTEMD_FDS_MAX]; /* owned by the caller; "unknown" without one */
};
/* The descriptors passed to this process, from now on close-on-exec. The variables are
 * taken out of the environment. count is 0 when none were passed. */
CM_MUSTUSE int cm_systemd_take_fds(struct cm_systemd_fds *fds_r, struct cm_err *err);

/* How often at least this process has to say WATCHDOG=1; 0: not at all. */
int64_t cm_systemd_watchdog_us(void);

#endif
