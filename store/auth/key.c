#include "key.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static const char *skip_prefix(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* The first double quote that no backslash protects; NULL when there is none. */
static const char *find_quote(const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '"') {
            return s;
        }
        if (*s == '\\' && *++s == '\0') {
            return NULL;
        }
    }
    return NULL;
}

/* Removes one level of backslashes; NULL when the last one protects nothing. */
static char *unescape(const char *s, size_t len)
{
    char *out = cm_malloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\' && ++i == len) {
            out[n] = '\0';
            cm_wipe_str(&out);
            return NULL;
        }
        out[n++] = s[i];
    }
    out[n] = '\0';
    return out;
}

/* "ADDRESS/": returns what comes behind, NULL when it is not so. */
static const char *take_address(const char *text, char out[KEY_ADDRESS_SIZE])
{
    size_t len = strcspn(text, "/");
    if (text[len] != '/' || len >= KEY_ADDRESS_SIZE) {
        return NULL;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return text + len + 1;
}

/* Behind the kind of a password key. */
static int parse_passdb(const char *text, struct key *key, struct cm_err *err)
{
    const char *quote = find_quote(text);
    if (quote == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "password key without user");
    }
    key->kind = KEY_PASSDB;
    key->password = unescape(text, (size_t)(quote - text));
    key->user = unescape(quote + 1, strlen(quote + 1));
    return 0;
}

static int parse_passdb_from(const char *text, struct key *key, struct cm_err *err)
{
    text = take_address(text, key->client);
    text = text != NULL ? take_address(text, key->local) : NULL;
    if (text == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "password key without addresses");
    }
    return parse_passdb(text, key, err);
}

static int parse_userdb(const char *text, struct key *key, struct cm_err *err)
{
    (void)err;
    key->kind = KEY_USERDB;
    key->user = unescape(text, strlen(text));
    return 0;
}

static int parse_failed_from(const char *text, struct key *key, struct cm_err *err)
{
    text = take_address(text, key->client);
    if (text == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "password key without address");
    }
    int rc = parse_passdb(text, key, err);
    key->kind = KEY_FAILED;
    return rc;
}

static int parse_userdb_from(const char *text, struct key *key, struct cm_err *err)
{
    text = take_address(text, key->client);
    return text != NULL ? parse_userdb(text, key, err)
                        : cm_err_set(err, CM_ERR_REFUSE, "user key without address");
}

static const struct kind {
    const char *prefix;
    int (*parse)(const char *text, struct key *key, struct cm_err *err);
} kinds[] = {
    {"shared/passdb/", parse_passdb},
    {"shared/passdb-from/", parse_passdb_from},
    {"shared/failed-from/", parse_failed_from},
    {"shared/userdb/", parse_userdb},
    {"shared/userdb-from/", parse_userdb_from},
};

int key_parse(const char *text, struct key *key_r, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *rest = skip_prefix(text, kinds[i].prefix);
        struct key key = {.kind = KEY_USERDB};
        if (rest == NULL) {
            continue;
        }
        if (kinds[i].parse(rest, &key, err) != 0) {
            return -1;
        }
        if (key.user == NULL) {
            key_clear(&key);
            return cm_err_set(err, CM_ERR_REFUSE, "key ends in a lone backslash");
        }
        *key_r = key;
        return 0;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "unknown kind of key");
}

bool key_is_failed(const char *text)
{
    return skip_prefix(text, "shared/failed-from/") != NULL;
}

bool key_is_passdb(const char *text)
{
    return skip_prefix(text, "shared/passdb") != NULL;
}

void key_clear(struct key *key)
{
    cm_wipe_str(&key->password);
    free(key->user);
    key->user = NULL;
}
