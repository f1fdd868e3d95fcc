#include "rules.h"

#include <inttypes.h>
#include <string.h>

#define PASSWORD_MAX 511 /* crypt(3) takes no longer one */

int64_t rules_characters(const char *s)
{
    int64_t n = 0;
    int following = 0; /* continuation bytes the last lead byte may still have */
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if ((c & 0xc0) == 0x80 && following > 0) {
            following--;
            continue;
        }
        following = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        n++;
    }
    return n;
}

bool rules_is_ours(const struct rules *rules, const char *addr)
{
    size_t len = strlen(addr), tail = strlen(rules->domain);
    if (len < tail + 2 || addr[len - tail - 1] != '@' ||
        strcmp(addr + len - tail, rules->domain) != 0) {
        return false;
    }
    for (const char *p = addr; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '/') {
            return false;
        }
    }
    size_t local = len - tail - 1;
    return len <= RULES_ADDR_MAX && strspn(addr, ".") < local &&
           memchr(addr, '@', local) == NULL;
}

int rules_may_create(const struct rules *rules, const char *addr, const char *password,
                     struct cm_err *err)
{
    if (rules_characters(password) < rules->password_min_length) {
        return cm_err_set(err, CM_ERR_REFUSE, "password shorter than %" PRId64,
                          rules->password_min_length);
    }
    if (strlen(password) > PASSWORD_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "password longer than %d bytes",
                          PASSWORD_MAX);
    }
    if (!rules_is_ours(rules, addr)) {
        return cm_err_set(err, CM_ERR_REFUSE, "not an address of this relay");
    }
    int64_t local = (int64_t)strcspn(addr, "@");
    if (local < rules->username_min_length || local > rules->username_max_length) {
        return cm_err_set(
            err, CM_ERR_REFUSE,
            "name of %" PRId64 " characters; %" PRId64 " to %" PRId64 " are allowed",
            local, rules->username_min_length, rules->username_max_length);
    }
    if (strspn(addr, "abcdefghijklmnopqrstuvwxyz0123456789._-") != (size_t)local) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "name has other characters than a-z 0-9 . _ -");
    }
    return 0;
}
