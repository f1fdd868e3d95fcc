/* seen: which client address a daemon wrote into its log for one probe.
 *
 * A probe carries a token that no one else uses: a login name (Dovecot's login line),
 * an EHLO name (Postfix's "NOQUEUE: reject"), a path (nginx's access log). */
#ifndef PROBE_SEEN_H
#define PROBE_SEEN_H

#define SEEN_ADDRESS 46

/* Looks in `log` (lines as of "journalctl -o cat") for the line with the token and the
 * address in it. Returns 1 found, 0 not. */
int seen_address(const char *log, const char *token, char out[SEEN_ADDRESS]);

/* Every distinct address of Postfix's "connect from" lines, blank-separated, into out.
 */
void seen_connects(const char *log, char *out, unsigned size);
/* Appends to those in out the client addresses of nginx lines (our log_format) with a
 * POST to a path, such as "/mxdeliv". */
void seen_posts(const char *log, const char *path, char *out, unsigned size);

#endif
