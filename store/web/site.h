/* site: what the routes of chatmail-web work on. */
#ifndef WEB_SITE_H
#define WEB_SITE_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/loop.h"
#include "common/netlimit.h"

struct cm_pg;
struct conns;
struct invites;
struct queue;

enum site_rejection {
    SITE_CLOSED,
    SITE_NO_INVITE,
    SITE_NET,
    SITE_GATEWAY,
    SITE_REJECTIONS
};

struct site {
    struct cm_loop *loop;
    const struct cm_conf *conf; /* its content changes at SIGHUP */
    struct cm_netlimit *limit;
    struct invites *invites;
    const char *conninfo;
    struct cm_pg *pg;          /* invites of gateways; NULL before the first question */
    const char *nocreate_path; /* while this file exists nothing is given out */
    const char *metrics_dir;   /* sockets of the programs: NAME.sock */
    const char *textfile_dir;  /* *.prom, from chatmail-expire */
    struct queue *queue;
    const struct conns *conns; /* behind nginx; for metrics */
    size_t deliveries;         /* SMTP sessions open */
    uint64_t rejections[SITE_REJECTIONS];
    uint64_t delivered_bytes; /* passed on to Postfix */
};

#endif
