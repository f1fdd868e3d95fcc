#include "key.h"

#include <stdbool.h>
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

int key_parse(const char *text, struct key *key_r, struct cm_err *err)
{
    struct key key = {.kind = KEY_USERDB};
    const char *user = skip_prefix(text, "shared/userdb/");
    if (user == NULL) {
        const char *password = skip_prefix(text, "shared/passdb/");
        if (password == NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "unknown kind of key");
        }
        const char *quote = find_quote(password);
        if (quote == NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "password key without user");
        }
        key.kind = KEY_PASSDB;
        key.password = unescape(password, (size_t)(quote - password));
        user = quote + 1;
    }
    key.user = unescape(user, strlen(user));
    if (key.user == NULL) {
        key_clear(&key);
        return cm_err_set(err, CM_ERR_REFUSE, "key ends in a lone backslash");
    }
    *key_r = key;
    return 0;
}

void key_clear(struct key *key)
{
    cm_wipe_str(&key->password);
    free(key->user);
    key->user = NULL;
}
