#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/mem.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define PASSWORD_LETTERS                                                               \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                   \
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
#define PASSWORD_MORE 3
#define SECRET_MAX    159

/* Every letter equally likely: bytes past the last whole multiple are drawn again. */
static int draw(const char *letters, size_t n, char *out, struct cm_err *err)
{
    size_t count = strlen(letters), filled = 0;
    unsigned char raw[64];
    while (filled < n) {
        if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw)) {
            return cm_err_set(err, CM_ERR_RETRY, "no random numbers");
        }
        for (size_t i = 0; i < sizeof(raw) && filled < n; i++) {
            if (raw[i] < 256 / count * count) {
                out[filled++] = letters[raw[i] % count];
            }
        }
    }
    out[filled] = '\0';
    cm_wipe(raw, sizeof(raw));
    return 0;
}

int credentials_make(const struct cm_conf *conf, const char *invite,
                     struct credentials *out_r, struct cm_err *err)
{
    char name[CREDENTIALS_NAME_MAX + 1], secret[SECRET_MAX + 1];
    size_t name_len = (size_t)conf->username_max_length;
    size_t secret_len = (size_t)conf->password_min_length + PASSWORD_MORE;
    cm_assert(name_len < sizeof(name) && secret_len < sizeof(secret));
    if (draw(NAME_LETTERS, name_len, name, err) != 0 ||
        draw(PASSWORD_LETTERS, secret_len, secret, err) != 0) {
        return -1;
    }
    snprintf(out_r->email, sizeof(out_r->email), "%s@%.254s", name, conf->domain);
    snprintf(out_r->password, sizeof(out_r->password), "%.64s%s%s",
             invite != NULL ? invite : "", invite != NULL ? "." : "", secret);
    cm_wipe(secret, sizeof(secret));
    return 0;
}

static void add_encoded(struct cm_buf *out, const char *text, const char *also_plain)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-._~";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL || strchr(also_plain, *text) != NULL) {
            cm_buf_add(out, text, 1);
        } else {
            cm_buf_fmt(out, "%%%02X", (unsigned char)*text);
        }
    }
}

char *credentials_dclogin(const struct cm_conf *conf, const struct credentials *c)
{
    struct cm_buf out;
    cm_buf_init(&out, 4096);
    cm_buf_str(&out, "dclogin:");
    add_encoded(&out, c->email, "@[]");
    cm_buf_str(&out, "?p=");
    add_encoded(&out, c->password, "");
    cm_buf_str(&out, "&v=1");
    if (conf->is_ip) {
        cm_buf_fmt(&out, "&ih=%s&sh=%s", conf->mail_domain, conf->mail_domain);
    }
    cm_buf_str(&out, "&ic=3");
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

char *credentials_json(const struct cm_conf *conf, const struct credentials *c)
{
    json_t *root = json_pack("{s:s,s:s}", "email", c->email, "password", c->password);
    cm_assert(root != NULL);
    if (conf->tls_mode == CM_TLS_SELF) {
        char *url = credentials_dclogin(conf, c);
        json_object_set_new(root, "dclogin_url", json_string(url));
        cm_wipe_str(&url);
    }
    char *text = json_dumps(root, JSON_PRESERVE_ORDER);
    cm_assert(text != NULL);
    json_decref(root);
    return text;
}
