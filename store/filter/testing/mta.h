/* mta: Postfix' side of the milter protocol (version 6), for tests that speak to a real
 * chatmail-filter. Blocking; anything unexpected ends the test program with a text. */
#ifndef FILTER_TESTING_MTA_H
#define FILTER_TESTING_MTA_H

#include <stdbool.h>
#include <stddef.h>

#define MTA_CHANGES_MAX  4096
#define MTA_INSERTED_MAX 4096

struct mta {
    int fd;
    bool skip_body; /* the filter wants no more of this one */
    /* Of the last message: what the filter asked for, one a line: "from <>", "rcpt-
     * <a@b>", "header Subject 1  [...]" (NULL: "-"), "insert DKIM-Signature 1". */
    char changes[MTA_CHANGES_MAX];
    char inserted[MTA_INSERTED_MAX]; /* the value of the field that was inserted */
    /* Of the last event: "continue", "accept", "discard", "tempfail", "reject", "lost"
     * (the connection is gone), or the reply: "523 Encryption ...". */
    char answer[1024];
};

/* Connects and negotiates. */
void mta_open(struct mta *m, const char *path);
void mta_close(struct mta *m);

/* login NULL: no macro. */
void mta_mail(struct mta *m, const char *from, const char *login);
/* Returns m->answer. resolved NULL: as `to`. Both without brackets. */
const char *mta_rcpt(struct mta *m, const char *to, const char *resolved);
/* CRLF text: header fields, body in chunks of 65535, end. Returns m->answer. */
const char *mta_data(struct mta *m, const char *text, size_t len);
/* The same in steps: the header, some of the body, the end. */
void mta_header(struct mta *m, const char *text, size_t *body_at_r);
bool mta_body(struct mta *m, const char *data, size_t len); /* false: gone, or skip */
const char *mta_end(struct mta *m);
void mta_abort(struct mta *m);

/* MAIL, one RCPT, and the data when that was accepted. Returns m->answer. */
const char *mta_send(struct mta *m, const char *from, const char *login, const char *to,
                     const char *text);

#endif
