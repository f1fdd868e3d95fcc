/* chatmail-echo: the echo bot of a chatmail relay (relay-spec.md 2.14).
 *
 * echo@DOMAIN is an account like any other, with the real chat core behind it:
 * deltachat-rpc-server runs as a child of this program and is spoken to by JSON-RPC on
 * its stdin and stdout. What somebody writes to it, encrypted, comes back to them.
 *
 * In its directory (/var/lib/chatmail-echo) it keeps the account's password, the core's
 * data, and invite-link.txt, which anybody may read. It makes its own row of table
 * account, by a function that its database role may call and that makes no other; it
 * logs in at this machine's loopback, once a day at least.
 *
 * It trusts the core, which parses what strangers send. The core runs under this
 * program's unit: no network but loopback, no file but its directory.
 *
 * PostgreSQL away at the start: it waits. Dovecot or Postfix away: the core tries again
 * by itself. The core gone: bot.h, core.h. SIGTERM: the core is given three seconds. */
#include <stdlib.h>

#include "common/conf.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "common/service.h"

#include "bot.h"
#include "claim.h"

/* As /new: so much longer than the least that is allowed. */
#define PASSWORD_MORE 3

struct echo {
    const char *config_path;
    const char *conninfo;
    const char *core_path;
    const char *dir;
    struct cm_conf conf;
    struct cm_service *svc;
    struct claim *claim;
    struct bot *bot;
};

static void on_claimed(const char *password, bool fresh, void *ctx)
{
    struct echo *echo = ctx;
    struct bot_options options = {.core = echo->core_path,
                                  .dir = echo->dir,
                                  .domain = echo->conf.domain,
                                  .password = password,
                                  .fresh = fresh};
    echo->bot = bot_new(cm_service_loop(echo->svc), &options);
    cm_service_status(echo->svc, "echo@%s", echo->conf.domain);
}

static int on_start(struct cm_service *svc, void *ctx, struct cm_err *err)
{
    struct echo *echo = ctx;
    if (cm_conf_reload(echo->config_path, &echo->conf, err) != 0) {
        return -1;
    }
    echo->svc = svc;
    struct claim_options options = {.conninfo = echo->conninfo,
                                    .dir = echo->dir,
                                    .domain = echo->conf.domain,
                                    .password_length =
                                        echo->conf.password_min_length + PASSWORD_MORE,
                                    .done = on_claimed,
                                    .ctx = echo};
    echo->claim = claim_new(cm_service_loop(svc), &options, err);
    cm_service_status(svc, "making the account");
    return echo->claim != NULL ? 0 : -1;
}

static void on_stop(void *ctx)
{
    struct echo *echo = ctx;
    bot_free(&echo->bot);
    claim_free(&echo->claim);
    cm_conf_clear(&echo->conf);
}

static void add_metrics(struct cm_buf *out, void *ctx)
{
    const struct echo *echo = ctx;
    struct bot_counts counts = {.echoed = 0};
    if (echo->bot != NULL) {
        counts = bot_counts(echo->bot);
    }
    cm_metric_counter(out, "chatmail_echo_answered_total", "Messages answered.",
                      counts.echoed);
    cm_metric_counter(out, "chatmail_echo_passed_over_total",
                      "Messages that get no answer.", counts.passed_over);
    cm_metric_counter(out, "chatmail_echo_core_restarts_total",
                      "Ends of the chat core that were not asked for.",
                      counts.core_restarts);
    cm_metric_gauge(out, "chatmail_echo_up", "1 while the bot listens.", counts.ready);
}

static const struct cm_service_def service = {
    .program = "chatmail-echo",
    .version = PORTICO_VERSION,
    .about = "Sends back what is written to echo@DOMAIN.\n",
    .start = on_start,
    .stop = on_stop,
    .metrics = add_metrics};

int main(int argc, char **argv)
{
    struct echo echo = {.config_path = CM_CONF_PATH,
                        .conninfo = CM_PG_CONNINFO("chatmail_echo"),
                        .core_path = "/usr/lib/portico/deltachat-rpc-server",
                        .dir = "/var/lib/chatmail-echo"};
    const struct cm_option options[] = {
        {"config", "FILE", "settings", &echo.config_path, 0},
        {"db", "CONNINFO", "PostgreSQL", &echo.conninfo, 0},
        {"core", "FILE", "deltachat-rpc-server", &echo.core_path, 0},
        {"dir", "DIR", "password, chat data, invite link", &echo.dir, 0},
        {0}};
    return cm_service_main(&service, options, &echo, argc, argv);
}
