#include "claim.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "auth/hash.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pg.h"

static const struct cm_pg_statement make_account = {"echo_account",
                                                    "select echo_account($1, $2)"};

struct claim {
    struct claim_options options;
    struct cm_pg *pg;
    struct cm_timer *timer;
    char *password;
    bool fresh;
    char hash[HASH_SIZE]; /* "" : not made yet */
};

/* ---- the password ---- */

int claim_password(char *out, size_t length)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    const unsigned n = sizeof(alphabet) - 1;
    for (size_t i = 0; i < length;) {
        unsigned char byte;
        if (getrandom(&byte, 1, 0) != 1) {
            return -1;
        }
        if (byte < 256 / n * n) { /* all characters are as likely */
            out[i++] = alphabet[byte % n];
        }
    }
    out[length] = '\0';
    return 0;
}

static void add_escaped(struct cm_buf *out, const char *text, const char *also)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c) != NULL || strchr(also, c) != NULL) {
            cm_buf_add(out, text, 1);
        } else {
            cm_buf_fmt(out, "%%%02X", c);
        }
    }
}

char *claim_login_uri(const char *domain, const char *password)
{
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    cm_buf_str(&out, "dclogin:echo@");
    add_escaped(&out, domain, "[]");
    cm_buf_str(&out, "?p=");
    add_escaped(&out, password, "");
    cm_buf_str(&out, "&v=1&ih=127.0.0.1&ip=993&is=ssl&sh=127.0.0.1&sp=465&ss=ssl&ic=3");
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

static int load_password(struct claim *claim, struct cm_err *err)
{
    char *path = cm_asprintf("%s/password", claim->options.dir);
    int rc = cm_file_read(path, CLAIM_PASSWORD_MAX, &claim->password, NULL, err);
    if (rc == 1 && claim->password[0] == '\0') {
        cm_wipe_str(&claim->password);
        rc = 0;
    }
    if (rc == 0) {
        char made[CLAIM_PASSWORD_MAX];
        cm_assert(claim->options.password_length < CLAIM_PASSWORD_MAX);
        rc = claim_password(made, (size_t)claim->options.password_length) == 0
                 ? cm_file_replace(path, made, strlen(made), 0600, err)
                 : cm_err_set(err, CM_ERR_WORLD, "no randomness");
        if (rc == 0) {
            claim->password = cm_strdup(made);
            claim->fresh = true;
        }
        cm_wipe(made, sizeof(made));
    }
    free(path);
    return rc < 0 ? -1 : 0;
}

/* ---- the row ---- */

static void on_answer(const struct cm_pg_result *res, const struct cm_err *err,
                      void *ctx)
{
    struct claim *claim = ctx;
    if (res == NULL) {
        cm_log_err(CM_LOG_WARNING, "account_failed", err);
        cm_timer_set(claim->timer, CLAIM_AGAIN_MS);
        return;
    }
    const char *value = cm_pg_rows(res) == 1 ? cm_pg_value(res, 0, 0) : NULL;
    if (value == NULL || strcmp(value, "t") != 0) {
        cm_log(CM_LOG_ERROR, "account_taken", "name", "echo", "effect",
               "no bot: the name belongs to a user", NULL);
        cm_timer_set(claim->timer, CLAIM_TAKEN_MS);
        return;
    }
    claim->options.done(claim->password, claim->fresh, claim->options.ctx);
}

static void ask(struct claim *claim)
{
    const char *params[] = {claim->options.domain, claim->hash};
    cm_pg_query(claim->pg, &make_account, params, 2, on_answer, claim);
}

/* Once, and some milliseconds: nobody waits for this loop. */
static void on_timer(void *ctx)
{
    struct claim *claim = ctx;
    if (claim->hash[0] == '\0' && hash_password(claim->password, claim->hash) != 0) {
        claim->hash[0] = '\0';
        cm_timer_set(claim->timer, CLAIM_AGAIN_MS);
        return;
    }
    ask(claim);
}

struct claim *claim_new(struct cm_loop *loop, const struct claim_options *options,
                        struct cm_err *err)
{
    struct claim *claim = cm_calloc(1, sizeof(*claim));
    claim->options = *options;
    if (load_password(claim, err) != 0) {
        free(claim);
        return NULL;
    }
    struct cm_pg_options pg = {.conninfo = options->conninfo, .connections = 1};
    claim->pg = cm_pg_new(loop, &pg);
    claim->timer = cm_timer_new(loop, on_timer, claim);
    cm_timer_set(claim->timer, 0);
    return claim;
}

void claim_free(struct claim **claim)
{
    struct claim *c = *claim;
    if (c == NULL) {
        return;
    }
    cm_pg_free(&c->pg);
    cm_timer_free(&c->timer);
    cm_wipe_str(&c->password);
    free(c);
    *claim = NULL;
}
