/* clockshift: a wall clock that can be moved, for programs of a lab node.
 *
 * Named in LD_PRELOAD. Adds to the wall clock what stands in CLOCKSHIFT_FILE:
 * seconds, as 8 bytes of this machine's order; whoever writes the file moves the clock
 * of every program at once. The monotonic clock and the times of files stay. Nothing is
 * moved in a program that cannot read the file when it starts. */
#include <fcntl.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CLOCKSHIFT_FILE "/var/lib/clockshift"

static const volatile int64_t *shift;

__attribute__((constructor)) static void begin(void)
{
    int fd = open(CLOCKSHIFT_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *page = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) {
        shift = page;
    }
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && shift != NULL &&
        (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ts->tv_sec += *shift;
    }
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    if (rc == 0) {
        tv->tv_sec = ts.tv_sec;
        tv->tv_usec = ts.tv_nsec / 1000;
    }
    return rc;
}

time_t time(time_t *out)
{
    struct timespec ts;
    time_t now = clock_gettime(CLOCK_REALTIME, &ts) == 0 ? ts.tv_sec : (time_t)-1;
    if (out != NULL) {
        *out = now;
    }
    return now;
}
