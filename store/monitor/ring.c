#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define MAGIC "portico ring 1\n"

struct row {
    int64_t step; /* time divided by the tier's seconds; 0: empty */
    float values[RING_SERIES];
};

/* The file is this, as it lies in memory. */
struct image {
    char magic[16];
    char names[RING_SERIES][RING_NAME];
    struct row day[RING_DAY];
    struct row month[RING_MONTH];
};

struct ring {
    struct image image;
    int fd;                   /* -1: in memory only */
    double sums[RING_SERIES]; /* of the minute under way */
    unsigned counts[RING_SERIES];
    int64_t minute;
};

static void start_anew(struct ring *r)
{
    memset(&r->image, 0, sizeof(r->image));
    memcpy(r->image.magic, MAGIC, sizeof(MAGIC));
}

static bool is_good(const struct image *im)
{
    if (memcmp(im->magic, MAGIC, sizeof(MAGIC)) != 0) {
        return false;
    }
    for (size_t i = 0; i < RING_SERIES; i++) {
        if (memchr(im->names[i], '\0', RING_NAME) == NULL) {
            return false;
        }
    }
    return true;
}

static int write_at(const struct ring *r, const void *from, size_t len,
                    struct cm_err *err)
{
    off_t at = (off_t)((const char *)from - (const char *)&r->image);

    if (r->fd >= 0 && pwrite(r->fd, from, len, at) != (ssize_t)len) {
        return cm_err_set(err, CM_ERR_RETRY, "ring file: %s", strerror(errno));
    }
    return 0;
}

static void load(struct ring *r, struct cm_err *err)
{
    ssize_t n = pread(r->fd, &r->image, sizeof(r->image), 0);
    struct stat st;

    if (n == (ssize_t)sizeof(r->image) && is_good(&r->image) &&
        fstat(r->fd, &st) == 0 && st.st_size == (off_t)sizeof(r->image)) {
        return;
    }
    if (n > 0) {
        (void)cm_err_set(err, CM_ERR_WORLD, "the ring file is not ours; started anew");
    }
    start_anew(r);
    if (ftruncate(r->fd, 0) != 0 ||
        write_at(r, &r->image, sizeof(r->image), err) != 0) {
        (void)cm_err_set(err, CM_ERR_RETRY, "the ring file cannot be written: %s",
                         strerror(errno));
    }
}

struct ring *ring_open(const char *path, struct cm_err *err)
{
    struct ring *r = cm_calloc(1, sizeof(*r));

    *err = (struct cm_err){.text = ""};
    r->fd =
        path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (r->fd >= 0) {
        load(r, err);
    } else {
        start_anew(r);
        if (path != NULL) {
            (void)cm_err_set(err, CM_ERR_WORLD, "%s: %s; kept in memory only", path,
                             strerror(errno));
        }
    }
    return r;
}

void ring_close(struct ring **ringp)
{
    struct ring *r = *ringp;

    if (r == NULL) {
        return;
    }
    if (r->fd >= 0) {
        (void)!fsync(r->fd);
        close(r->fd);
    }
    free(r);
    *ringp = NULL;
}

/* ---- series ---- */

static size_t find(const struct ring *r, const char *name)
{
    size_t i = 0;

    while (i < RING_SERIES && strcmp(r->image.names[i], name) != 0) {
        i++;
    }
    return i;
}

static struct row *rows_of(struct ring *r, enum ring_tier tier, size_t *n_r)
{
    *n_r = tier == RING_TIER_DAY ? RING_DAY : RING_MONTH;
    return tier == RING_TIER_DAY ? r->image.day : r->image.month;
}

/* Rows that lie a whole round back are as good as gone. */
static bool has_figures(struct ring *r, size_t series, int64_t now_s)
{
    for (int tier = 0; tier < 2; tier++) {
        size_t n;
        const struct row *rows = rows_of(r, (enum ring_tier)tier, &n);
        int64_t now = now_s / (tier == 0 ? RING_DAY_S : RING_MONTH_S);
        for (size_t i = 0; i < n; i++) {
            if (rows[i].step > now - (int64_t)n && !isnan(rows[i].values[series])) {
                return true;
            }
        }
    }
    return false;
}

static void empty_series(struct ring *r, size_t series)
{
    for (int tier = 0; tier < 2; tier++) {
        size_t n;
        struct row *rows = rows_of(r, (enum ring_tier)tier, &n);
        for (size_t i = 0; i < n; i++) {
            rows[i].values[series] = NAN;
        }
    }
    r->sums[series] = 0;
    r->counts[series] = 0;
}

/* RING_SERIES when there is no place. */
static size_t find_or_add(struct ring *r, const char *name, int64_t now_s,
                          struct cm_err *err)
{
    size_t at = find(r, name);

    if (at < RING_SERIES || name[0] == '\0') {
        return name[0] != '\0' ? at : RING_SERIES;
    }
    at = find(r, "");
    for (size_t i = 0; at == RING_SERIES && i < RING_SERIES; i++) {
        at = has_figures(r, i, now_s) ? at : i;
    }
    if (at == RING_SERIES) {
        return at;
    }
    empty_series(r, at);
    memset(r->image.names[at], 0, RING_NAME);
    memcpy(r->image.names[at], name, strnlen(name, RING_NAME - 1));
    /* All of it: the rows of the one before must not come back. */
    if (write_at(r, &r->image, sizeof(r->image), err) != 0) {
        r->image.names[at][0] = '\0';
        return RING_SERIES;
    }
    return at;
}

/* ---- writing ---- */

static struct row *row_at(struct ring *r, enum ring_tier tier, int64_t step)
{
    size_t n;
    struct row *rows = rows_of(r, tier, &n), *row = &rows[(size_t)(step % (int64_t)n)];

    if (row->step != step) {
        row->step = step;
        for (size_t i = 0; i < RING_SERIES; i++) {
            row->values[i] = NAN;
        }
    }
    return row;
}

/* The mean of the hour's minutes so far. */
static struct row *fill_hour(struct ring *r, int64_t now_s)
{
    int64_t hour = now_s / RING_MONTH_S, first = hour * (RING_MONTH_S / RING_DAY_S);
    struct row *row = row_at(r, RING_TIER_MONTH, hour);

    for (size_t s = 0; s < RING_SERIES; s++) {
        double sum = 0;
        unsigned count = 0;
        for (int64_t m = first; m < first + RING_MONTH_S / RING_DAY_S; m++) {
            const struct row *minute = &r->image.day[m % RING_DAY];
            if (minute->step == m && !isnan(minute->values[s])) {
                sum += (double)minute->values[s];
                count++;
            }
        }
        row->values[s] = count > 0 ? (float)(sum / count) : NAN;
    }
    return row;
}

static int64_t newest(const struct ring *r)
{
    int64_t step = 0;

    for (size_t i = 0; i < RING_DAY; i++) {
        step = r->image.day[i].step > step ? r->image.day[i].step : step;
    }
    return step;
}

int ring_add(struct ring *r, int64_t now_s, const struct ring_sample *samples,
             size_t count, struct cm_err *err)
{
    int64_t minute = now_s / RING_DAY_S, last = newest(r);

    /* A clock that was far ahead once must not silence us for ever. */
    if (minute < last && minute > last - RING_DAY) {
        return 0;
    }
    if (minute < last) {
        start_anew(r);
        r->minute = 0;
        if (write_at(r, &r->image, sizeof(r->image), err) != 0) {
            return -1;
        }
    }
    if (minute != r->minute) {
        memset(r->sums, 0, sizeof(r->sums));
        memset(r->counts, 0, sizeof(r->counts));
        r->minute = minute;
    }
    struct row *row = row_at(r, RING_TIER_DAY, minute);
    for (size_t i = 0; i < count; i++) {
        size_t s = find_or_add(r, samples[i].name, now_s, err);
        if (s < RING_SERIES) {
            r->sums[s] += samples[i].value;
            row->values[s] = (float)(r->sums[s] / ++r->counts[s]);
        }
    }
    const struct row *hour = fill_hour(r, now_s);
    return write_at(r, row, sizeof(*row), err) != 0 ||
                   write_at(r, hour, sizeof(*hour), err) != 0
               ? -1
               : 0;
}

/* ---- reading ---- */

size_t ring_read(const struct ring *r, const char *name, enum ring_tier tier,
                 int64_t now_s, float out[RING_POINTS])
{
    size_t s = find(r, name), n = tier == RING_TIER_DAY ? RING_DAY : RING_MONTH;
    const struct row *rows = tier == RING_TIER_DAY ? r->image.day : r->image.month;
    int64_t now = now_s / (tier == RING_TIER_DAY ? RING_DAY_S : RING_MONTH_S);

    if (s == RING_SERIES || name[0] == '\0' || now < (int64_t)n) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t step = now - (int64_t)n + 1 + (int64_t)i;
        const struct row *row = &rows[(size_t)(step % (int64_t)n)];
        out[i] = row->step == step ? row->values[s] : NAN;
    }
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t ring_names(const struct ring *r, const char *prefix,
                  const char *names[RING_SERIES], size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < RING_SERIES && n < max; i++) {
        const char *name = r->image.names[i];
        if (name[0] != '\0' && strncmp(name, prefix, strlen(prefix)) == 0) {
            names[n++] = name;
        }
    }
    qsort(names, n, sizeof(names[0]), by_name);
    return n;
}
