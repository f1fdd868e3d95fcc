#include "page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pick.h"
#include "plot.h"

static const struct {
    const char *title;
    const char *series; /* "NAME" or, for a line for each, "NAME:" */
    enum plot_unit unit;
    const char *note; /* what stands below; NULL: none */
} plots[] = {
    {"Connections", "flows:", PLOT_COUNT, "flows through each gateway"},
    {"Traffic", "traffic:", PLOT_BYTES_S, "through each tunnel, both ways"},
    {"Latency", "latency:", PLOT_SECONDS,
     "the slowest check of each gateway, from inside and outside"},
    {"Mail", "mail", PLOT_PER_MINUTE, "messages judged by the filter, per minute"},
    {"Queue", "queue", PLOT_COUNT, "messages in Postfix's queue"},
    {"Oldest in the queue", "queue-age", PLOT_SECONDS, NULL},
    {"Push", "push", PLOT_COUNT, "notifications that wait"},
    {"Oldest notification", "push-age", PLOT_SECONDS, NULL},
    {"Push sent", "push-sent", PLOT_PER_MINUTE, "requests per minute"},
    {"Accounts", "accounts:", PLOT_COUNT, "counted once a day"},
    {"Disk", "disk:", PLOT_RATIO, "in use"},
};

#define PLOTS (sizeof(plots) / sizeof(plots[0]))

/* ---- what is now ---- */

static void put_time(struct cm_buf *out, int64_t at_s)
{
    time_t t = (time_t)at_s;
    char text[40];
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    cm_buf_str(out, text);
}

struct find {
    const char *label;
    double value;
};

static void take_if(const char *label, double value, void *ctx)
{
    struct find *f = ctx;

    if (strcmp(label, f->label) == 0) {
        f->value = value;
    }
}

static float value_of(const struct page_facts *f, const char *family, const char *name)
{
    struct find find = {.label = name, .value = NAN};

    pick_each(f->metrics, family, "gateway", take_if, &find);
    return (float)find.value;
}

struct rows {
    const struct page_facts *facts;
    struct cm_buf *out;
    unsigned count, bad;
};

static void put_cell(struct cm_buf *out, float value, enum plot_unit unit)
{
    char text[24];

    plot_figure(value, unit, text);
    cm_buf_fmt(out, "<td>%s</td>", text);
}

static void put_gateway(const char *name, double up, void *ctx)
{
    struct rows *r = ctx;
    const struct page_facts *f = r->facts;
    bool impaired = value_of(f, "chatmail_gateway_impaired", name) > 0;
    const char *state = up < 1 ? "down" : impaired ? "impaired" : "up";
    bool carries = value_of(f, "chatmail_gateway_egress", name) > 0;

    cm_buf_str(r->out, "<tr><th scope=\"row\">");
    plot_text(r->out, name);
    cm_buf_fmt(r->out, "</th><td class=\"%s\">%s</td>",
               up < 1 || impaired ? "bad" : "ok", state);
    put_cell(r->out, value_of(f, "chatmail_gateway_flows", name), PLOT_COUNT);
    put_cell(r->out, value_of(f, "chatmail_gateway_report_age_seconds", name),
             PLOT_SECONDS);
    put_cell(r->out, value_of(f, "chatmail_gateway_handshake_age_seconds", name),
             PLOT_SECONDS);
    cm_buf_fmt(r->out, "<td>%s</td></tr>\n", carries ? "yes" : "no");
    r->count++;
}

static void put_program(const char *name, double up, void *ctx)
{
    struct rows *r = ctx;

    r->count++;
    if (up < 1) {
        cm_buf_str(r->out, r->bad++ > 0 ? ", " : "<p class=\"bad\">Silent: ");
        plot_text(r->out, name);
    }
}

static void put_now(const struct page_facts *f, struct cm_buf *out)
{
    struct rows gateways = {.facts = f, .out = out}, programs = gateways;

    cm_buf_str(out, "<section id=\"now\"><h2>Now</h2>\n");
    if (f->metrics == NULL) {
        cm_buf_str(out, "<p>Nothing was measured yet.</p>");
    } else {
        cm_buf_str(out,
                   "<div class=\"wide\"><table><thead><tr><th scope=\"col\">Gateway"
                   "</th><th scope=\"col\">State</th><th scope=\"col\">Flows</th>"
                   "<th scope=\"col\">Report</th><th scope=\"col\">Handshake</th>"
                   "<th scope=\"col\">Mail leaves</th></tr></thead><tbody>\n");
        pick_each(f->metrics, "chatmail_gateway_up", "gateway", put_gateway, &gateways);
        cm_buf_str(out,
                   gateways.count == 0
                       ? "<tr><td colspan=\"6\">none</td></tr></tbody></table></div>"
                       : "</tbody></table></div>\n");
        pick_each(f->metrics, "chatmail_up", "program", put_program, &programs);
        if (programs.bad == 0) {
            cm_buf_fmt(out, "<p class=\"ok\">All %u programs of the store answer.</p>",
                       programs.count);
        } else {
            cm_buf_str(out, ".</p>");
        }
    }
    cm_buf_str(out, "</section>\n");
}

/* ---- plots ---- */

static float points[PLOT_LINES][RING_POINTS];

static void gather(const struct page_facts *f, size_t which, enum ring_tier tier,
                   struct plot *p)
{
    const char *series = plots[which].series, *names[RING_SERIES];
    size_t len = strlen(series), n = 1;
    bool many = series[len - 1] == ':';

    names[0] = series;
    if (many) {
        n = ring_names(f->ring, series, names, RING_SERIES);
    }
    for (size_t i = 0; i < n && p->line_count < PLOT_LINES; i++) {
        size_t got =
            ring_read(f->ring, names[i], tier, f->now_s, points[p->line_count]);
        if (got > 0) {
            p->point_count = got;
            p->lines[p->line_count] = (struct plot_line){
                .name = many ? names[i] + len : "", .points = points[p->line_count]};
            p->line_count++;
        }
    }
}

static void put_legend(const struct plot *p, struct cm_buf *out)
{
    char now[24];

    cm_buf_str(out, "<ul>");
    for (size_t i = 0; i < p->line_count; i++) {
        float last = NAN;
        for (size_t k = p->point_count; k > 0 && isnan(last); k--) {
            last = p->lines[i].points[k - 1];
        }
        plot_figure(last, p->unit, now);
        cm_buf_fmt(out, "<li class=\"c%zu\">", i);
        plot_text(out, p->lines[i].name);
        cm_buf_fmt(out, "%s<b>%s</b></li>", p->lines[i].name[0] != '\0' ? " " : "",
                   now);
    }
    cm_buf_str(out, "</ul>");
}

static void put_plot(const struct page_facts *f, size_t which, enum ring_tier tier,
                     struct cm_buf *out)
{
    struct plot p = {.title = plots[which].title,
                     .span = tier == RING_TIER_DAY ? "24 h" : "31 d",
                     .unit = plots[which].unit};

    gather(f, which, tier, &p);
    cm_buf_str(out, "<figure><figcaption><h3>");
    plot_text(out, p.title);
    cm_buf_str(out, "</h3>");
    put_legend(&p, out);
    cm_buf_str(out, "</figcaption>");
    if (p.line_count > 0) {
        plot_svg(&p, out);
    } else {
        cm_buf_str(out, "<p>no figures yet</p>");
    }
    if (plots[which].note != NULL) {
        cm_buf_str(out, "<p class=\"note\">");
        plot_text(out, plots[which].note);
        cm_buf_str(out, "</p>");
    }
    cm_buf_str(out, "</figure>\n");
}

static void put_plots(const struct page_facts *f, enum ring_tier tier,
                      struct cm_buf *out)
{
    cm_buf_str(out, tier == RING_TIER_DAY
                        ? "<section id=\"day\"><h2>Last day</h2><div class=\"plots\">\n"
                        : "<section id=\"month\"><h2>Last month</h2>"
                          "<div class=\"plots\">\n");
    for (size_t i = 0; i < PLOTS; i++) {
        put_plot(f, i, tier, out);
    }
    cm_buf_str(out, "</div></section>\n");
}

void page_live(const struct page_facts *f, struct cm_buf *out)
{
    cm_buf_str(out, "<p id=\"when\">");
    if (f->metrics != NULL) {
        cm_buf_str(out, "Measured ");
        put_time(out, f->metrics_s);
    }
    if (f->trouble[0] != '\0') {
        cm_buf_str(out, " <span class=\"bad\">No figures from chatmail-web: ");
        plot_text(out, f->trouble);
        cm_buf_str(out, "</span>");
    }
    cm_buf_str(out, "</p>\n");
    put_now(f, out);
    put_plots(f, RING_TIER_DAY, out);
    put_plots(f, RING_TIER_MONTH, out);
}

void page_html(const struct page_facts *f, struct cm_buf *out)
{
    cm_buf_str(out,
               "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, "
               "initial-scale=1\">\n"
               "<meta name=\"color-scheme\" content=\"light dark\">\n"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
               "'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
               "img-src data:\">\n"
               "<link rel=\"icon\" href=\"data:,\">\n"
               "<link rel=\"stylesheet\" href=\"page.css\">\n"
               "<script src=\"page.js\" defer></script>\n"
               "<noscript><meta http-equiv=\"refresh\" content=\"60\"></noscript>\n"
               "<title>");
    plot_text(out, f->domain);
    cm_buf_str(out, ": status</title></head><body>\n"
                    "<header><h1>");
    plot_text(out, f->domain);
    cm_buf_str(out, "</h1><nav aria-label=\"Parts\"><a href=\"#now\">Now</a> "
                    "<a href=\"#day\">Day</a> <a href=\"#month\">Month</a></nav>"
                    "<p id=\"state\" role=\"status\"></p></header>\n"
                    "<main id=\"live\">\n");
    page_live(f, out);
    cm_buf_str(out, "</main></body></html>\n");
}
