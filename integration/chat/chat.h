/* chat: the real Delta Chat core, driven: accounts, handshake, messages with time
 * stamps.
 *
 * A chat_client is one core process and may hold many accounts. It runs wherever the
 * given argv prefix puts it (a lab node, or here with an empty one). Times are
 * monotonic ms of this machine. Incoming messages are remembered from the moment the
 * account exists, at most CHAT_INBOX_MAX of them, so nothing is lost between two waits.
 * Not for threads. */
#ifndef CHAT_CHAT_H
#define CHAT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CHAT_INBOX_MAX 16384

struct chat_client;

struct chat_options {
    const char *const *prefix; /* argv that comes before; NULL-terminated or NULL */
    const char *server; /* path of deltachat-rpc-server as seen behind the prefix */
    const char *accounts_dir; /* made by the core; must not exist yet */
    const char *log_path;     /* the core's log; may be NULL */
};

struct chat_client *chat_open(const struct chat_options *options, struct cm_err *err);
void chat_close(struct chat_client **client); /* accepts a pointer to NULL */

/* The core's version, such as "v2.57.0". */
CM_MUSTUSE int chat_version(struct chat_client *client, char out[32],
                            struct cm_err *err);

/* Adds an account, configures it from a dclogin: or dcaccount: URI (which creates it on
 * the relay by logging in) and starts its connections. addr, when not NULL, gets the
 * address. */
CM_MUSTUSE int chat_account(struct chat_client *client, const char *uri,
                            unsigned *account_r, char addr[128], struct cm_err *err);

/* A dclogin: URI that nails every connection to one host (numeric): IMAP 993, SMTP 465.
 * host NULL: a plain one, by which the core looks up the domain's servers. Caller
 * frees. */
char *chat_login_uri(const char *addr, const char *password, const char *host);

struct chat_end {
    struct chat_client *client;
    unsigned account;
    unsigned chat; /* filled by chat_join */
};

/* The securejoin handshake: `joiner` scans `inviter`'s code. Both ends' progress 1000
 * is awaited. *ms_r: from the call to the later of the two. */
CM_MUSTUSE int chat_join(struct chat_end *inviter, struct chat_end *joiner,
                         int64_t timeout_ms, int64_t *ms_r, struct cm_err *err);

/* The joiner scans a code that came from elsewhere: its own progress 1000 is awaited.
 */
CM_MUSTUSE int chat_scan(struct chat_end *joiner, const char *code, int64_t timeout_ms,
                         int64_t *ms_r, struct cm_err *err);

/* Hands a text to the core. *sent_at_ms_r is taken before the call. The core itself
 * sends about one message per second: space measurements by more. */
CM_MUSTUSE int chat_send(const struct chat_end *from, const char *text,
                         int64_t *sent_at_ms_r, struct cm_err *err);

struct chat_message {
    int64_t at_ms; /* of the incoming-message event */
    bool encrypted;
};

/* Waits for an incoming message with exactly this text. Returns 1, 0 when it did not
 * come in time, -1 when the core is gone. One that came earlier counts. */
CM_MUSTUSE int chat_wait_text(struct chat_client *client, unsigned account,
                              const char *text, int64_t timeout_ms,
                              struct chat_message *message_r, struct cm_err *err);
/* Sends and waits: *ms_r is the time from the call to the other end's event. A message
 * that does not come in time, or comes unencrypted, is an error. */
CM_MUSTUSE int chat_deliver(const struct chat_end *from, const struct chat_end *to,
                            const char *text, int64_t timeout_ms, int64_t *ms_r,
                            struct cm_err *err);

/* Hands a file to the core, as it is seen where that runs. */
CM_MUSTUSE int chat_send_file(const struct chat_end *from, const char *path,
                              struct cm_err *err);
/* Waits for an incoming message with a file of that name; path_r: where the core keeps
 * it. Returns as chat_wait_text. */
CM_MUSTUSE int chat_wait_file(struct chat_client *client, unsigned account,
                              const char *name, int64_t timeout_ms, char path_r[512],
                              struct cm_err *err);

/* How often this text has arrived up to now. */
size_t chat_count(struct chat_client *client, unsigned account, const char *text);

/* Waits until the account is in IDLE. Returns 1, 0, -1 as chat_wait_text. An idle
 * reported since the account was made, or since the last such wait, counts. */
CM_MUSTUSE int chat_wait_idle(struct chat_client *client, unsigned account,
                              int64_t timeout_ms, struct cm_err *err);

/* Tells the core that the app was opened. */
CM_MUSTUSE int chat_maybe_network(struct chat_client *client, struct cm_err *err);

#endif
