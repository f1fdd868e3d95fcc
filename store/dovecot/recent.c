#include "recent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define TRY_MS 5

struct entry {
    int64_t at_s; /* 0: free */
    unsigned char digest[RECENT_DIGEST];
};

_Static_assert(sizeof(struct entry) * RECENT_KEPT == RECENT_FILE, "no padding");

static int open_file(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

static bool lock(int fd)
{
    const struct timespec pause = {.tv_nsec = TRY_MS * 1000000L};
    for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; ms += TRY_MS) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || ms >= RECENT_LOCK_MS) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

/* From the future, as after a clock that went back, is as good as old. */
static bool fresh(const struct entry *e, int64_t now_s)
{
    return e->at_s > now_s - RECENT_DAY_S && e->at_s <= now_s + RECENT_DAY_S;
}

bool recent_begin(struct recent *r, const char *path,
                  const unsigned char digest[RECENT_DIGEST], int64_t now_s)
{
    struct entry entries[RECENT_KEPT] = {0};
    *r = (struct recent){.path = path, .now_s = now_s};
    memcpy(r->digest, digest, RECENT_DIGEST);
    r->fd = open_file(path);
    if (r->fd == -1) {
        return false;
    }
    if (!lock(r->fd) || pread(r->fd, entries, sizeof(entries), 0) < 0) {
        close(r->fd);
        r->fd = -1;
        return false;
    }
    for (uint32_t i = 0; i < RECENT_KEPT; i++) {
        const struct entry *e = &entries[i], *slot = &entries[r->slot];
        if (fresh(e, now_s) && memcmp(e->digest, digest, RECENT_DIGEST) == 0) {
            return true;
        }
        if (fresh(slot, now_s) && (!fresh(e, now_s) || e->at_s < slot->at_s)) {
            r->slot = i;
        }
    }
    return false;
}

void recent_end(struct recent *r, bool delivered)
{
    struct entry e = {.at_s = r->now_s};
    if (r->fd == -1 && delivered) { /* the first delivery made the directory */
        r->fd = open_file(r->path);
    }
    if (r->fd == -1) {
        return;
    }
    memcpy(e.digest, r->digest, RECENT_DIGEST);
    if (delivered) { /* what is not written here is only forgotten */
        (void)!pwrite(r->fd, &e, sizeof(e), (off_t)(r->slot * sizeof(e)));
    }
    close(r->fd);
    r->fd = -1;
}
