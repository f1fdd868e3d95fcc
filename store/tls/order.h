/* order: one run of chatmail-acme: is a certificate due, may the CA be asked now, ask,
 * and put the answer where chatmail-tls takes it from.
 *
 * In DIR: ca-NAME/ one for each CA, with the account's key (0600), the request and the
 * answer; challenge/ what nginx serves; cert.pem the answer; account (ops/acme.h);
 * state.json {"at": seconds, "problem": "..."}; failed, whose time is that of the last
 * refusal, and which holds the addresses that the names had then, one a line. */
#ifndef TLS_ORDER_H
#define TLS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"

#define ORDER_TRIES 4 /* in one run: the CA may have met a gateway that just died */
/* No try begins later than that: chatops waits for 8 minutes (ops/acme.c), and one try
 * takes at most UACME_MS. */
#define ORDER_TRY_MS 240000
/* After a refusal the timer's runs leave the CA alone for so long, or until the names
 * have other addresses: Let's Encrypt takes 5 failed validations of a name in an hour.
 */
#define ORDER_REST_S 3000

struct order {
    const struct cm_conf *conf;
    const char *dir;     /* "/var/lib/chatmail-acme" */
    const char *request; /* PEM file that chatmail-tls made */
    const char *uacme;   /* program */
    const char *hook;    /* program */
    int64_t pause_ms;    /* after the first try; then twice, then thrice that */
};

/* 0 all is well, 1 not now (err says why: no address yet, resting), -1. In every case
 * state.json says the same. */
CM_MUSTUSE int order_run(const struct order *order, struct cm_err *err);

/* Is it worth to ask once more at once after this problem of the CA ("" for none of
 * it)? Pure. */
bool order_again(const char *type);

/* "acme-v02.api.letsencrypt.org-directory" of a URL; for a file name. Caller frees. */
char *order_ca_name(const char *url);

#endif
