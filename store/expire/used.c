#include "used.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define DAY INT64_C(86400)

int64_t used_day(int base, const char *mailbox, int64_t now)
{
    char path[300];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/cur", mailbox);
    if (n < 0 || (size_t)n >= sizeof(path) ||
        fstatat(base, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) {
        return 0;
    }
    int64_t t = st.st_mtim.tv_sec < now ? (int64_t)st.st_mtim.tv_sec : now;
    return t > 0 ? t / DAY * DAY : 0;
}
