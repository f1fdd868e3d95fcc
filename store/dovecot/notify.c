#include "lib.h"

#include "array.h"
#include "ioloop.h"
#include "mail-namespace.h"
#include "mailbox-list-private.h"
#include "module-context.h"

#include "notify.h"
#include "watch.h"

#define NOTIFY_GAP_MS 20

struct notify_list {
    union mailbox_list_module_context module_ctx;
    struct mailbox_list_notify *notify; /* whose watch it is */
    int fd;                             /* -1: no watch */
    struct io *io;
    struct timeout *to; /* what was seen is to be told */
};

static MODULE_CONTEXT_DEFINE_INIT(notify_list_module, &mailbox_list_module_register);

static struct notify_list *notify_of(struct mailbox_list *list)
{
    return MODULE_CONTEXT(list, notify_list_module);
}

static void notify_stop(struct notify_list *n)
{
    timeout_remove(&n->to);
    io_remove(&n->io);
    i_close_fd(&n->fd);
    n->notify = NULL;
}

/* The callback may end the notify. */
static void notify_tell(struct notify_list *n)
{
    timeout_remove(&n->to);
    mailbox_list_notify_flush(n->notify);
}

static void notify_input(struct notify_list *n)
{
    if (watch_drain(n->fd) < 0) {
        io_remove(&n->io);
        i_close_fd(&n->fd);
    }
    if (n->to == NULL)
        n->to = timeout_add_short(NOTIFY_GAP_MS, notify_tell, n);
}

/* A client that cannot be told at once is told when Dovecot would. */
static void notify_start(struct notify_list *n, struct mailbox_list_notify *notify)
{
    const char *dir;

    if (n->notify != NULL ||
        !mailbox_list_get_root_path(notify->list, MAILBOX_LIST_PATH_TYPE_INDEX, &dir))
        return;
    n->fd = watch_open_written(dir);
    if (n->fd == -1)
        return;
    n->notify = notify;
    n->io = io_add(n->fd, IO_READ, notify_input, n);
}

static void notify_wait(struct mailbox_list_notify *notify,
                        mailbox_list_notify_callback_t *callback, void *context)
{
    struct notify_list *n = notify_of(notify->list);

    n->module_ctx.super.notify_wait(notify, callback, context);
    if (callback != NULL)
        notify_start(n, notify);
    else if (n->notify == notify)
        notify_stop(n);
}

static void notify_deinit(struct mailbox_list_notify *notify)
{
    struct notify_list *n = notify_of(notify->list);

    if (n->notify == notify)
        notify_stop(n);
    n->module_ctx.super.notify_deinit(notify);
}

static void take_over(struct mailbox_list *list)
{
    struct mailbox_list_vfuncs *v = &list->v;
    struct notify_list *n;

    if (v->notify_wait == NULL || v->notify_flush == NULL ||
        v->notify_wait == notify_wait)
        return;
    n = p_new(list->pool, struct notify_list, 1);
    n->fd = -1;
    n->module_ctx.super = *v;
    v->notify_wait = notify_wait;
    v->notify_deinit = notify_deinit;
    MODULE_CONTEXT_SET(list, notify_list_module, n);
}

void notify_namespaces_created(struct mail_namespace *namespaces)
{
    for (struct mail_namespace *ns = namespaces; ns != NULL; ns = ns->next)
        take_over(ns->list);
}
