#include "common/metrics.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"

void cm_metric_begin(struct cm_buf *out, const char *name, enum cm_metric_type type,
                     const char *help)
{
    cm_buf_fmt(out, "# HELP %s ", name);
    for (const char *c = help; *c != '\0'; c++) {
        cm_buf_str(out, *c == '\\' ? "\\\\" : *c == '\n' ? "\\n" : (char[]){*c, '\0'});
    }
    cm_buf_fmt(out, "\n# TYPE %s %s\n", name,
               type == CM_METRIC_COUNTER ? "counter" : "gauge");
}

static void add_label(struct cm_buf *out, const char *name, const char *value)
{
    cm_buf_fmt(out, "%s=\"", name);
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            cm_buf_fmt(out, "\\%c", *c);
        } else if (*c == '\n') {
            cm_buf_str(out, "\\n");
        } else {
            cm_buf_add(out, c, 1);
        }
    }
    cm_buf_str(out, "\"");
}

/* Whole numbers without a point or exponent: they are read by people too. */
static void add_value(struct cm_buf *out, double value)
{
    if (isnan(value)) {
        cm_buf_str(out, " NaN\n");
    } else if (isinf(value)) {
        cm_buf_str(out, value > 0 ? " +Inf\n" : " -Inf\n");
    } else if (value == floor(value) && fabs(value) < 1e15) {
        cm_buf_fmt(out, " %.0f\n", value);
    } else {
        cm_buf_fmt(out, " %.9g\n", value);
    }
}

void cm_metric_sample(struct cm_buf *out, const char *name, const char *const *labels,
                      double value)
{
    cm_buf_str(out, name);
    if (labels != NULL && labels[0] != NULL) {
        for (size_t i = 0; labels[i] != NULL; i += 2) {
            cm_buf_str(out, i == 0 ? "{" : ",");
            add_label(out, labels[i], labels[i + 1]);
        }
        cm_buf_str(out, "}");
    }
    add_value(out, value);
}

void cm_metric_counter(struct cm_buf *out, const char *name, const char *help,
                       uint64_t value)
{
    cm_metric_begin(out, name, CM_METRIC_COUNTER, help);
    cm_metric_sample(out, name, NULL, (double)value);
}

void cm_metric_gauge(struct cm_buf *out, const char *name, const char *help,
                     double value)
{
    cm_metric_begin(out, name, CM_METRIC_GAUGE, help);
    cm_metric_sample(out, name, NULL, value);
}

/* This process */

static double resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL || fscanf(f, "%*u %llu", &pages) != 1) {
        pages = 0;
    }
    if (f != NULL) {
        fclose(f);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct rusage ru = {0};
    getrusage(RUSAGE_SELF, &ru);
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = 0;
    if (dir == NULL) {
        return NAN;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n - 1; /* the directory itself */
}

/* The first call is made by the service skeleton at start. */
static double start_time(void)
{
    static int64_t started_ms;
    if (started_ms == 0) {
        started_ms = cm_now_wall_ms();
    }
    return (double)started_ms / 1000.0;
}

void cm_metric_process(struct cm_buf *out, const char *program)
{
    const struct {
        const char *name;
        enum cm_metric_type type;
        const char *help;
        double value;
    } rows[] = {
        {"chatmail_process_resident_bytes", CM_METRIC_GAUGE, "Memory in use.",
         resident_bytes()},
        {"chatmail_process_cpu_seconds_total", CM_METRIC_COUNTER, "Processor time.",
         cpu_seconds()},
        {"chatmail_process_open_fds", CM_METRIC_GAUGE, "Open file descriptors.",
         open_fds()},
        {"chatmail_process_start_time_seconds", CM_METRIC_GAUGE,
         "When it was started, Unix time.", start_time()},
    };
    const char *const labels[] = {"program", program, NULL};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cm_metric_begin(out, rows[i].name, rows[i].type, rows[i].help);
        cm_metric_sample(out, rows[i].name, labels, rows[i].value);
    }
}
