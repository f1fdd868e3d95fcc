#include "limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/log.h"

static int read_load(double *load_r, struct cm_err *err)
{
    double load;
    if (getloadavg(&load, 1) != 1) {
        return cm_err_set(err, CM_ERR_RETRY, "no load average");
    }
    *load_r = load;
    return 0;
}

static int read_available(int64_t *mib_r, struct cm_err *err)
{
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL) {
        return cm_err_set(err, CM_ERR_RETRY, "/proc/meminfo: %s", strerror(errno));
    }
    char line[256];
    int64_t kib = -1;
    while (kib < 0 && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "MemAvailable: %" SCNd64 " kB", &kib) != 1) {
            kib = -1;
        }
    }
    fclose(f);
    if (kib < 0) {
        return cm_err_set(err, CM_ERR_RETRY, "/proc/meminfo has no MemAvailable");
    }
    *mib_r = kib / 1024;
    return 0;
}

static int read_free_disk(const char *path, int64_t *mib_r, struct cm_err *err)
{
    struct statvfs vfs;
    if (statvfs(path, &vfs) != 0) {
        return cm_err_set(err, CM_ERR_RETRY, "%s: %s", path, strerror(errno));
    }
    /* f_bavail: what is left for those who are not root */
    *mib_r = (int64_t)(vfs.f_bavail / 1024 * vfs.f_frsize / 1024);
    return 0;
}

const struct limits_readers limits_machine = {read_load, read_available,
                                              read_free_disk};

static void log_ignored(const char *what, const struct cm_err *why)
{
    cm_log_text(CM_LOG_WARNING, "cannot read %s, ignoring: %s", what, why->text);
}

int limits_check(const struct limits *limits, const struct limits_readers *readers,
                 struct cm_err *err)
{
    struct cm_err why;
    double load;
    if (readers->load_1m(&load, &why) != 0) {
        log_ignored("load average", &why);
    } else if (load > limits->max_load_1m) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "registration rejected: load average %.2f is above %.2f",
                          load, limits->max_load_1m);
    }
    int64_t mib;
    if (readers->available_mib(&mib, &why) != 0) {
        log_ignored("available memory", &why);
    } else if (mib < limits->min_available_memory_mib) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "registration rejected: available memory %" PRId64
                          " MiB is below %" PRId64 " MiB",
                          mib, limits->min_available_memory_mib);
    }
    if (readers->free_disk_mib(limits->mailboxes_dir, &mib, &why) != 0) {
        log_ignored("free disk space", &why);
    } else if (mib < limits->min_free_disk_mib) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "registration rejected: free disk space %" PRId64
                          " MiB is below %" PRId64 " MiB",
                          mib, limits->min_free_disk_mib);
    }
    return 0;
}
