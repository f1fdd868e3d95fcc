/* Invite tokens: made here, known to the store as hashes only. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/invite.h"
#include "common/mem.h"
#include "registrations.h"
#include "say.h"
#include "store_sql.h"

#define SQL_MAX      (256 * 1024)
#define DCLOGIN_REST 24 /* letters of a password made here, at least */

static int wish_one(const char *name, const char *text, int64_t max, int64_t fallback,
                    int64_t *out, struct cm_err *err)
{
    if (text == NULL) {
        *out = fallback;
        return 0;
    }
    return cm_value_int(text, 1, max, out, err) == 0 ? 0
                                                     : cm_err_prefix(err, "%s", name);
}

int op_invite_wish(const char *uses, const char *days, const char *count,
                   struct op_invite_wish *wish_r, struct cm_err *err)
{
    struct op_invite_wish wish;

    if (wish_one("--uses", uses, OP_INVITE_USES_MAX, 1, &wish.uses, err) != 0 ||
        wish_one("--days", days, OP_INVITE_DAYS_MAX, 7, &wish.days, err) != 0 ||
        wish_one("--count", count, OP_INVITE_COUNT_MAX, 1, &wish.count, err) != 0) {
        return -1;
    }
    *wish_r = wish;
    return 0;
}

/* What has been over for a month is forgotten on the way. */
char *op_invite_sql(const char (*hashes)[65], const struct op_invite_wish *wish)
{
    struct cm_buf b;

    cm_buf_init(&b, SQL_MAX);
    cm_buf_str(&b, "delete from invite where expires < now() - interval '30 days';\n"
                   "insert into invite (token_sha256, uses, expires) values");
    for (int64_t i = 0; i < wish->count; i++) {
        cm_buf_fmt(&b,
                   "%s\n(decode('%s', 'hex'), %" PRId64 ", now() + interval '%" PRId64
                   " days')",
                   i == 0 ? "" : ",", hashes[i], wish->uses, wish->days);
    }
    cm_buf_str(&b, "\nreturning id || ' ' || " OP_SQL_TIME("expires") ";\n");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

char *op_revoke_sql(const char *word, struct cm_err *err)
{
    char hash[CM_INVITE_HASH];
    int64_t id;

    if (cm_invite_hash(word, hash)) {
        return cm_asprintf(
            "delete from invite where token_sha256 = decode('%s', 'hex') returning id;",
            hash);
    }
    if (cm_value_int(word, 1, INT64_MAX, &id, err) == 0) {
        return cm_asprintf("delete from invite where id = %" PRId64 " returning id;",
                           id);
    }
    (void)cm_err_set(
        err, CM_ERR_REFUSE,
        "\"%s\" is neither an invite token (%d letters and digits) nor the "
        "number of one, as \"chatops registrations\" shows it",
        word, CM_INVITE_LEN);
    return NULL;
}

char *op_invite_url(const struct cm_conf *conf, const char *token)
{
    return cm_asprintf("https://%s/new?invite=%s", conf->mail_domain, token);
}

/* n letters by chance, all of them plain in a URL. */
static int letters(char *out, size_t n, struct cm_err *err)
{
    char some[CM_INVITE_LEN + 1];

    for (size_t i = 0; i < n; i++) {
        if (i % CM_INVITE_LEN == 0 && cm_invite_make(some, err) != 0) {
            return -1;
        }
        out[i] = some[i % CM_INVITE_LEN];
    }
    out[n] = '\0';
    cm_wipe(some, sizeof(some));
    return 0;
}

char *op_invite_dclogin(const struct cm_conf *conf, const char *token,
                        struct cm_err *err)
{
    size_t name_len = (size_t)conf->username_max_length,
           rest_len = (size_t)conf->password_min_length;
    char *uri = NULL, *name = cm_calloc(1, name_len + 1), *rest;

    rest_len = rest_len > DCLOGIN_REST ? rest_len : DCLOGIN_REST;
    rest = cm_calloc(1, rest_len + 1);
    if (letters(name, name_len, err) == 0 && letters(rest, rest_len, err) == 0) {
        const char *ip = conf->mail_domain;
        uri = conf->is_ip ? cm_asprintf("dclogin:%s@%s?p=%s.%s&v=1&ih=%s&sh=%s&ic=3",
                                        name, conf->domain, token, rest, ip, ip)
                          : cm_asprintf("dclogin:%s@%s?p=%s.%s&v=1&ic=3", name,
                                        conf->domain, token, rest);
    }
    cm_wipe_str(&rest);
    free(name);
    return uri;
}

/* ---- make ---- */

struct batch {
    struct op_invite_wish wish;
    char (*tokens)[CM_INVITE_LEN + 1];
    char (*hashes)[CM_INVITE_HASH];
    json_t *told; /* with --json: the invites */
};

static int make_tokens(struct batch *b, struct cm_err *err)
{
    size_t n = (size_t)b->wish.count;

    b->tokens = cm_calloc(n, sizeof(*b->tokens));
    b->hashes = cm_calloc(n, sizeof(*b->hashes));
    for (size_t i = 0; i < n; i++) {
        if (cm_invite_make(b->tokens[i], err) != 0) {
            return -1;
        }
        cm_assert(cm_invite_hash(b->tokens[i], b->hashes[i]));
    }
    return 0;
}

static void batch_clear(struct batch *b)
{
    if (b->tokens != NULL) {
        cm_wipe(b->tokens, (size_t)b->wish.count * sizeof(*b->tokens));
    }
    free(b->tokens);
    free(b->hashes);
    json_decref(b->told);
}

/* url is NULL with a self-signed certificate: the app cannot ask then. */
static void tell_json(json_t *list, const char *token, const char *id,
                      const char *expires, int64_t uses, const char *url,
                      const char *qr)
{
    json_t *o =
        json_pack("{s:I, s:s, s:I, s:s}", "id", (json_int_t)strtoll(id, NULL, 10),
                  "token", token, "uses", (json_int_t)uses, "expires", expires);

    if (url != NULL) {
        json_object_set_new(o, "url", json_string(url));
    }
    json_object_set_new(o, url != NULL ? "dcaccount" : "dclogin", json_string(qr));
    json_array_append_new(list, o);
}

static void say_text(const char *token, const char *id, const char *expires,
                     int64_t uses, const char *url, const char *qr)
{
    op_say(OP_GREEN, "%s", token);
    op_say(OP_PLAIN, "  invite %s: %lld account%s, until %s", id, (long long)uses,
           uses == 1 ? "" : "s", expires);
    if (url != NULL) {
        op_say(OP_PLAIN, "  link:     %s\n  QR code:  %s", url, qr);
    } else {
        op_say(OP_PLAIN, "  QR code:  %s%s", qr,
               uses == 1 ? "" : "\n            (one account; others by hand)");
    }
    op_say(OP_PLAIN, "  by hand:  the password of a new account begins with %s.\n",
           token);
}

static int say_token(const struct op_cluster *c, const struct batch *b,
                     const char *token, const char *id, const char *expires,
                     struct cm_err *err)
{
    int64_t uses = b->wish.uses;
    bool self = c->conf.tls_mode == CM_TLS_SELF;
    char *url = self ? NULL : op_invite_url(&c->conf, token);
    char *qr = self ? op_invite_dclogin(&c->conf, token, err)
                    : cm_asprintf("DCACCOUNT:%s", url);

    if (qr != NULL && c->cli->json) {
        tell_json(b->told, token, id, expires, uses, url, qr);
    } else if (qr != NULL) {
        say_text(token, id, expires, uses, url, qr);
    }
    int rc = qr != NULL ? 0 : -1;
    cm_wipe_str(&qr);
    free(url);
    return rc;
}

/* Lines "ID EXPIRES", one for each token. */
static int say_batch(const struct op_cluster *c, const struct batch *b, char *said,
                     struct cm_err *err)
{
    char *save = NULL;

    for (int64_t i = 0; i < b->wish.count; i++) {
        char *line = strtok_r(i == 0 ? said : NULL, "\n", &save);
        char *blank = line != NULL ? strchr(line, ' ') : NULL;
        if (blank == NULL) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "the store answered for %lld of %lld invites",
                              (long long)i, (long long)b->wish.count);
        }
        *blank = '\0';
        if (say_token(c, b, b->tokens[i], line, blank + 1, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int op_invites_make(struct op_cluster *c, struct cm_err *err)
{
    const struct op_cli *cli = c->cli;
    struct batch b = {.told = json_array()};
    char *said = NULL;

    if (op_invite_wish(cli->uses, cli->days, cli->count, &b.wish, err) != 0) {
        op_complain("%s", err->text);
        batch_clear(&b);
        return OP_EXIT_USAGE;
    }
    int rc = make_tokens(&b, err);
    if (rc == 0) {
        char *sql = op_invite_sql((const char(*)[CM_INVITE_HASH])b.hashes, &b.wish);
        rc = op_store_sql(&c->nodes[0].host, sql, &said, err);
        free(sql);
    }
    if (rc == 0) {
        rc = say_batch(c, &b, said, err);
    }
    if (rc == 0) {
        op_answer(json_pack("{s:O}", "invites", b.told));
    }
    free(said);
    batch_clear(&b);
    return rc;
}

/* ---- revoke ---- */

int op_registrations_revoke(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    char *said = NULL, *sql = op_revoke_sql(cli->args[0], err);

    if (sql == NULL) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        free(sql);
        return -1;
    }
    int rc = op_store_sql(&c.nodes[0].host, sql, &said, err);
    if (rc == 0 && said[0] == '\0') {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "there is no such invite; \"chatops registrations\" shows all");
    } else if (rc == 0 && cli->json) {
        op_answer(json_pack("{s:s, s:I}", "result", "ok", "revoked",
                            (json_int_t)strtoll(said, NULL, 10)));
    } else if (rc == 0) {
        op_say(OP_GREEN, "invite %s is revoked; accounts made with it stay", said);
    }
    free(said);
    free(sql);
    op_cluster_clear(&c);
    return rc;
}
