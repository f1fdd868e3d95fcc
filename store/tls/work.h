/* work: the two things that chatmail-tls does.
 *
 * Both leave a pair alone that is in use and good enough, and whatever fails, the old
 * one stays in use. What was done, or would be, is appended to `said`, a sentence for
 * each thing; nothing when there was nothing to do. */
#ifndef TLS_WORK_H
#define TLS_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cert.h"
#include "place.h"

#define TLS_TEMPORARY_DAYS 90
#define TLS_SETTLE_TRIES   3 /* files that do not fit are perhaps being written */

struct tls_work {
    const struct tls_place *place;
    const struct cm_roots *roots;
    /* Tells the daemons that read the pair. */
    int (*reload)(void *ctx, struct cm_err *err);
    void *ctx;
    int64_t settle_ms; /* between tries */
};

/* Mode acme, before the daemons start: a key, unless there is one; a certificate that
 * it signs itself, unless there is one that fits; the request to the CA for key and
 * names. dry: only says what is missing. */
CM_MUSTUSE int tls_prepare(const struct tls_work *work, bool dry, struct cm_buf *said,
                           struct cm_err *err);

/* Takes what the source has into use, if it differs, and tells the daemons; also when a
 * run before was killed in between. REFUSE: the source is no good (tls_pair_judge).
 * With ACME a source that is not there is no error. dry: only says what it would take,
 * and judges it. */
CM_MUSTUSE int tls_install(const struct tls_work *work, bool dry, struct cm_buf *said,
                           struct cm_err *err);

/* Writes state.json: err is what tls_install said, NULL when it was well. */
CM_MUSTUSE int tls_report(const struct tls_work *work, const struct cm_err *problem,
                          struct cm_err *err);

#endif
