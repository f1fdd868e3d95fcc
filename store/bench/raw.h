/* raw: what our programs stand on, asked without them, to compare with. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdint.h>

#include "common/err.h"

/* Prepared look-ups of one account after the other on one connection, per second. */
CM_MUSTUSE int raw_select_rate(const char *conninfo, int64_t ms, double *rate_r,
                               struct cm_err *err);

/* SHA512-CRYPT hashes per second, in so many threads. */
CM_MUSTUSE int raw_crypt_rate(unsigned threads, int64_t ms, double *rate_r,
                              struct cm_err *err);

#endif
