/* service: what every daemon of ours has, written once.
 *
 * A daemon is a table of listeners and hooks. Sockets are held by systemd and found by
 * their FileDescriptorName (sd_listen_fds_with_names(3)), so that a restart or a crash
 * is never seen as absence; when started by hand a listener binds its `fallback_path`.
 * The skeleton sends READY=1 when start() has succeeded, WATCHDOG=1 at half the
 * interval from the loop itself, RELOADING/READY around reload() on SIGHUP, STOPPING=1
 * and drain() on SIGTERM or SIGINT. */
#ifndef CM_SERVICE_H
#define CM_SERVICE_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/options.h"

struct cm_service;

struct cm_listener {
    const char *name;          /* FileDescriptorName= of the systemd socket */
    const char *fallback_path; /* unix stream socket bound when not run by systemd */
    /* Owns fd (non-blocking, close-on-exec). */
    void (*accept)(int fd, void *ctx);
    /* false: full; the listener rests 100 ms and asks again, the rest waits in the
     * backlog. NULL means never full. */
    bool (*ready)(void *ctx);
    /* Instead of accept, for a library that accepts by itself: called before start()
     * with the listening descriptor, which stays open, and the service's, until after
     * stop(). */
    void (*hand_over)(int fd, void *ctx);
};

struct cm_service_def {
    const char *program;                 /* "chatmail-auth" */
    const char *version, *about;         /* of cm_service_options(); see options.h */
    const struct cm_listener *listeners; /* ended by name == NULL; may be NULL */
    int (*start)(struct cm_service *svc, void *ctx, struct cm_err *err);
    int (*reload)(struct cm_service *svc, void *ctx,
                  struct cm_err *err); /* may be NULL */
    /* Called once on SIGTERM, when no new connections come any more: stop what begins
     * by itself. May be NULL. */
    void (*drain)(void *ctx);
    /* Is nothing under way that is worth waiting for? Asked after drain(), first at the
     * next turn of the loop, then every 20 ms; waited_ms counts from the SIGTERM. true
     * ends the loop, and so does cm_service_done(), and drain_limit_ms. NULL without a
     * drain() too means: end at once. */
    bool (*drained)(void *ctx, int64_t waited_ms);
    int64_t drain_limit_ms;
    /* The loop has ended and still exists: free what hangs on it. Also called after a
     * start() that failed, so it accepts what start() did not get to. May be NULL. */
    void (*stop)(void *ctx);
    /* Adds the program's own counters (metrics.h) to those of the process. Asked over
     * the socket that systemd passes as "metrics": each connection is answered with
     * the whole text and closed. May be NULL. */
    void (*metrics)(struct cm_buf *out, void *ctx);
};

/* Runs until stopped. Returns the exit status for main(). A start() that fails is
 * logged with its text, status 1. */
int cm_service_run(const struct cm_service_def *def, void *ctx);
/* Reads the command line by the table and opens the log. -1 to go on, else the exit
 * status for main(). */
int cm_service_options(const struct cm_service_def *def,
                       const struct cm_option *options, int argc, char **argv);
/* Both, one after the other: all of a main(), when nothing comes between. */
int cm_service_main(const struct cm_service_def *def, const struct cm_option *options,
                    void *ctx, int argc, char **argv);

struct cm_loop *cm_service_loop(struct cm_service *svc);
void cm_service_done(struct cm_service *svc);
/* For ready() of a listener, so that what waited for a restart need not fail because of
 * it: true since is_up (all that the daemon stands on is connected) was true once, or
 * since a second after the start. */
bool cm_service_settled(struct cm_service *svc, bool is_up);
/* STATUS= line seen in "systemctl status". */
void cm_service_status(struct cm_service *svc, const char *fmt, ...) CM_PRINTF(2, 3);

#endif
