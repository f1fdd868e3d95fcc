/* chatmail_idle: a plugin of Dovecot's imap that tells clients in IDLE of new mail at
 * once, and lets none get lost when they hibernate (user-voice.md 27).
 *
 * Dovecot waits 500 ms between seeing a change and telling it (mailbox-watch.c). When
 * the client hibernates within that time, the change is forgotten: the process that
 * takes over watches with a new inotify instance, which knows nothing of it.
 *
 * So each watched maildir gets a second inotify instance, ours. Its first event runs
 * the callback that Dovecot would have run half a second later; what follows within
 * GAP_MS is told together, so a flood costs a bounded number of looks per second.
 *
 * A change between our last look and the moment of hibernation is seen by our instance
 * too. The watch ends only after the hibernation process has its own; when an event is
 * still unread then, the directory is poked, and that process wakes the client up.
 * A mailbox without a watch of ours may not hibernate. Trusts: Dovecot; the mailbox
 * directory, which is the user's own. Clients with NOTIFY never
 * hibernate; mailboxes that are not selected are watched by notify.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib.h"

#include "array.h"
#include "imap-common.h"
#include "index-storage.h"
#include "ioloop.h"
#include "mail-storage-hooks.h"
#include "mail-storage-private.h"
#include "module-context.h"
#include "time-util.h"

#include "notify.h"
#include "watch.h"

#define GAP_MS 20

struct idle_box {
    union mailbox_module_context module_ctx;
    int fd; /* -1: no watch */
    struct io *io;
    struct timeout *to; /* the callback is due */
    struct timeval told;
};

struct idle_client {
    union imap_module_context module_ctx;
};

void chatmail_idle_plugin_init(struct module *module);
void chatmail_idle_plugin_deinit(void);
extern const char *chatmail_idle_plugin_version;
extern const char chatmail_idle_plugin_binary[];

const char *chatmail_idle_plugin_version = DOVECOT_ABI_VERSION;
const char chatmail_idle_plugin_binary[] = "imap";

static MODULE_CONTEXT_DEFINE_INIT(idle_box_module, &mail_storage_module_register);
static MODULE_CONTEXT_DEFINE_INIT(idle_client_module, &imap_module_register);

static imap_client_created_func_t *next_hook;

static struct idle_box *idle_of(struct mailbox *box)
{
    return MODULE_CONTEXT(box, idle_box_module);
}

/* The mailbox may still be locked by the delivery, so that this look is too early.
 * Dovecot's own timer is left alone: it looks once more half a second later. The
 * callback may free the mailbox. */
static void idle_tell(struct mailbox *box)
{
    struct idle_box *idle = idle_of(box);

    timeout_remove(&idle->to);
    idle->told = ioloop_timeval;
    box->notify_callback(box, box->notify_context);
}

static unsigned int until_due(const struct idle_box *idle)
{
    long long past = timeval_diff_msecs(&ioloop_timeval, &idle->told);

    return past < 0 || past >= GAP_MS ? 0 : (unsigned int)(GAP_MS - past);
}

static void idle_input(struct mailbox *box)
{
    struct idle_box *idle = idle_of(box);

    if (watch_drain(idle->fd) < 0) {
        e_error(box->event, "chatmail_idle: read(inotify): %m");
        io_remove(&idle->io);
        i_close_fd(&idle->fd);
    }
    if (idle->to == NULL)
        idle->to = timeout_add_short(until_due(idle), idle_tell, box);
}

static void idle_start(struct mailbox *box, struct idle_box *idle)
{
    const char *path = mailbox_get_path(box);
    const char *dirs[2];

    if (strcmp(box->storage->name, "maildir") != 0)
        return;
    dirs[0] = t_strconcat(path, "/new", NULL);
    dirs[1] = t_strconcat(path, "/cur", NULL);
    idle->fd = watch_open(dirs, N_ELEMENTS(dirs));
    if (idle->fd == -1) {
        e_warning(box->event,
                  "chatmail_idle: no inotify watch (%m): this client is told late and "
                  "does not hibernate");
        return;
    }
    idle->io = io_add(idle->fd, IO_READ, idle_input, box);
}

/* imap_clients belongs to the imap binary. */
static bool is_hibernating(const struct mailbox *box)
{
    for (const struct client *c = imap_clients; c != NULL; c = c->next) {
        if (c->mailbox == box)
            return c->hibernated;
    }
    return TRUE; /* a needless poke costs a client one look */
}

static void idle_stop(struct mailbox *box, struct idle_box *idle)
{
    bool pending = idle->to != NULL || (idle->fd != -1 && watch_pending(idle->fd));

    timeout_remove(&idle->to);
    io_remove(&idle->io);
    i_close_fd(&idle->fd);
    if (!pending || !is_hibernating(box))
        return;
    if (watch_poke(t_strconcat(mailbox_get_path(box), "/new", NULL)) == 0)
        e_debug(box->event, "chatmail_idle: woke hibernating clients");
    else if (errno != ENOENT)
        e_error(box->event, "chatmail_idle: a hibernating client may be told late: %m");
}

static void idle_notify_changes(struct mailbox *box)
{
    struct idle_box *idle = idle_of(box);

    idle->module_ctx.super.notify_changes(box);
    if (box->notify_callback == NULL)
        idle_stop(box, idle);
    else if (idle->fd == -1)
        idle_start(box, idle);
}

static void idle_close(struct mailbox *box)
{
    struct idle_box *idle = idle_of(box);

    idle_stop(box, idle);
    idle->module_ctx.super.close(box);
}

static void mailbox_allocated(struct mailbox *box)
{
    struct mailbox_vfuncs *v = box->vlast;
    struct idle_box *idle = p_new(box->pool, struct idle_box, 1);

    idle->fd = -1;
    idle->module_ctx.super = *v;
    box->vlast = &idle->module_ctx.super;
    v->notify_changes = idle_notify_changes;
    v->close = idle_close;
    MODULE_CONTEXT_SET(box, idle_box_module, idle);
}

/* Asked when the client is about to hibernate. */
static int client_state_export(struct client *client, bool internal, buffer_t *dest,
                               const char **error_r)
{
    struct idle_client *ours = MODULE_CONTEXT(client, idle_client_module);
    struct idle_box *idle = client->mailbox != NULL ? idle_of(client->mailbox) : NULL;

    if (internal && idle != NULL && idle->fd == -1) {
        *error_r = "chatmail_idle has no watch on its mailbox";
        return 0;
    }
    return ours->module_ctx.super.state_export(client, internal, dest, error_r);
}

static void client_created(struct client **clientp)
{
    struct client *client = *clientp;
    struct idle_client *ours = p_new(client->pool, struct idle_client, 1);

    ours->module_ctx.super = client->v;
    client->v.state_export = client_state_export;
    MODULE_CONTEXT_SET(client, idle_client_module, ours);
    if (next_hook != NULL)
        next_hook(clientp);
}

static struct mail_storage_hooks hooks = {.mailbox_allocated = mailbox_allocated,
                                          .mail_namespaces_created =
                                              notify_namespaces_created};

void chatmail_idle_plugin_init(struct module *module)
{
    mail_storage_hooks_add(module, &hooks);
    next_hook = imap_client_created_hook_set(client_created);
}

void chatmail_idle_plugin_deinit(void)
{
    imap_client_created_hook_set(next_hook);
    mail_storage_hooks_remove(&hooks);
}
