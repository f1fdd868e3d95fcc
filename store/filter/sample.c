#include "sample.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define SUFFIX      ".eml"
#define SAMPLE_NAME 80

struct samples {
    int dir;
};

struct sample {
    struct samples *samples;
    int fd;
    size_t left;
};

int samples_open(const char *dir, struct samples **samples_r, struct cm_err *err)
{
    int fd = -1;
    if (dir[0] != '\0' && (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "--keep-rejected %s: %s", dir,
                          strerror(errno));
    }
    *samples_r = cm_calloc(1, sizeof(**samples_r));
    (*samples_r)->dir = fd;
    return 0;
}

void samples_close(struct samples **samples)
{
    if (*samples == NULL) {
        return;
    }
    if ((*samples)->dir >= 0) {
        close((*samples)->dir);
    }
    free(*samples);
    *samples = NULL;
}

/* Names begin with the time in milliseconds, in 13 digits. */
static int64_t time_of(const char *name)
{
    size_t len = strlen(name);
    if (len < 13 + sizeof(SUFFIX) || strspn(name, "0123456789") != 13 ||
        strcmp(name + len - sizeof(SUFFIX) + 1, SUFFIX) != 0) {
        return -1; /* not ours */
    }
    return strtoll(name, NULL, 10);
}

/* Visits our files; returns how many there are, and the oldest one's name. */
static size_t look_around(DIR *dir, int fd, char oldest[SAMPLE_NAME])
{
    int64_t now = cm_now_wall_ms(), least = INT64_MAX;
    size_t count = 0;
    rewinddir(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        int64_t at = time_of(e->d_name);
        if (at < 0 || strlen(e->d_name) >= SAMPLE_NAME) {
            continue;
        }
        if (now - at > SAMPLE_AGE_MS && unlinkat(fd, e->d_name, 0) == 0) {
            continue;
        }
        count++;
        if (at < least) {
            least = at;
            memcpy(oldest, e->d_name, strlen(e->d_name) + 1);
        }
    }
    return count;
}

void samples_sweep(struct samples *samples)
{
    char oldest[SAMPLE_NAME];
    int fd = samples->dir >= 0 ? openat(samples->dir, ".", O_RDONLY | O_CLOEXEC) : -1;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (unsigned i = 0; i < SAMPLES_MAX; i++) {
        if (look_around(dir, fd, oldest) <= SAMPLES_MAX) {
            break;
        }
        unlinkat(fd, oldest, 0);
    }
    closedir(dir);
}

struct sample *sample_begin(struct samples *samples)
{
    if (samples->dir < 0) {
        return NULL;
    }
    int fd = openat(samples->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        cm_log(CM_LOG_WARNING, "sample_failed", "reason", strerror(errno), NULL);
        return NULL;
    }
    struct sample *sample = cm_calloc(1, sizeof(*sample));
    sample->samples = samples;
    sample->fd = fd;
    sample->left = SAMPLE_BYTES;
    return sample;
}

void sample_add(struct sample *sample, const void *data, size_t len)
{
    if (sample == NULL) {
        return;
    }
    size_t n = len < sample->left ? len : sample->left;
    if (n > 0 && write(sample->fd, data, n) == (ssize_t)n) {
        sample->left -= n;
    } else {
        sample->left = 0; /* a full disk: what is there will do */
    }
}

void sample_header(struct sample *sample, const char *name, const char *value)
{
    sample_add(sample, name, strlen(name));
    sample_add(sample, ":", 1);
    sample_add(sample, value, strlen(value));
    sample_add(sample, "\n", 1);
}

int sample_keep(struct sample **sample, const char *why)
{
    struct sample *s = *sample;
    if (s == NULL) {
        return 0;
    }
    char from[64], name[SAMPLE_NAME];
    uint32_t salt = 0;
    (void)!getrandom(&salt, sizeof(salt), GRND_NONBLOCK);
    snprintf(from, sizeof(from), "/proc/self/fd/%d", s->fd);
    snprintf(name, sizeof(name), "%013" PRId64 "-%08" PRIx32 "-%.30s" SUFFIX,
             cm_now_wall_ms(), salt, why);
    int kept = linkat(AT_FDCWD, from, s->samples->dir, name, AT_SYMLINK_FOLLOW) == 0;
    if (!kept) {
        cm_log(CM_LOG_WARNING, "sample_failed", "reason", strerror(errno), NULL);
    }
    samples_sweep(s->samples);
    sample_drop(sample);
    return kept;
}

void sample_drop(struct sample **sample)
{
    if (*sample != NULL) {
        close((*sample)->fd);
        free(*sample);
        *sample = NULL;
    }
}
