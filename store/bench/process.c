#include "process.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/file.h"

/* The cores at the start of the program: a pin only ever narrows these. */
static const cpu_set_t *allowed(void)
{
    static cpu_set_t set;
    if (CPU_COUNT(&set) == 0) {
        cm_assert(sched_getaffinity(0, sizeof(set), &set) == 0);
    }
    return &set;
}

unsigned process_cores(void)
{
    return (unsigned)CPU_COUNT(allowed());
}

void process_pin(enum process_core core)
{
    cpu_set_t set = *allowed();
    int first = 0;
    while (!CPU_ISSET(first, &set)) {
        first++;
    }
    if (core == CORE_SERVICE) {
        CPU_ZERO(&set);
        CPU_SET(first, &set);
    } else if (core == CORE_OTHERS && CPU_COUNT(&set) > 1) {
        CPU_CLR(first, &set);
    }
    cm_assert(sched_setaffinity(0, sizeof(set), &set) == 0);
}

double process_cpu_seconds(pid_t pid)
{
    clockid_t clock;
    struct timespec ts;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0) {
        return 0;
    }
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int one_pss_mb(pid_t pid, double *mb_r, struct cm_err *err)
{
    char path[64], *text;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    int rc = cm_file_read(path, 1u << 16, &text, NULL, err);
    if (rc != 1) {
        return rc < 0 ? -1 : cm_err_set(err, CM_ERR_WORLD, "%s: it is gone", path);
    }
    const char *pss = strstr(text, "\nPss:");
    long kib = pss != NULL ? strtol(pss + 5, NULL, 10) : 0;
    free(text);
    if (kib <= 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s has no Pss", path);
    }
    *mb_r = (double)kib * 1024 / 1e6;
    return 0;
}

/* Of the main thread; none of ours starts processes from another. */
int process_pss_children_mb(pid_t pid, double *mb_r, struct cm_err *err)
{
    char path[64], *text;
    double mb, sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int rc = cm_file_read(path, 1u << 16, &text, NULL, err);
    if (rc != 1) {
        return rc < 0 ? -1 : cm_err_set(err, CM_ERR_WORLD, "%s: it is gone", path);
    }
    char *at = text;
    for (long child; rc == 1 && (child = strtol(at, &at, 10)) > 0; sum += mb) {
        rc = process_pss_mb((pid_t)child, &mb, err) == 0 ? 1 : -1;
    }
    free(text);
    *mb_r = sum;
    return rc == 1 ? 0 : -1;
}

int process_pss_mb(pid_t pid, double *mb_r, struct cm_err *err)
{
    double own, children;
    if (one_pss_mb(pid, &own, err) != 0 ||
        process_pss_children_mb(pid, &children, err) != 0) {
        return -1;
    }
    *mb_r = own + children;
    return 0;
}
