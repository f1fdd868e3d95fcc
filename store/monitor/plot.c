#include "plot.h"

#include <math.h>
#include <stdio.h>

#define WIDTH  360
#define HEIGHT 100
#define TOP    6 /* of the highest point */

void plot_text(struct cm_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            cm_buf_str(out, "&amp;");
            break;
        case '<':
            cm_buf_str(out, "&lt;");
            break;
        case '>':
            cm_buf_str(out, "&gt;");
            break;
        case '"':
            cm_buf_str(out, "&quot;");
            break;
        default:
            cm_buf_add(out, text, 1);
        }
    }
}

static void scaled(double v, const char *const units[4], char out[24])
{
    int i = 0;

    while (v >= 1000 && i < 3) {
        v /= 1000;
        i++;
    }
    snprintf(out, 24, v < 10 && v != floor(v) ? "%.1f%s" : "%.0f%s", v, units[i]);
}

void plot_figure(float value, enum plot_unit unit, char out[24])
{
    static const char *const counts[] = {"", " k", " M", " G"};
    static const char *const bytes[] = {" B/s", " kB/s", " MB/s", " GB/s"};
    double v = (double)value;

    if (isnan(v)) {
        snprintf(out, 24, "-");
    } else if (unit == PLOT_RATIO) {
        snprintf(out, 24, "%.0f %%", v * 100);
    } else if (unit == PLOT_SECONDS) {
        snprintf(out, 24, v < 1 ? "%.0f ms" : "%.1f s", v < 1 ? v * 1000 : v);
    } else if (unit == PLOT_BYTES_S) {
        scaled(v, bytes, out);
    } else {
        scaled(unit == PLOT_PER_MINUTE ? v * 60 : v, counts, out);
    }
}

struct range {
    float least, most, last;
};

static struct range range_of(const struct plot_line *line, size_t n)
{
    struct range r = {NAN, NAN, n > 0 ? line->points[n - 1] : NAN};

    for (size_t i = 0; i < n; i++) {
        r.least = fminf(r.least, line->points[i]);
        r.most = fmaxf(r.most, line->points[i]);
        r.last = isnan(line->points[i]) ? r.last : line->points[i];
    }
    return r;
}

static float top_of(const struct plot *p)
{
    float top = 0;

    for (size_t i = 0; i < p->line_count; i++) {
        top = fmaxf(top, range_of(&p->lines[i], p->point_count).most);
    }
    if (p->unit == PLOT_RATIO) {
        return 1;
    }
    return top > 0 ? top : 1;
}

/* "flows, last 24 h: edge1 now 12, least 0, most 40; ..." */
static void put_words(const struct plot *p, struct cm_buf *out)
{
    char now[24], least[24], most[24];

    plot_text(out, p->title);
    cm_buf_fmt(out, ", last %s:", p->span);
    for (size_t i = 0; i < p->line_count; i++) {
        struct range r = range_of(&p->lines[i], p->point_count);
        plot_figure(r.last, p->unit, now);
        plot_figure(r.least, p->unit, least);
        plot_figure(r.most, p->unit, most);
        cm_buf_fmt(out, "%s ", i > 0 ? ";" : "");
        plot_text(out, p->lines[i].name);
        cm_buf_fmt(out, "%snow %s, least %s, most %s",
                   p->lines[i].name[0] != '\0' ? " " : "", now, least, most);
    }
}

/* More points than the plot is wide become the highest of their column: a peak of a
 * minute must be seen. */
static void put_line(const struct plot *p, size_t which, float top, struct cm_buf *out)
{
    size_t n = p->point_count, columns = n < WIDTH ? n : WIDTH;
    bool drawing = false;

    cm_buf_fmt(out, "<path class=\"c%zu\" d=\"", which);
    for (size_t c = 0; c < columns; c++) {
        float most = NAN;
        for (size_t i = c * n / columns; i < (c + 1) * n / columns; i++) {
            most = fmaxf(most, p->lines[which].points[i]);
        }
        if (!isnan(most)) {
            double y = HEIGHT - 1 - (double)(most / top) * (HEIGHT - 1 - TOP);
            cm_buf_fmt(out, "%c%.1f %.1f", drawing ? 'L' : 'M',
                       (double)(c + 1) * WIDTH / (double)columns, y);
            if (!drawing) {
                cm_buf_str(out, "h.1"); /* a point of its own is seen too */
            }
        }
        drawing = !isnan(most);
    }
    cm_buf_str(out, "\"/>");
}

void plot_svg(const struct plot *p, struct cm_buf *out)
{
    float top = top_of(p);
    char most[24];

    plot_figure(top, p->unit, most);
    cm_buf_fmt(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH,
               HEIGHT);
    put_words(p, out);
    cm_buf_fmt(out, "\"><path class=\"grid\" d=\"M0 %dH%dM0 %dH%dM0 %dH%d\"/>", TOP,
               WIDTH, (HEIGHT - 1 + TOP) / 2, WIDTH, HEIGHT - 1, WIDTH);
    for (size_t i = 0; i < p->line_count; i++) {
        put_line(p, i, top, out);
    }
    cm_buf_fmt(out,
               "<text x=\"2\" y=\"%d\">%s</text><text x=\"2\" y=\"%d\">-%s</text>"
               "</svg>",
               TOP + 11, most, HEIGHT - 4, p->span);
}
