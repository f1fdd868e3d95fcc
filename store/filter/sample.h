/* sample: rejected messages, kept only when the operator asks for it, to find out why a
 * program's mail is refused. Files of mode 0600 in a directory that is the operator's
 * to make private; any thread.
 *
 * A message is written while it passes into a file without a name, which gets one when
 * the message is rejected and is gone otherwise. Limits: SAMPLE_BYTES of each message,
 * SAMPLES_MAX files (the oldest go), SAMPLE_AGE_MS. */
#ifndef FILTER_SAMPLE_H
#define FILTER_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define SAMPLE_BYTES  (256u << 10)
#define SAMPLES_MAX   200
#define SAMPLE_AGE_MS (24 * 3600 * 1000)

struct samples; /* the directory */
struct sample;  /* a message under way */

/* dir "": nothing is ever kept. */
CM_MUSTUSE int samples_open(const char *dir, struct samples **samples_r,
                            struct cm_err *err);
void samples_close(struct samples **samples);
/* Removes what is too old or too many. Called for each file kept, too. */
void samples_sweep(struct samples *samples);

/* NULL when nothing is kept; then the others do nothing. */
struct sample *sample_begin(struct samples *samples);
void sample_header(struct sample *sample, const char *name, const char *value);
void sample_add(struct sample *sample, const void *data, size_t len);
/* why: a word, part of the name. Returns whether it was kept. */
int sample_keep(struct sample **sample, const char *why);
void sample_drop(struct sample **sample);

#endif
