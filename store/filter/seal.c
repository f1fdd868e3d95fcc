#include "seal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"

#include "dkim_sign.h"
#include "filter.h"

#define KEY_FILE_MAX 65536

int seal_load(struct seal *seal, struct cm_err *err)
{
    char *pem;
    size_t len;
    int found = cm_file_read(seal->path, KEY_FILE_MAX, &pem, &len, err);
    if (found <= 0) {
        return found < 0 ? -1
                         : cm_err_set(err, CM_ERR_WORLD, "%s is not there", seal->path);
    }
    struct dkim_privkey *key = dkim_privkey_read(pem, len, err);
    explicit_bzero(pem, len);
    free(pem);
    if (key == NULL) {
        return cm_err_prefix(err, "%s", seal->path);
    }
    pthread_mutex_lock(&seal->lock);
    struct dkim_privkey *old = seal->key;
    seal->key = key;
    pthread_mutex_unlock(&seal->lock);
    dkim_privkey_free(&old);
    return 0;
}

/* NULL: there is none. The caller's own reference. */
static struct dkim_privkey *the_key(struct seal *seal)
{
    pthread_mutex_lock(&seal->lock);
    struct dkim_privkey *key = seal->key != NULL ? dkim_privkey_share(seal->key) : NULL;
    pthread_mutex_unlock(&seal->lock);
    return key;
}

bool seal_ready(struct seal *seal)
{
    struct dkim_privkey *key = the_key(seal);
    bool ready = key != NULL;
    dkim_privkey_free(&key);
    return ready;
}

/* ---- one message ---- */

void seal_begin(struct transaction *t)
{
    if (t->settings.signs) {
        t->sign = dkim_sign_new();
    }
}

/* Signed is the form in which it leaves: milter.c makes one Subject "[...]" and takes
 * the others away, once all is read. The other fields that it takes away are not among
 * those that are signed. */
void seal_header(struct transaction *t, const char *name, const char *value)
{
    if (t->sign == NULL) {
        return;
    }
    if (t->filter->mode->cleans && header_is(name, strlen(name), "Subject")) {
        if (t->subjects > 1) { /* this one counted */
            return;
        }
        value = CLEAN_SUBJECT;
    }
    dkim_sign_header(t->sign, name, strlen(name), value, strlen(value));
}

void seal_body(struct transaction *t, const void *data, size_t len)
{
    if (t->sign != NULL) {
        dkim_sign_body(t->sign, data, len);
    }
}

void seal_drop(struct transaction *t)
{
    dkim_sign_free(&t->sign);
}

static bool put_off(struct decision *d)
{
    return decide_refuse(d, WHY_NOT_SIGNED, "451",
                         "4.7.5 Mail cannot be signed now; try again later");
}

static bool is_ours(const struct transaction *t)
{
    const char *domain =
        t->verdict.from_problem == NULL ? address_domain(t->verdict.from) : NULL;
    return domain != NULL && strcasecmp(domain, t->settings.domain) == 0;
}

static int make_signature(struct transaction *t, struct cm_err *err)
{
    cm_assert(t->sign != NULL); /* dropped only for mail that is refused */
    struct dkim_privkey *key = the_key(&t->filter->seal);
    if (key == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "there is no key"); /* main.c has said so */
    }
    const struct dkim_sign_as as = {.key = key,
                                    .domain = t->settings.domain,
                                    .selector = SEAL_SELECTOR,
                                    .now_s = cm_now_wall_ms() / 1000};
    int rc = dkim_sign_end(t->sign, &as, &t->signature, err);
    dkim_privkey_free(&key);
    if (rc != 0) {
        cm_log_err(CM_LOG_WARNING, "not_signed", err);
    }
    return rc;
}

bool seal_end(struct transaction *t, struct decision *d)
{
    struct cm_err err;
    if (!t->settings.signs) {
        return true;
    }
    if (!is_ours(t)) {
        /* Who is logged in has an address of our domain, so another one there means
         * that Postfix and chatmail.ini disagree. */
        return !t->filter->mode->judges || put_off(d);
    }
    if (make_signature(t, &err) != 0) {
        return err.kind == CM_ERR_REFUSE
                   ? decide_refuse(d, WHY_HEADER_SIZE, "554", "5.6.0 %s", err.text)
                   : put_off(d);
    }
    atomic_fetch_add(&t->filter->seal.sealed, 1);
    /* The words that counters match (relay-spec.md 3.9). */
    cm_log_text(CM_LOG_INFO, "%s: DKIM-Signature field added (s=%s, d=%s)", t->queue_id,
                SEAL_SELECTOR, t->settings.domain);
    return true;
}
