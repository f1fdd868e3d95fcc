/* doorbell: tells chatmail-push that an address has a new message, and loses none.
 *
 * Used by chatmail-metadata and, compiled in, by the Dovecot plugin: plain C library
 * only, no event loop, nothing of common/ but this file.
 *
 * The bell is a unix stream socket of chatmail-push, held by systemd: one connection
 * says one address and LF, and is answered "+\n" once the push is on record (in Redis,
 * or in push's own spool). When no answer comes within the limit, for whatever reason,
 * the address is left as an empty file of that name in the bell's directory; push takes
 * it from there. At worst a phone is woken twice. */
#ifndef CM_DOORBELL_H
#define CM_DOORBELL_H

#define CM_DOORBELL_SOCKET   "/run/chatmail-push/bell.sock"
#define CM_DOORBELL_DIR      "/var/spool/chatmail-push"
#define CM_DOORBELL_LIMIT_MS 200
#define CM_DOORBELL_ADDR_MAX 254 /* a longer address, or one with '/', is refused */

enum cm_doorbell_result {
    CM_DOORBELL_TOLD,    /* push has it on record */
    CM_DOORBELL_LEFT,    /* a file waits for push */
    CM_DOORBELL_NOBODY,  /* there is no directory: no push service on this machine */
    CM_DOORBELL_REFUSED, /* not an address that may be a file name */
    CM_DOORBELL_FAILED   /* errno says why no file could be made */
};

/* Blocks for at most limit_ms (0: leaves a file at once). */
enum cm_doorbell_result cm_doorbell_ring(const char *socket_path, const char *dir,
                                         const char *addr, int limit_ms);

/* The account is gone: push drops what it has queued for it ("-ADDR\n" on the same
 * socket). 0 when push has answered so or there is no push service on this machine, -1
 * with errno when it could not be told; then say it again later. */
int cm_doorbell_forget(const char *socket_path, const char *dir, const char *addr,
                       int limit_ms);

#endif
