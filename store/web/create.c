#include "create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/invite.h"
#include "common/log.h"
#include "common/mem.h"

#include "credentials.h"
#include "invites.h"
#include "site.h"

#define JSON "application/json"

/* Waits for PostgreSQL and the limits. It outlives its exchange when the client goes
 * away. */
struct creation {
    struct exchange *x; /* NULL: gone */
    struct site *site;
    char invite[CM_INVITE_LEN + 1]; /* "": none */
};

/* Refusals */

static void refuse(struct exchange *x, int status, int64_t retry_after_s, char *reason)
{
    json_t *root = json_pack("{s:s}", "reason", reason);
    cm_assert(root != NULL);
    char *text = json_dumps(root, 0);
    cm_assert(text != NULL);
    exchange_answer(x, &(struct answer){.status = status,
                                        .type = JSON,
                                        .text = text,
                                        .retry_after_s = retry_after_s});
    json_decref(root);
    free(text);
    free(reason);
}

static void refuse_closed(struct exchange *x, struct site *site)
{
    site->rejections[SITE_CLOSED]++;
    refuse(x, 403, 0,
           cm_asprintf("%s does not take new accounts at the moment.",
                       site->conf->domain));
}

static void refuse_uninvited(struct exchange *x, struct site *site)
{
    site->rejections[SITE_NO_INVITE]++;
    refuse(x, 403, 0,
           cm_asprintf("%s takes new accounts by invitation only. Use the invite link "
                       "or QR code that you were given.",
                       site->conf->domain));
}

/* A token that was never given out is not told apart: guessing learns nothing. */
static void refuse_dead(struct exchange *x, struct site *site)
{
    site->rejections[SITE_NO_INVITE]++;
    refuse(x, 403, 0,
           cm_asprintf("This invite for %s is not valid, or not any more. Ask whoever "
                       "gave it to you for a new one.",
                       site->conf->domain));
}

static void refuse_many(struct exchange *x, struct site *site,
                        enum cm_netlimit_verdict verdict, int64_t retry_after_s)
{
    bool net = verdict == CM_NETLIMIT_NET;
    long long minutes = (long long)(retry_after_s + 59) / 60;
    site->rejections[net ? SITE_NET : SITE_GATEWAY]++;
    refuse(x, 429, retry_after_s,
           cm_asprintf("Too many new accounts %s within the last hour. Try again in "
                       "%lld minute%s.",
                       net ? "from your network" : "on this server", minutes,
                       minutes == 1 ? "" : "s"));
}

/* Answers */

static void give(struct exchange *x, struct site *site, const char *invite)
{
    struct credentials c;
    struct cm_err err;
    if (credentials_make(site->conf, invite[0] != '\0' ? invite : NULL, &c, &err) !=
        0) {
        cm_log_err(CM_LOG_ERROR, "no_credentials", &err);
        refuse(x, 503, 0, cm_strdup("Something went wrong here. Try again later."));
        return;
    }
    char *text = credentials_json(site->conf, &c);
    exchange_answer(x, &(struct answer){.status = 200, .type = JSON, .text = text});
    cm_wipe_str(&text);
    cm_wipe(&c, sizeof(c));
}

static void creation_free(struct creation *c)
{
    cm_wipe(c, sizeof(*c));
    free(c);
}

static void on_counted(enum cm_netlimit_verdict verdict, int64_t retry_after_s,
                       void *ctx)
{
    struct creation *c = ctx;
    if (c->x != NULL) {
        c->x->state = NULL;
        if (verdict == CM_NETLIMIT_OK) {
            give(c->x, c->site, c->invite);
        } else {
            refuse_many(c->x, c->site, verdict, retry_after_s);
        }
    }
    creation_free(c);
}

static void count(struct creation *c)
{
    struct cm_netlimit_max max = {.per_net = c->site->conf->store.creations_per_net,
                                  .per_gateway =
                                      c->site->conf->store.creations_per_gateway};
    cm_netlimit_count(c->site->limit, c->x->client, c->x->local, &max, on_counted, c);
}

/* Not known is no reason to refuse: the first login decides. */
static void on_looked_up(enum invites_verdict verdict, void *ctx)
{
    struct creation *c = ctx;
    if (c->x != NULL && verdict != INVITES_DEAD) {
        count(c);
        return;
    }
    if (c->x != NULL) {
        c->x->state = NULL;
        refuse_dead(c->x, c->site);
    }
    creation_free(c);
}

static void begin(struct exchange *x, struct site *site, const char *invite)
{
    struct creation *c = cm_calloc(1, sizeof(*c));
    c->x = x;
    c->site = site;
    snprintf(c->invite, sizeof(c->invite), "%s", invite);
    x->state = c;
    if (invite[0] != '\0') {
        invites_ask(site->invites, invite, on_looked_up, c);
    } else {
        count(c);
    }
}

void create_gone(struct exchange *x)
{
    struct creation *c = x->state;
    if (c != NULL) {
        c->x = NULL;
    }
}

/* A browser that follows the link on a page: the app opens and posts. */
static void redirect(struct exchange *x, const struct site *site, const char *invite)
{
    char *to = cm_asprintf("dcaccount:https://%s/new%s%s", site->conf->mail_domain,
                           invite[0] != '\0' ? "?invite=" : "", invite);
    exchange_answer(x, &(struct answer){.status = 301, .text = "", .location = to});
    free(to);
}

void create_invite(const char *query, char *token_r, size_t size)
{
    static const char key[] = "invite=";
    char hash[CM_INVITE_HASH];
    token_r[0] = '\0';
    while (*query != '\0') {
        size_t n = strcspn(query, "&"), skip = sizeof(key) - 1;
        if (n > skip && n - skip < size && strncmp(query, key, skip) == 0) {
            memcpy(token_r, query + skip, n - skip);
            token_r[n - skip] = '\0';
            if (!cm_invite_hash(token_r, hash)) {
                token_r[0] = '\0';
            }
        }
        query += n + (query[n] == '&');
    }
}

void create_end(struct exchange *x)
{
    struct site *site = x->site;
    enum cm_registrations open = site->conf->store.registrations;
    char invite[CM_INVITE_LEN + 1] = "";
    create_invite(x->query, invite, sizeof(invite));
    if (x->method != METHOD_POST && site->conf->tls_mode != CM_TLS_SELF) {
        redirect(x, site, invite);
    } else if (x->method == METHOD_HEAD) {
        exchange_text(x, 405, "Method Not Allowed");
    } else if (open == CM_REGISTRATIONS_CLOSED ||
               access(site->nocreate_path, F_OK) == 0) {
        refuse_closed(x, site);
    } else if (open == CM_REGISTRATIONS_INVITE && invite[0] == '\0') {
        refuse_uninvited(x, site);
    } else {
        if (open != CM_REGISTRATIONS_INVITE) {
            invite[0] = '\0'; /* nobody asks for one, so none goes into the password */
        }
        begin(x, site, invite);
    }
}
