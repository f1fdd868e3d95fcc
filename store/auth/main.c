/* chatmail-auth: accounts for Dovecot and Postfix, kept in PostgreSQL.
 *
 * Sockets, all held by systemd:
 *   dict     Dovecot's auth asks here for passwords and users (Dovecot's dict
 *            protocol). An address that does not exist is created by its first password
 *            check, if registrations, rules, the machine and the limits of its network
 *            and gateway allow it (create.h); after that the stored hash is what is
 *            answered. Dovecot compares. There is no way to change a password.
 *   sasl     Postfix's smtpd asks here; relayed to Dovecot's auth-sasl socket, so that
 * a temporary failure reaches the client as 454 and not as "wrong password" (sasl.h).
 *   metrics  what was done since the start.
 *
 * Wrong passwords and floods of new addresses are counted by source; who does nothing
 * else is banned at the gateways for an hour (bans.h). Redis keeps these counts for the
 * next process.
 *
 * It trusts whoever may open the sockets (their modes are set by systemd), also with
 * the client's address, the content of tables account and invite, and chatmail.ini. It
 * never logs a password, an invite token, a key, a hash or a client's address.
 *
 * PostgreSQL away: every question is answered at once as a temporary failure (lookup.h
 * says in which form). Redis away: creations per network and gateway are counted in
 * this process, and a restart forgets whom it counted for a ban. Dovecot away: sasl
 * connections wait two seconds, then close.
 *
 * A broken chatmail.ini at start: every login is put off until SIGHUP finds it mended.
 * SIGHUP reads chatmail.ini again; a broken one leaves the old settings. SIGTERM: no
 * new connections, what is under way is answered, at most 3 s. Known limits: 8192 dict
 * and 4096 sasl connections, 128 new addresses under way. */
#include <stdlib.h>

#include "common/conf.h"
#include "common/dict.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/netlimit.h"
#include "common/pg.h"
#include "common/redis.h"
#include "common/service.h"

#include "account.h"
#include "bans.h"
#include "counts.h"
#include "create.h"
#include "hasher.h"
#include "limits.h"
#include "lookup.h"
#include "sasl.h"

#define DRAIN_LIMIT_MS 3000
/* A connection that asks nothing for so long is not waited for. */
#define DRAIN_IDLE_MS 300

struct auth {
    const char *config_path;
    const char *conninfo;
    const char *sasl_upstream;
    const char *redis_path;
    const char *nocreate_path;
    struct cm_loop *loop;
    struct lookup_env env;
    struct cm_conf conf;
    struct cm_pg *pg;      /* for lookups */
    struct cm_pg *slow_pg; /* for creations and lists */
    struct cm_redis *redis;
    struct cm_netlimit *netlimit;
    struct hasher *hasher;
    struct cm_dict *dict;
    struct sasl *sasl;
};

/* Settings */

static int load_conf(struct cm_service *svc, struct auth *auth, struct cm_err *err)
{
    if (cm_conf_reload(auth->config_path, &auth->conf, err) != 0) {
        return -1;
    }
    auth->env.conf = &auth->conf;
    /* "chatops registrations" reads this line. */
    cm_service_status(svc, "serving %s, registrations %s", auth->conf.domain,
                      cm_registrations_name(auth->conf.store.registrations));
    return 0;
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    return load_conf(svc, ctx, err);
}

/* Start and stop */

static void on_pg_state(bool up, void *ctx)
{
    struct auth *auth = ctx;
    cm_log_state("postgresql", up, cm_pg_last_error(auth->pg),
                 "logins are told to try again");
}

static void on_redis_state(bool up, void *ctx)
{
    struct auth *auth = ctx;
    cm_log_state("redis", up, cm_redis_last_error(auth->redis),
                 "new accounts per network are counted here");
}

static void open_stores(struct auth *auth)
{
    struct cm_pg_options pg = {.conninfo = auth->conninfo,
                               .connections = ACCOUNT_QUERIES,
                               .on_state = on_pg_state,
                               .ctx = auth};
    struct cm_pg_options slow_pg = {.conninfo = auth->conninfo};
    struct cm_redis_options redis = {
        .path = auth->redis_path, .on_state = on_redis_state, .ctx = auth};
    auth->pg = cm_pg_new(auth->loop, &pg);
    auth->slow_pg = cm_pg_new(auth->loop, &slow_pg);
    auth->redis = cm_redis_new(auth->loop, &redis);
    auth->netlimit = cm_netlimit_new(auth->loop, auth->redis, "create");
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct auth *auth = ctx;
    /* Not started is worse than unable: whoever waits on the held socket for more than
     * 5 s is logged by Dovecot with the password. */
    if (load_conf(svc, auth, err) != 0) {
        cm_log_err(CM_LOG_ERROR, "settings_broken", err);
        cm_service_status(svc, "every login is put off: %s", err->text);
    }
    auth->loop = cm_service_loop(svc);
    auth->hasher = hasher_new(auth->loop); /* before there is anything to inherit */
    open_stores(auth);
    auth->env.bans = bans_new(auth->slow_pg, auth->redis, &auth->env.counts);
    struct create_env create = {.pg = auth->slow_pg,
                                .hasher = auth->hasher,
                                .netlimit = auth->netlimit,
                                .conf = &auth->env.conf,
                                .nocreate_path = auth->nocreate_path,
                                .readers = &limits_machine,
                                .bans = auth->env.bans,
                                .counts = &auth->env.counts};
    auth->env.accounts = accounts_new(auth->pg);
    auth->env.slow_pg = auth->slow_pg;
    auth->env.creator = creator_new(&create);
    lookup_env_init(&auth->env, auth->loop);
    auth->dict = cm_dict_new(auth->loop, &lookup_handler, &auth->env);
    auth->sasl = sasl_new(auth->loop, auth->sasl_upstream);
    return 0;
}

static bool drained(void *ctx, int64_t waited_ms)
{
    struct auth *auth = ctx;
    return cm_dict_quiet(auth->dict, waited_ms, DRAIN_IDLE_MS);
}

/* The dict first, so that what still runs finds its peer gone; then, in the order of a
 * creation's steps, those who call back into the next; the pools last, which answer all
 * that is left; Redis after the bans, which are counted until then. */
static void on_stop(void *ctx)
{
    struct auth *auth = ctx;
    if (auth->dict == NULL) {
        return;
    }
    creator_stop(auth->env.creator);
    cm_dict_free(&auth->dict);
    sasl_free(&auth->sasl);
    cm_netlimit_free(&auth->netlimit);
    hasher_free(&auth->hasher);
    cm_pg_free(&auth->slow_pg);
    cm_pg_free(&auth->pg);
    creator_free(&auth->env.creator);
    accounts_free(&auth->env.accounts);
    bans_free(&auth->env.bans);
    cm_redis_free(&auth->redis);
    lookup_env_clear(&auth->env);
    cm_conf_clear(&auth->conf);
}

static void on_metrics(struct cm_buf *out, void *ctx)
{
    struct auth *auth = ctx;
    counts_write(&auth->env.counts, out);
}

/* Listeners */

static void on_dict(int fd, void *ctx)
{
    struct auth *auth = ctx;
    cm_dict_adopt(auth->dict, fd);
}

static bool dict_ready(void *ctx)
{
    struct auth *auth = ctx;
    return !cm_dict_full(auth->dict);
}

static void on_sasl(int fd, void *ctx)
{
    struct auth *auth = ctx;
    sasl_adopt(auth->sasl, fd);
}

static bool sasl_ready(void *ctx)
{
    struct auth *auth = ctx;
    return !sasl_full(auth->sasl);
}

static const struct cm_listener listeners[] = {
    {.name = "dict",
     .fallback_path = "/run/chatmail-auth/auth.sock",
     .accept = on_dict,
     .ready = dict_ready},
    {.name = "sasl", .accept = on_sasl, .ready = sasl_ready},
    {0}};

static const struct cm_service_def service = {
    .program = "chatmail-auth",
    .version = PORTICO_VERSION,
    .about =
        "Answers Dovecot's password and user lookups from PostgreSQL; an address is\n"
        "created by its first login.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = on_metrics};

int main(int argc, char **argv)
{
    struct auth auth = {.config_path = CM_CONF_PATH,
                        .conninfo = CM_PG_CONNINFO("chatmail_auth"),
                        .sasl_upstream = "/run/dovecot/auth-sasl",
                        .redis_path = CM_REDIS_PATH,
                        .nocreate_path = "/etc/chatmail-nocreate"};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &auth.config_path, 0},
        {"db", "CONNINFO", "PostgreSQL", &auth.conninfo, 0},
        {"sasl-upstream", "PATH", "Dovecot's auth client socket", &auth.sasl_upstream,
         CM_OPTION_PATH_MAX},
        {"redis", "PATH", "socket of Redis", &auth.redis_path, CM_OPTION_PATH_MAX},
        {"nocreate", "PATH", "no account is created while this file exists",
         &auth.nocreate_path, 0},
        {0}};
    return cm_service_main(&service, options, &auth, argc, argv);
}
