/* dovecot: a private Dovecot from unpacked Debian packages, with a static password and
 * its own directory, for tests of what we add to it. Needs root.
 *
 * The packages are laid over /usr in a mount namespace of the calling
 * process, so nothing of the machine is touched and several may run at a time. */
#ifndef SWEEP_DOVECOT_H
#define SWEEP_DOVECOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "probe/wire.h"

#define DOVECOT_PASSWORD "sweep-password"

struct dovecot {
    char dir[64]; /* below /tmp; removed by dovecot_stop */
    int imap_port, lmtp_port;
    pid_t pid;
};

struct dovecot_want {
    const char *root;        /* what testing/unpack filled */
    const char *plugin;      /* path of our plugin, or NULL for stock Dovecot */
    const char *plugin_name; /* its name in mail_plugins */
    const char *extra;       /* more lines of dovecot.conf, or NULL */
    unsigned hibernate_s;    /* 0: never */
};

CM_MUSTUSE int dovecot_start(struct dovecot *dovecot_r, const struct dovecot_want *want,
                             struct cm_err *err);
/* A stock one for a test. 0, or -1 with the reason on stderr and its directory kept. */
CM_MUSTUSE int dovecot_start_stock(struct dovecot *dovecot_r, const char *root,
                                   unsigned hibernate_s);
/* Stops it and removes its directory unless told to keep it. Accepts one that did not
 * start. */
void dovecot_stop(struct dovecot *dovecot, bool keep);

/* How many lines of its log hold the text. */
size_t dovecot_log_count(const struct dovecot *dovecot, const char *text);

/* One mail by LMTP; returns when it is accepted. */
CM_MUSTUSE int dovecot_deliver(const struct dovecot *dovecot, const char *to,
                               struct cm_err *err);

#endif
