/* chatmail-metadata: IMAP METADATA of a chatmail relay, for Dovecot.
 *
 * One socket, held by systemd:
 *   dict  Dovecot's imap and lmtp ask here (mail_attribute_dict, Dovecot's dict
 *         protocol).
 * It keeps the device tokens that clients register for push, in table push_token, and
 * answers the server's own entries: irohrelay, turn, maxsmtprecipients, appversions. A
 * set of messagenew rings at chatmail-push, and is answered when that knows or is left
 * a file (bell.h).
 *
 * It trusts whoever may open the socket (its mode is set by systemd) to name the user
 * truly, chatmail.ini, the app versions file, and another TURN server's control socket.
 * It knows the secret of our own TURN server and makes credentials from it.
 * Tokens are opaque bytes, never logged.
 *
 * PostgreSQL away: token lookups and changes fail at once (IMAP: NO), the rest works.
 * TURN server or app versions away: that entry does not exist. Push away: it finds a
 * file in its directory when it is back.
 *
 * SIGHUP reads chatmail.ini again; a broken one leaves the old settings. SIGTERM: no
 * new connections, what is under way is answered, at most 5 s. Known limits: 8192
 * connections; per address 32 tokens and 30000 bytes of them. */
#include <stdlib.h>

#include "common/conf.h"
#include "common/dict.h"
#include "common/doorbell.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/mem.h"
#include "common/pg.h"
#include "common/service.h"

#include "credential.h"
#include "meta.h"

#define DRAIN_LIMIT_MS 5000
/* A connection that asks nothing for so long is not waited for. */
#define DRAIN_IDLE_MS 200

struct metadata {
    const char *config_path;
    const char *conninfo;
    const char *versions_path;
    const char *secret_path;
    char *turn_secret;
    const char *bell_path;
    const char *bell_dir;
    struct cm_conf conf;
    struct meta_env env;
    struct cm_service *svc;
    struct cm_dict *dict;
};

/* Settings */

/* Without a good secret there is no entry turn; all else is served. */
static void load_secret(struct metadata *md)
{
    struct cm_err err;
    cm_wipe_str(&md->turn_secret);
    if (md->conf.store.turn && md->secret_path[0] != '\0' &&
        credential_secret(md->secret_path, &md->turn_secret, &err) < 0) {
        cm_log_err(CM_LOG_ERROR, "turn_secret_failed", &err);
    }
    md->env.turn_secret = md->turn_secret;
}

static int on_reload(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    (void)svc;
    struct metadata *md = ctx;
    if (cm_conf_reload(md->config_path, &md->conf, err) != 0) {
        return -1;
    }
    load_secret(md);
    return 0;
}

/* Start and stop */

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct metadata *md = ctx;
    struct cm_loop *loop = cm_service_loop(svc);
    if (cm_conf_reload(md->config_path, &md->conf, err) != 0) {
        return -1;
    }
    md->svc = svc;
    md->env = (struct meta_env){.conf = &md->conf,
                                .tokens = token_store_new(loop, md->conninfo),
                                .turns = turns_new(loop),
                                .versions = versions_new(md->versions_path),
                                .bell = bell_new(loop, md->bell_path, md->bell_dir)};
    load_secret(md);
    md->dict = cm_dict_new(loop, &meta_handler, &md->env);
    cm_service_status(svc, "serving %s", md->conf.domain);
    return 0;
}

static bool drained(void *ctx, int64_t waited_ms)
{
    struct metadata *md = ctx;
    return cm_dict_quiet(md->dict, waited_ms, DRAIN_IDLE_MS);
}

/* The dict first, so that what still runs finds its peer gone. */
static void on_stop(void *ctx)
{
    struct metadata *md = ctx;
    cm_dict_free(&md->dict);
    token_store_free(&md->env.tokens);
    bell_free(&md->env.bell);
    turns_free(&md->env.turns);
    versions_free(&md->env.versions);
    cm_wipe_str(&md->turn_secret);
    cm_conf_clear(&md->conf);
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct metadata *md = ctx;
    const struct meta_counts *n = &md->env.counts;
    cm_metric_counter(out, "chatmail_metadata_lookups_total", "Entries asked for.",
                      n->lookups);
    cm_metric_counter(out, "chatmail_metadata_commits_total", "Changes made.",
                      n->commits);
    cm_metric_counter(out, "chatmail_metadata_refused_total",
                      "Changes refused: no such entry, or too much.", n->refused);
    cm_metric_counter(out, "chatmail_metadata_failed_total",
                      "Lookups and changes that failed by trouble of the store.",
                      n->failed);
    cm_metric_counter(out, "chatmail_metadata_messages_total",
                      "New messages that push was told of.", n->messages);
    cm_metric_gauge(out, "chatmail_metadata_postgres_up", "1 while PostgreSQL answers.",
                    token_store_up(md->env.tokens));
}

/* Listener */

static void on_dict(int fd, void *ctx)
{
    struct metadata *md = ctx;
    cm_dict_adopt(md->dict, fd);
}

static bool dict_ready(void *ctx)
{
    struct metadata *md = ctx;
    return cm_service_settled(md->svc, token_store_up(md->env.tokens)) &&
           !cm_dict_full(md->dict);
}

static const struct cm_listener listeners[] = {
    {.name = "dict",
     .fallback_path = "/run/chatmail-metadata/metadata.sock",
     .accept = on_dict,
     .ready = dict_ready},
    {0}};

static const struct cm_service_def service = {
    .program = "chatmail-metadata",
    .version = PORTICO_VERSION,
    .about =
        "Answers Dovecot's METADATA: device tokens, and what the server tells its\n"
        "clients about itself.\n",
    .listeners = listeners,
    .start = on_start,
    .reload = on_reload,
    .drained = drained,
    .drain_limit_ms = DRAIN_LIMIT_MS,
    .stop = on_stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    struct metadata md = {.config_path = CM_CONF_PATH,
                          .conninfo = CM_PG_CONNINFO("chatmail_metadata"),
                          .versions_path = "/usr/share/portico/app-versions.json",
                          .secret_path = "",
                          .bell_path = CM_DOORBELL_SOCKET,
                          .bell_dir = CM_DOORBELL_DIR};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &md.config_path, 0},
        {"db", "CONNINFO", "PostgreSQL", &md.conninfo, 0},
        {"app-versions", "FILE", "served as appversions", &md.versions_path, 0},
        {"turn-secret", "FILE", "secret shared with the TURN server", &md.secret_path,
         0},
        {"bell", "PATH", "doorbell of chatmail-push", &md.bell_path,
         CM_OPTION_PATH_MAX},
        {"bell-dir", "DIR", "where push finds what it was not told", &md.bell_dir, 0},
        {0}};
    return cm_service_main(&service, options, &md, argc, argv);
}
