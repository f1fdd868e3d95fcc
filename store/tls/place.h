/* place: where chatmail-tls finds and puts things, for one chatmail.ini. */
#ifndef TLS_PLACE_H
#define TLS_PLACE_H

#include <stddef.h>

#include "common/conf.h"

#define TLS_NAMES_MAX 3
#define TLS_ACME_CERT "/var/lib/chatmail-acme/cert.pem" /* what the CA has given */

struct tls_place {
    const struct cm_conf *conf; /* borrowed */
    char *source_cert;          /* the operator's file, or the CA's answer */
    char *source_key;           /* with ACME the key in use: it is kept */
    char *live;                 /* symbolic link to the pair that daemons read */
    char *pairs;                /* directory of what that link may name */
    char *live_cert, *live_key;
    char *request; /* to the CA: PEM, readable by all */
    char *state;   /* what was done last, JSON; see state.h */
    char *owed;    /* there while a pair is in use that daemons were not told of */
    char *names[TLS_NAMES_MAX]; /* that the certificate is for */
    size_t name_count;
};

/* root goes before every path; "" on a real store. conf is that of mode acme or
 * external, and lasts as long as the place. */
void tls_place_init(struct tls_place *place, const struct cm_conf *conf,
                    const char *root);
void tls_place_clear(struct tls_place *place);

#endif
