#include "change.h"

#include <string.h>

#include "key.h"

static bool has_token(const struct change *change, const struct cm_dict_op *op)
{
    for (size_t i = 0; i < change->count; i++) {
        if (change->tokens[i].len == op->value_len &&
            memcmp(change->tokens[i].data, op->value, op->value_len) == 0) {
            return true;
        }
    }
    return false;
}

static int add_token(struct change *change, const struct cm_dict_op *op,
                     struct cm_err *err)
{
    if (op->value_len == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "empty device token");
    }
    if (has_token(change, op)) {
        return 0;
    }
    if (change->count == TOKENS_MAX ||
        op->value_len > TOKENS_BYTES_MAX - change->bytes) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "more than %d device tokens or %d bytes of them", TOKENS_MAX,
                          TOKENS_BYTES_MAX);
    }
    change->tokens[change->count++] =
        (struct change_token){.data = op->value, .len = op->value_len};
    change->bytes += op->value_len;
    return 0;
}

static int set(struct change *change, const struct cm_dict_op *op, struct cm_err *err)
{
    switch (key_parse(op->key)) {
    case KEY_TOKEN:
        return add_token(change, op, err);
    case KEY_NEW_MESSAGE:
        change->new_message = true;
        return 0;
    default:
        return cm_err_set(err, CM_ERR_REFUSE, "this key cannot be set");
    }
}

static void unset(struct change *change, const struct cm_dict_op *op)
{
    if (key_parse(op->key) == KEY_TOKEN) {
        change->clear = true;
        change->count = 0;
        change->bytes = 0;
    }
}

int change_from(const struct cm_dict_op *ops, size_t n, struct change *change_r,
                struct cm_err *err)
{
    struct change change = {.clear = false};
    for (size_t i = 0; i < n; i++) {
        if (ops[i].kind == CM_DICT_UNSET) {
            unset(&change, &ops[i]);
        } else if (ops[i].kind == CM_DICT_INC) {
            return cm_err_set(err, CM_ERR_REFUSE, "nothing here can be counted up");
        } else if (set(&change, &ops[i], err) != 0) {
            return -1;
        }
    }
    *change_r = change;
    return 0;
}
