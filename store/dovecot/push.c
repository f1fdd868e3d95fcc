/* chatmail_push: a plugin of Dovecot's lmtp that tells chatmail-push of each message it
 * has delivered (relay-spec.md 2.5.1, 3.3.2).
 *
 * It does the saving itself, through the hook that Sieve uses too: so it knows that the
 * message is committed, for whom, and that it was a delivery. What clients do over IMAP
 * never comes by here. A copy the user sent to itself wakes nobody: its From is the
 * recipient's own address.
 *
 * A second copy of a message that the mailbox was given lately is not saved again
 * (recent.h): its Message-ID, From, Date and Content-Type are the same, and the latter
 * has a random boundary in whatever is encrypted. Without a Message-ID there are no
 * copies.
 *
 * The delivery succeeds whatever the bell says, and waits for it for at most
 * CM_DOORBELL_LIMIT_MS. When push was silent once, this process leaves files for it
 * without asking for a while, so that many recipients are not many waits.
 *
 * Settings (plugin section): chatmail_push_socket, chatmail_push_dir; the defaults are
 * those of common/doorbell.h. Trusts: Dovecot. Known limit: a message that Sieve or
 * another plugin saved elsewhere rings too. */
#include "lib.h"

#include "mail-deliver.h"
#include "mail-storage.h"
#include "mail-user.h"
#include "message-address.h"
#include "module-dir.h"
#include "sha2.h"

#include <time.h>

#include "common/doorbell.h"
#include "recent.h"

#define QUIET_MS    1000
#define RECENT_NAME "chatmail-recent" /* in the user's home */

void chatmail_push_plugin_init(struct module *module);
void chatmail_push_plugin_deinit(void);
extern const char *chatmail_push_plugin_version;
extern const char chatmail_push_plugin_binary[];

const char *chatmail_push_plugin_version = DOVECOT_ABI_VERSION;
const char chatmail_push_plugin_binary[] = "lmtp";

static deliver_mail_func_t *next_deliver;
static long long quiet_until_ms; /* monotonic */

/* Not the loop's time, which stands still while we wait. */
static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Only the first address of the first From counts, as everywhere. */
static bool is_self_sent(struct mail_deliver_context *ctx)
{
    const struct message_address *from;
    const char *value;

    if (mail_get_first_header(ctx->src_mail, "From", &value) <= 0)
        return FALSE;
    from = message_address_parse(pool_datastack_create(), (const unsigned char *)value,
                                 strlen(value), 1, 0);
    if (from == NULL || from->mailbox == NULL || from->domain == NULL)
        return FALSE;
    return strcasecmp(t_strconcat(from->mailbox, "@", from->domain, NULL),
                      ctx->rcpt_user->username) == 0;
}

static const char *setting(struct mail_user *user, const char *name,
                           const char *otherwise)
{
    const char *value = mail_user_plugin_getenv(user, name);

    return value != NULL && *value != '\0' ? value : otherwise;
}

static void ring(struct mail_user *user)
{
    const char *path = setting(user, "chatmail_push_socket", CM_DOORBELL_SOCKET);
    const char *dir = setting(user, "chatmail_push_dir", CM_DOORBELL_DIR);
    long long start = now_ms();
    int limit = start < quiet_until_ms ? 0 : CM_DOORBELL_LIMIT_MS;

    switch (cm_doorbell_ring(path, dir, user->username, limit)) {
    case CM_DOORBELL_TOLD:
        e_debug(user->event, "chatmail_push: told");
        return;
    case CM_DOORBELL_LEFT:
        e_debug(user->event, "chatmail_push: left a file");
        break;
    case CM_DOORBELL_NOBODY:
        e_debug(user->event, "chatmail_push: no push service here");
        break;
    case CM_DOORBELL_REFUSED:
        e_warning(user->event, "chatmail_push: not an address that can be pushed to");
        break;
    case CM_DOORBELL_FAILED:
        e_warning(user->event, "chatmail_push: not told, and no file in %s: %m", dir);
        break;
    }
    if (now_ms() - start >= CM_DOORBELL_LIMIT_MS)
        quiet_until_ms = now_ms() + QUIET_MS;
}

/* What names the message wherever it came along; FALSE when nothing does. */
static bool digest_of(struct mail *mail, unsigned char digest_r[RECENT_DIGEST])
{
    static const char *const names[] = {"Message-ID", "From", "Date", "Content-Type"};
    unsigned char all[SHA256_RESULTLEN];
    struct sha256_ctx sha;
    const char *value;

    sha256_init(&sha);
    for (unsigned int i = 0; i < N_ELEMENTS(names); i++) {
        if (mail_get_first_header(mail, names[i], &value) <= 0) {
            if (i == 0)
                return FALSE;
            value = "";
        }
        sha256_loop(&sha, value, strlen(value) + 1);
    }
    sha256_result(&sha, all);
    memcpy(digest_r, all, RECENT_DIGEST);
    return TRUE;
}

static int save(struct mail_deliver_context *ctx, struct mail_storage **storage_r)
{
    int ret = next_deliver != NULL ? next_deliver(ctx, storage_r) : -1;

    if (ret <= 0 && !ctx->saved_mail && !ctx->tried_default_save &&
        ctx->tempfail_error == NULL) {
        ret = mail_deliver_save(ctx, ctx->rcpt_default_mailbox, 0, NULL, storage_r);
        if (ret == 0)
            ret = 1;
    }
    return ret;
}

static int save_once(struct mail_deliver_context *ctx, struct mail_storage **storage_r)
{
    unsigned char digest[RECENT_DIGEST];
    struct recent recent;
    const char *home;
    int ret;

    if (mail_user_get_home(ctx->rcpt_user, &home) <= 0 ||
        !digest_of(ctx->src_mail, digest))
        return save(ctx, storage_r);
    if (recent_begin(&recent, t_strconcat(home, "/" RECENT_NAME, NULL), digest,
                     time(NULL))) {
        e_info(ctx->rcpt_user->event, "chatmail_push: a second copy, not saved again");
        ret = 1;
    } else {
        ret = save(ctx, storage_r);
    }
    recent_end(&recent, ctx->saved_mail);
    return ret;
}

/* Returns 1 when it was delivered; -1 and the storage with the reason, as
 * mail_deliver() wants it. */
static int push_deliver(struct mail_deliver_context *ctx,
                        struct mail_storage **storage_r)
{
    int ret;

    T_BEGIN
    {
        ret = save_once(ctx, storage_r);
        if (ctx->saved_mail && !is_self_sent(ctx))
            ring(ctx->rcpt_user);
    }
    T_END;
    return ret;
}

void chatmail_push_plugin_init(struct module *module ATTR_UNUSED)
{
    next_deliver = mail_deliver_hook_set(push_deliver);
}

void chatmail_push_plugin_deinit(void)
{
    mail_deliver_hook_set(next_deliver);
}
