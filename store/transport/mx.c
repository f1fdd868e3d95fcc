#include "mx.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct mx *x = a, *y = b;
    if (x->preference != y->preference) {
        return x->preference < y->preference ? -1 : 1;
    }
    return strcmp(x->host, y->host);
}

static bool listed(const struct mx *list, size_t n, const char *host)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].host, host) == 0) {
            return true;
        }
    }
    return false;
}

size_t mx_sort(struct mx *list, size_t n)
{
    size_t kept = 0;
    qsort(list, n, sizeof(*list), compare);
    for (size_t i = 0; i < n && kept < MX_HOSTS_MAX; i++) {
        if (address_is_hostname(list[i].host) && !listed(list, kept, list[i].host)) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

bool mx_is_null(const struct mx *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].host, ".") != 0) {
            return false;
        }
    }
    return n > 0;
}
