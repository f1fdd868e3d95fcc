/* plot: lines over time as a small SVG, for reading without a script. Pure.
 *
 * Colours are classes (c0 to c5) of the page's style, so that dark and light are one
 * text. The SVG's own label says in words what it shows. */
#ifndef MONITOR_PLOT_H
#define MONITOR_PLOT_H

#include <stddef.h>

#include "common/buf.h"

#define PLOT_LINES 6

enum plot_unit { PLOT_COUNT, PLOT_PER_MINUTE, PLOT_BYTES_S, PLOT_SECONDS, PLOT_RATIO };

struct plot_line {
    const char *name;    /* "" where there is one line only */
    const float *points; /* NAN: nothing known */
};

struct plot {
    const char *title;
    const char *span; /* "24 h" */
    enum plot_unit unit;
    struct plot_line lines[PLOT_LINES];
    size_t line_count;
    size_t point_count;
};

void plot_svg(const struct plot *plot, struct cm_buf *out);
/* "1.2 MB/s", "340 ms", "12"; "-" for NAN. */
void plot_figure(float value, enum plot_unit unit, char out[24]);
/* Text for HTML: escapes & < > and quotes. */
void plot_text(struct cm_buf *out, const char *text);

#endif
