/* notify: clients with NOTIFY (RFC 5465) hear of mailboxes that are not selected at
 * once, where Dovecot waits half a second (mailbox-list-index-notify.c).
 *
 * Dovecot itself sees the change without delay, and can be told to say now what it has
 * seen (mailbox_list_notify_flush). A watch of our own on the directory that holds its
 * logs says when; what follows within NOTIFY_GAP_MS is told together. */
#ifndef IDLE_NOTIFY_H
#define IDLE_NOTIFY_H

struct mail_namespace;

/* For the hook mail_namespaces_created: before it the lists have not got their index,
 * which is what knows of changes. */
void notify_namespaces_created(struct mail_namespace *namespaces);

#endif
