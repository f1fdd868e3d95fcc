/* world: the Internet that chatmail-transport sees in tests, all on loopback: a
 * resolver with made-up zones, and mail servers with moods, each on an address of its
 * own (127.0.0.N) and the same two ports.
 *
 * Servers are threads of the test program. Anything unexpected ends it with a text.
 * Moods may be changed between two messages. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define WORLD_MAILS_MAX   4096
#define WORLD_RECORDS_MAX 512

struct world_mail {
    bool https;
    int peer; /* N of 127.0.0.N */
    char from[128];
    char to[512];   /* with a blank behind each */
    char ehlo[128]; /* SMTP: what the client calls itself, the last time */
    char *body;     /* in transmitted form, without the final dot line */
    size_t len;
};

/* Opens the resolver, makes certificates. ca_path: written there as PEM. */
void world_open(const char *ca_path);
void world_close(void);
int world_dns_port(void);
int world_https_port(void);
int world_smtp_port(void);

/* data: "10 mx.example" (MX), "127.0.0.5" (A), "::1" (AAAA), text (TXT). */
void world_record(const char *name, const char *type, const char *data);
enum world_dns { WORLD_DNS_WELL, WORLD_DNS_SILENT, WORLD_DNS_FAILS, WORLD_DNS_CUT };
/* CUT: UDP answers are truncated, TCP has them whole. drop: so many are not answered
 * first. */
void world_dns_mood(enum world_dns mood, int drop);
size_t world_dns_asked(const char *name);

enum world_then {
    WORLD_CLOSES,       /* behind the reply to the last one */
    WORLD_SAYS_421,     /* to RSET, and closes */
    WORLD_REFUSES_MAIL, /* 450 */
    WORLD_SLEEPS,       /* no reply to anything */
    WORLD_CUTS_BODY,    /* of the next one */
    WORLD_CUTS_FINAL    /* has taken the next one, and closes without a reply */
};

struct world_mood {
    /* HTTPS; 0: nobody listens, the connection is refused. */
    int https_status;
    const char *policy; /* what GET gives; NULL: 404 */
    int https_delay_ms;
    /* SMTP */
    bool smtp;
    bool no_starttls, no_pipelining;
    const char *greeting; /* NULL: 220 */
    const char *mail;     /* reply to MAIL; NULL: 250 */
    const char *refused;  /* RCPT of an address with this text in it is refused with: */
    const char *rcpt;
    const char *data;   /* NULL: 354 */
    const char *final_; /* NULL: 250 */
    bool hang_up;       /* behind the final dot, without a reply */
    bool silent;        /* behind the final dot, for 30 s */
    int messages; /* that a connection carries before it does this; 0: no end to them */
    enum world_then then;
    int turn_ms; /* it takes so long over each thing it waits for */
    bool no_tickets;
    /* Both */
    const char *name; /* in the certificate; NULL: "peerN.example" */
    bool untrusted;   /* the certificate is nobody's */
    bool mute;        /* takes connections and never speaks; both ports */
    bool at_v6;       /* at ::1 instead; one such peer at a time */
};

/* Starts a peer at 127.0.0.N, or gives it another mood; mood is copied, its texts must
 * live on. */
void world_peer(int n, const struct world_mood *mood);
/* An address where connections are neither taken nor refused, on both ports. */
void world_black_hole(int n);
size_t world_connections(int n, bool https); /* that were taken there */
size_t world_resumed(int n);                 /* SMTP: of those, with a ticket */
size_t world_quits(int n);                   /* SMTP: that were said there */
size_t world_busiest(int n); /* messages under way there at once, at most, until now */
bool world_has_v6(void);     /* ::1 can be listened at */

size_t world_mails(void);
/* The i-th that was taken (answered 2xx, or hung up on). */
const struct world_mail *world_mail(size_t i);
void world_forget(void);

/* Private to the world. */
void world_tls_make_ca(const char *ca_path);
SSL_CTX *world_tls_server(const char *name, bool untrusted);
void world_dns_start(void);
void world_dns_stop(void);
void world_keep(const struct world_mail *mail);
void world_must(bool ok, const char *what);

#endif
