/* metrics: Prometheus text (exposition format 0.0.4), written line by line.
 *
 * A program keeps its counters as plain numbers of its own and writes them here when
 * asked. Pure; the caller owns the buffer. A family's lines stand together: begin it
 * once, then one sample per label set. */
#ifndef CM_METRICS_H
#define CM_METRICS_H

#include <stdint.h>

#include "common/buf.h"

#define CM_METRICS_MAX (1u << 20) /* bytes one program may answer */

enum cm_metric_type { CM_METRIC_COUNTER, CM_METRIC_GAUGE };

/* name: chatmail_PROGRAM_WHAT_UNIT, counters end in _total, durations in _seconds.
 * help: one line. */
void cm_metric_begin(struct cm_buf *out, const char *name, enum cm_metric_type type,
                     const char *help);

/* labels: NULL, or pairs of name and value ended by NULL; values are escaped here. */
void cm_metric_sample(struct cm_buf *out, const char *name, const char *const *labels,
                      double value);

/* A family with one sample without labels. */
void cm_metric_counter(struct cm_buf *out, const char *name, const char *help,
                       uint64_t value);
void cm_metric_gauge(struct cm_buf *out, const char *name, const char *help,
                     double value);

/* This process: chatmail_process_resident_bytes, _cpu_seconds_total, _open_fds,
 * _start_time_seconds, each with label program. */
void cm_metric_process(struct cm_buf *out, const char *program);

#endif
