#include "sources.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/mem.h"

struct row {
    uint64_t net; /* meaningful while open > 0 */
    unsigned open;
    bool v6;
};

struct sources {
    struct row *rows;
    size_t mask; /* rows - 1, a power of two minus one */
    size_t used;
    unsigned per;
    uint64_t seed; /* so that nobody can choose where he lands */
};

struct sources *sources_new(size_t max, unsigned per)
{
    struct sources *sources = cm_calloc(1, sizeof(*sources));
    size_t rows = 64;

    while (rows < 2 * max) {
        rows *= 2;
    }
    sources->rows = cm_calloc(rows, sizeof(*sources->rows));
    sources->mask = rows - 1;
    sources->per = per;
    cm_assert(getrandom(&sources->seed, sizeof(sources->seed), 0) ==
              sizeof(sources->seed));
    return sources;
}

void sources_free(struct sources **sources)
{
    if (*sources != NULL) {
        free((*sources)->rows);
        free(*sources);
        *sources = NULL;
    }
}

void sources_limit(struct sources *sources, unsigned per)
{
    sources->per = per;
}

static struct row key_of(const struct sockaddr_storage *client)
{
    struct row key = {.v6 = client->ss_family == AF_INET6};

    if (key.v6) {
        memcpy(&key.net, &((const struct sockaddr_in6 *)client)->sin6_addr, 8);
    } else {
        memcpy(&key.net, &((const struct sockaddr_in *)client)->sin_addr, 4);
    }
    return key;
}

/* splitmix64's finish */
static size_t home(const struct sources *sources, const struct row *key)
{
    uint64_t x = key->net ^ sources->seed ^ (key->v6 ? 0x9e3779b97f4a7c15u : 0);

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (size_t)(x ^ x >> 31) & sources->mask;
}

/* Its row, or the free one where it belongs. Half the rows are always free. */
static struct row *find(const struct sources *sources, const struct row *key)
{
    size_t i = home(sources, key);

    while (sources->rows[i].open > 0 &&
           (sources->rows[i].net != key->net || sources->rows[i].v6 != key->v6)) {
        i = (i + 1) & sources->mask;
    }
    return &sources->rows[i];
}

bool sources_take(struct sources *sources, const struct sockaddr_storage *client)
{
    struct row key = key_of(client);
    struct row *row = find(sources, &key);

    if (row->open >= sources->per ||
        (row->open == 0 && sources->used * 2 > sources->mask)) {
        return false;
    }
    if (row->open == 0) {
        *row = key;
        sources->used++;
    }
    row->open++;
    return true;
}

/* What stood behind the freed row moves up, so that no search stops too early. */
static void close_gap(struct sources *sources, size_t gap)
{
    for (size_t i = (gap + 1) & sources->mask; sources->rows[i].open > 0;
         i = (i + 1) & sources->mask) {
        size_t want = home(sources, &sources->rows[i]);
        if (((i - want) & sources->mask) >= ((i - gap) & sources->mask)) {
            sources->rows[gap] = sources->rows[i];
            sources->rows[i].open = 0;
            gap = i;
        }
    }
}

void sources_give(struct sources *sources, const struct sockaddr_storage *client)
{
    struct row key = key_of(client);
    struct row *row = find(sources, &key);

    cm_assert(row->open > 0);
    if (--row->open == 0) {
        sources->used--;
        close_gap(sources, (size_t)(row - sources->rows));
    }
}

size_t sources_count(const struct sources *sources)
{
    return sources->used;
}
