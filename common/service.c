#include "common/service.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/systemd.h"

#define LISTENERS_MAX   16
#define BACKLOG         4096
#define ACCEPT_BURST    64 /* then other events get their turn */
#define ACCEPT_PAUSE_MS 100
#define DRAIN_TURN_MS   20
#define START_GRACE_MS  1000
#define REST_MS         500
#define FREE_KEPT       (256u << 10) /* of the heap, for what comes next */

struct door {
    const struct cm_listener *def;
    void *ctx; /* of accept() and ready() */
    int fd;
    bool bound_here; /* the path is ours to remove */
    struct cm_io *io;
    struct cm_timer *resume;
};

struct cm_service {
    const struct cm_service_def *def;
    void *ctx;
    struct cm_loop *loop;
    struct door doors[LISTENERS_MAX];
    size_t door_count;
    struct cm_timer *watchdog;
    int64_t watchdog_ms; /* half of what systemd allows */
    int64_t started;     /* monotonic, as the next */
    bool settled;
    struct cm_timer *drain_limit, *drain_turn;
    int64_t drain_since;
    bool draining;
};

struct cm_loop *cm_service_loop(struct cm_service *svc)
{
    return svc->loop;
}

void cm_service_done(struct cm_service *svc)
{
    cm_loop_stop(svc->loop);
}

bool cm_service_settled(struct cm_service *svc, bool is_up)
{
    svc->settled =
        svc->settled || is_up || cm_now_mono_ms() - svc->started >= START_GRACE_MS;
    return svc->settled;
}

void cm_service_status(struct cm_service *svc, const char *fmt, ...)
{
    (void)svc;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cm_systemd_notifyf("STATUS=%s", text);
}

/* Listeners */

static void door_pause(struct door *door)
{
    cm_io_want(door->io, 0);
    cm_timer_set(door->resume, ACCEPT_PAUSE_MS);
}

static void door_resume(void *ctx)
{
    struct door *door = ctx;
    cm_io_want(door->io, CM_IO_READ);
}

static bool door_full(const struct door *door)
{
    return door->def->ready != NULL && !door->def->ready(door->ctx);
}

static void on_connection(int fd, unsigned events, void *ctx)
{
    (void)events;
    struct door *door = ctx;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        if (door_full(door)) {
            door_pause(door);
            return;
        }
        int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn >= 0) {
            door->def->accept(conn, door->ctx);
            if (door->io == NULL) {
                return; /* accept() ended the service */
            }
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) {
            continue;
        }
        if (errno != EAGAIN) {
            /* EMFILE and its like stay readable: without a pause this would spin. */
            cm_log(CM_LOG_WARNING, "accept_failed", "listener", door->def->name,
                   "reason", strerror(errno), NULL);
            door_pause(door);
        }
        return;
    }
}

static int bind_path(const char *path, struct cm_err *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sun.sun_path)) {
        return cm_err_set(err, CM_ERR_WORLD, "socket path too long: %s", path);
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return cm_err_set(err, CM_ERR_RETRY, "socket: %s", strerror(errno));
    }
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(path);
    }
    mode_t before = umask(0177);
    int rc = bind(fd, (struct sockaddr *)&sun, sizeof(sun));
    int why = errno;
    umask(before);
    if (rc == 0 && (rc = listen(fd, BACKLOG)) != 0) {
        why = errno;
    }
    if (rc != 0) {
        close(fd);
        return cm_err_set(err, CM_ERR_WORLD, "cannot listen on %s: %s", path,
                          strerror(why));
    }
    return fd;
}

static int passed_take(struct cm_systemd_fds *passed, const char *name)
{
    for (int i = 0; i < passed->count; i++) {
        if (passed->names[i] != NULL && strcmp(passed->names[i], name) == 0) {
            free(passed->names[i]);
            passed->names[i] = NULL;
            int fd = CM_SYSTEMD_FD_FIRST + i;
            int flags = fcntl(fd, F_GETFL);
            if (flags >= 0) {
                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
            }
            return fd;
        }
    }
    return -1;
}

static void passed_clear(struct cm_systemd_fds *passed)
{
    for (int i = 0; i < passed->count; i++) {
        if (passed->names[i] != NULL) {
            cm_log(CM_LOG_WARNING, "socket_unknown", "name", passed->names[i], NULL);
            close(CM_SYSTEMD_FD_FIRST + i);
            free(passed->names[i]);
        }
    }
}

/* Small enough that the socket takes it at once: nobody is waited for. */
#define METRICS_MAX (128u << 10)

static void on_metrics(int fd, void *ctx)
{
    struct cm_service *svc = ctx;
    struct cm_buf out;
    cm_buf_init(&out, METRICS_MAX);
    cm_metric_process(&out, svc->def->program);
    if (svc->def->metrics != NULL) {
        svc->def->metrics(&out, svc->ctx);
    }
    if (out.overflow || send(fd, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len) {
        cm_log(CM_LOG_WARNING, "metrics_not_sent", "reason",
               out.overflow ? "too long" : strerror(errno), NULL);
    }
    cm_buf_clear(&out);
    close(fd);
}

static const struct cm_listener metrics_listener = {.name = "metrics",
                                                    .accept = on_metrics};

static void door_add(struct cm_service *svc, const struct cm_listener *def, int fd,
                     bool bound_here)
{
    cm_assert(svc->door_count < LISTENERS_MAX);
    struct door *door = &svc->doors[svc->door_count++];
    door->def = def;
    door->ctx = def == &metrics_listener ? svc : svc->ctx;
    door->fd = fd;
    door->bound_here = bound_here;
    door->io = NULL;
    door->resume = NULL;
    if (def->hand_over != NULL) {
        def->hand_over(fd, svc->ctx);
        return;
    }
    /* Watched only once start() has succeeded; until then the backlog holds them. */
    door->io = cm_io_new(svc->loop, fd, 0, on_connection, door);
    door->resume = cm_timer_new(svc->loop, door_resume, door);
}

/* A listener may have several sockets of its name; without any, the path is bound. */
static int open_doors(struct cm_service *svc, struct cm_err *err)
{
    struct cm_systemd_fds passed;
    if (cm_systemd_take_fds(&passed, err) != 0) {
        return -1;
    }
    int rc = 0;
    for (const struct cm_listener *def = svc->def->listeners;
         rc == 0 && def != NULL && def->name != NULL; def++) {
        size_t before = svc->door_count;
        int fd;
        while ((fd = passed_take(&passed, def->name)) >= 0) {
            door_add(svc, def, fd, false);
        }
        if (svc->door_count > before || def->fallback_path == NULL) {
            continue;
        }
        fd = bind_path(def->fallback_path, err);
        if (fd < 0) {
            rc = -1;
        } else {
            door_add(svc, def, fd, true);
        }
    }
    int fd;
    while (rc == 0 && (fd = passed_take(&passed, metrics_listener.name)) >= 0) {
        door_add(svc, &metrics_listener, fd, false);
    }
    passed_clear(&passed);
    return rc;
}

static void doors_watch(struct cm_service *svc)
{
    for (size_t i = 0; i < svc->door_count; i++) {
        if (svc->doors[i].io != NULL) {
            cm_io_want(svc->doors[i].io, CM_IO_READ);
        }
    }
}

/* No accept() any more. The descriptors stay open until exit, so that a path bound here
 * keeps its backlog like one held by systemd. */
static void doors_unwatch(struct cm_service *svc)
{
    for (size_t i = 0; i < svc->door_count; i++) {
        cm_io_free(&svc->doors[i].io);
        cm_timer_free(&svc->doors[i].resume);
    }
}

static void doors_close(struct cm_service *svc)
{
    doors_unwatch(svc);
    for (size_t i = 0; i < svc->door_count; i++) {
        if (svc->doors[i].bound_here) {
            unlink(svc->doors[i].def->fallback_path);
        }
        close(svc->doors[i].fd);
    }
    svc->door_count = 0;
}

/* Signals and the watchdog */

static void on_watchdog(void *ctx)
{
    struct cm_service *svc = ctx;
    cm_systemd_notify("WATCHDOG=1");
    cm_timer_set(svc->watchdog, svc->watchdog_ms);
}

static void on_drain_limit(void *ctx)
{
    struct cm_service *svc = ctx;
    cm_log(CM_LOG_WARNING, "drain_cut_short", "program", svc->def->program, NULL);
    cm_service_done(svc);
}

static void on_drain_turn(void *ctx)
{
    struct cm_service *svc = ctx;
    if (svc->def->drained(svc->ctx, cm_now_mono_ms() - svc->drain_since)) {
        cm_service_done(svc);
        return;
    }
    cm_timer_set(svc->drain_turn, DRAIN_TURN_MS);
}

static void on_stop(int signo, void *ctx)
{
    (void)signo;
    struct cm_service *svc = ctx;
    if (svc->draining) {
        cm_service_done(svc); /* asked twice: in a hurry */
        return;
    }
    svc->draining = true;
    cm_systemd_notify("STOPPING=1");
    cm_log(CM_LOG_INFO, "stopping", "program", svc->def->program, NULL);
    doors_unwatch(svc);
    if (svc->def->drain == NULL && svc->def->drained == NULL) {
        cm_service_done(svc);
        return;
    }
    cm_timer_set(svc->drain_limit, svc->def->drain_limit_ms);
    svc->drain_since = cm_now_mono_ms();
    if (svc->def->drain != NULL) {
        svc->def->drain(svc->ctx);
    }
    if (svc->def->drained != NULL) {
        cm_timer_set(svc->drain_turn, 0);
    }
}

static void on_reload(int signo, void *ctx)
{
    (void)signo;
    struct cm_service *svc = ctx;
    if (svc->draining) {
        return;
    }
    cm_systemd_notifyf("RELOADING=1\nMONOTONIC_USEC=%lld",
                       (long long)cm_now_mono_ms() * 1000);
    struct cm_err err = {0};
    if (svc->def->reload != NULL && svc->def->reload(svc, svc->ctx, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "reload_failed", &err);
    } else {
        cm_log(CM_LOG_INFO, "reloaded", "program", svc->def->program, NULL);
    }
    cm_systemd_notify("READY=1");
}

static void watchdog_start(struct cm_service *svc)
{
    int64_t usec = cm_systemd_watchdog_us();
    if (usec >= 2000) {
        svc->watchdog_ms = usec / 2000;
        svc->watchdog = cm_timer_new(svc->loop, on_watchdog, svc);
        on_watchdog(svc);
    }
}

/* systemd's soft limit is 1024, kept low for select(2); nothing here uses that. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What a rush has used and freed goes back to the system, which malloc does only with
 * the end of its heap. */
static void on_rest(void *ctx)
{
    (void)ctx;
    if (mallinfo2().fordblks > FREE_KEPT) {
        malloc_trim(FREE_KEPT);
    }
}

static int service_start(struct cm_service *svc, struct cm_err *err)
{
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    cm_loop_on_signal(svc->loop, SIGTERM, on_stop, svc);
    cm_loop_on_signal(svc->loop, SIGINT, on_stop, svc);
    cm_loop_on_signal(svc->loop, SIGHUP, on_reload, svc);
    if (open_doors(svc, err) != 0) {
        return -1;
    }
    if (svc->def->start != NULL && svc->def->start(svc, svc->ctx, err) != 0) {
        return -1;
    }
    doors_watch(svc);
    cm_loop_on_rest(svc->loop, REST_MS, on_rest, NULL);
    watchdog_start(svc);
    cm_systemd_notify("READY=1");
    return 0;
}

int cm_service_run(const struct cm_service_def *def, void *ctx)
{
    struct cm_service svc = {.def = def, .ctx = ctx, .loop = cm_loop_new()};
    svc.started = cm_now_mono_ms();
    svc.drain_limit = cm_timer_new(svc.loop, on_drain_limit, &svc);
    svc.drain_turn = cm_timer_new(svc.loop, on_drain_turn, &svc);
    struct cm_err err = {0};
    int status = 0;
    if (service_start(&svc, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "start_failed", &err);
        status = 1;
    } else {
        cm_loop_run(svc.loop);
    }
    cm_timer_stop(svc.drain_turn);
    if (svc.def->stop != NULL) {
        svc.def->stop(ctx);
    }
    doors_close(&svc);
    cm_timer_free(&svc.watchdog);
    cm_timer_free(&svc.drain_limit);
    cm_timer_free(&svc.drain_turn);
    cm_loop_free(&svc.loop);
    return status;
}

int cm_service_options(const struct cm_service_def *def,
                       const struct cm_option *options, int argc, char **argv)
{
    int status =
        cm_options_parse(def->program, def->version, def->about, options, argc, argv);
    if (status < 0) {
        cm_log_init(def->program, CM_LOG_INFO);
    }
    return status;
}

int cm_service_main(const struct cm_service_def *def, const struct cm_option *options,
                    void *ctx, int argc, char **argv)
{
    int status = cm_service_options(def, options, argc, argv);
    return status >= 0 ? status : cm_service_run(def, ctx);
}
