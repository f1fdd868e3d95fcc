/* people: groups, members on paper, and who has read what. Beside chat.h, with its
 * rules. */
#ifndef CHAT_PEOPLE_H
#define CHAT_PEOPLE_H

#include "chat.h"

/* A key and a vCard for that address, without ever connecting to anything: for members
 * whose mailbox exists and who have no client. Caller frees the vCard. */
CM_MUSTUSE int chat_paper_member(struct chat_client *client, const char *addr,
                                 char **vcard_r, struct cm_err *err);

/* A new group, of which nobody is told yet. group_r->chat is it, the rest is owner's.
 */
CM_MUSTUSE int chat_group(const struct chat_end *owner, const char *name,
                          struct chat_end *group_r, struct cm_err *err);
/* Adds who is on the vCard. */
CM_MUSTUSE int chat_add_card(const struct chat_end *group, const char *vcard,
                             struct cm_err *err);
/* Adds the other one of a chat of two. */
CM_MUSTUSE int chat_add_partner(const struct chat_end *group,
                                const struct chat_end *pair, struct cm_err *err);
/* The handshake by the group's code; joiner->chat becomes the group. */
CM_MUSTUSE int chat_join_group(struct chat_end *group, struct chat_end *joiner,
                               int64_t timeout_ms, int64_t *ms_r, struct cm_err *err);
/* How many are in the chat, oneself included. */
CM_MUSTUSE int chat_members(const struct chat_end *chat, size_t *count_r,
                            struct cm_err *err);

/* Hands a text to the core, and says as which message it goes. */
CM_MUSTUSE int chat_write(const struct chat_end *from, const char *text,
                          unsigned *message_r, struct cm_err *err);
/* A picture under a text. The core gives it another name on the way. */
CM_MUSTUSE int chat_send_image(const struct chat_end *from, const char *path,
                               const char *text, struct cm_err *err);
/* As chat_wait_file(), for the file that comes with this text. */
CM_MUSTUSE int chat_wait_file_under(struct chat_client *client, unsigned account,
                                    const char *text, int64_t timeout_ms,
                                    char path_r[512], struct cm_err *err);

/* The app shows the message with this text, which has come: its chat is accepted and
 * the sender told. */
CM_MUSTUSE int chat_read(struct chat_client *client, unsigned account, const char *text,
                         struct cm_err *err);
/* Waits until `readers` have told that they read the message, and it is in the state of
 * a read one. Returns 1, 0 when not in time, -1. *count_r: how many have. */
CM_MUSTUSE int chat_wait_readers(const struct chat_end *from, unsigned message,
                                 size_t readers, int64_t timeout_ms, size_t *count_r,
                                 struct cm_err *err);

#endif
