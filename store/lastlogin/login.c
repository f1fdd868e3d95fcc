#include "login.h"

#include <stdbool.h>
#include <string.h>

#define PREFIX        "shared/last-login/"
#define DAY_SECONDS   86400
#define SECONDS_LIMIT INT64_C(253402300800) /* 10000-01-01 */

static bool is_address(const char *addr)
{
    size_t len = strlen(addr);
    const char *at = strchr(addr, '@');
    if (len > LOGIN_ADDR_MAX || at == NULL || at == addr || at[1] == '\0' ||
        strchr(at + 1, '@') != NULL) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (addr[i] <= ' ' || addr[i] > '~' || addr[i] == '/') {
            return false;
        }
    }
    return true;
}

static int parse_seconds(const char *text, size_t len, int64_t *seconds_r)
{
    int64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        n = n * 10 + (text[i] - '0');
        if (n >= SECONDS_LIMIT) {
            return -1;
        }
    }
    *seconds_r = n;
    return len > 0 ? 0 : -1;
}

int login_parse(const struct cm_dict_op *op, struct login *login_r, struct cm_err *err)
{
    size_t prefix = strlen(PREFIX);
    int64_t seconds;
    if (op->kind != CM_DICT_SET || strncmp(op->key, PREFIX, prefix) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "only " PREFIX "ADDRESS can be set");
    }
    if (!is_address(op->key + prefix)) {
        return cm_err_set(err, CM_ERR_REFUSE, "no address in the key");
    }
    if (parse_seconds(op->value, op->value_len, &seconds) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "the value is no time");
    }
    login_r->addr = op->key + prefix;
    login_r->day = (int32_t)(seconds / DAY_SECONDS);
    return 0;
}
