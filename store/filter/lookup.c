#include "filter.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"

struct list {
    const char *addrs[DESK_ACCOUNTS_MAX];
    struct rcpt *rcpts[DESK_ACCOUNTS_MAX];
    struct desk_flags flags[DESK_ACCOUNTS_MAX];
    size_t count;
};

/* Who is not of this machine has no flags. */
static void list_add(struct list *list, struct rcpt *rcpt)
{
    if (rcpt != NULL && rcpt->account != NULL) {
        cm_assert(list->count < DESK_ACCOUNTS_MAX);
        list->addrs[list->count] = rcpt->account;
        list->rcpts[list->count++] = rcpt;
    }
}

bool transaction_look_up(struct transaction *t, struct rcpt *more, struct decision *d)
{
    struct list *list = cm_calloc(1, sizeof(*list));
    struct cm_err err;
    list_add(list, more);
    for (size_t i = 0; i < t->count; i++) {
        list_add(list, &t->rcpts[i]);
    }
    int rc =
        desk_accounts(t->filter->desk, list->addrs, list->count, list->flags, &err);
    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        list->rcpts[i]->disabled = list->flags[i].disabled;
        list->rcpts[i]->enforces = list->flags[i].enforces;
    }
    free(list);
    if (rc == 0) {
        return true;
    }
    cm_log_err(CM_LOG_ERROR, "accounts_unknown", &err);
    return decide_refuse(d, WHY_DATABASE, "451",
                         "4.3.0 Accounts cannot be looked up now; try again later");
}
