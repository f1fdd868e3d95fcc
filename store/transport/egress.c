#include "egress.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "address.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"

#define FILE_MAX   (16u << 10)
#define WEIGHT_MAX 1000

static int parse_line(const char *line, struct egress *out, struct cm_err *err)
{
    char number[8], v4[48], v6[48], name[EGRESS_NAME_MAX], more[2];
    struct egress e = {.source = {.bound = true}};
    int64_t n, w;
    char weight[8] = "0";
    int fields =
        sscanf(line, "%7s %47s %47s %255s %7s %1s", number, v4, v6, name, weight, more);
    if (fields < 4 || fields > 5 ||
        cm_value_int(number, 1, CM_GATEWAYS_MAX, &n, err) != 0 ||
        cm_value_int(weight, 0, WEIGHT_MAX, &w, err) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "not NUMBER IPV4 IPV6 NAME WEIGHT: %s",
                          line);
    }
    e.number = (int)n;
    e.weight = (unsigned)w;
    e.source.has_v4 = inet_pton(AF_INET, v4, &e.source.v4) == 1;
    e.source.has_v6 = inet_pton(AF_INET6, v6, &e.source.v6) == 1;
    if ((!e.source.has_v4 && strcmp(v4, "-") != 0) ||
        (!e.source.has_v6 && strcmp(v6, "-") != 0)) {
        return cm_err_set(err, CM_ERR_WORLD, "not an address: %s", line);
    }
    if (strcmp(name, "-") != 0) {
        if (!address_is_hostname(name)) {
            return cm_err_set(err, CM_ERR_WORLD, "not a host name: %s", line);
        }
        memcpy(e.ehlo, name, sizeof(name));
    }
    *out = e;
    return 0;
}

int egress_parse(const char *text, size_t len, struct egress_list *out,
                 struct cm_err *err)
{
    struct egress_list list = {.count = 0};
    const char *end = text + len;
    while (text < end) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((lf != NULL ? lf : end) - text);
        char line[512];
        if (n >= sizeof(line) || list.count == CM_GATEWAYS_MAX) {
            return cm_err_set(err, CM_ERR_WORLD, "too long");
        }
        memcpy(line, text, n);
        line[n] = '\0';
        text += n + 1;
        if (strcmp(line, "direct") == 0) {
            list.items[list.count++] = (struct egress){.number = 0};
        } else if (line[0] != '\0') {
            if (parse_line(line, &list.items[list.count], err) != 0) {
                return -1;
            }
            list.count++;
        }
    }
    *out = list;
    return 0;
}

struct egress_watch {
    const char *path;
    bool required;
    bool read; /* `seen` names the file that the list came from */
    struct stat seen;
    struct egress_list list;
};

static void set_absent(struct egress_watch *w)
{
    w->read = false;
    w->list.count = w->required ? 0 : 1;
    w->list.items[0] = (struct egress){.number = 0};
}

struct egress_watch *egress_watch_new(const char *path)
{
    struct egress_watch *w = cm_calloc(1, sizeof(*w));
    w->path = path;
    set_absent(w);
    return w;
}

void egress_watch_free(struct egress_watch **watch)
{
    free(*watch);
    *watch = NULL;
}

void egress_watch_require(struct egress_watch *w, bool required)
{
    w->required = required;
    if (!w->read) {
        set_absent(w);
    }
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void read_again(struct egress_watch *w, const struct stat *st)
{
    char *text = NULL;
    size_t len;
    struct cm_err err;
    w->read = true;
    w->seen = *st;
    if (cm_file_read(w->path, FILE_MAX, &text, &len, &err) != 1 ||
        egress_parse(text, len, &w->list, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "egress_file_failed", &err);
    } else {
        char count[24];
        snprintf(count, sizeof(count), "%zu", w->list.count);
        cm_log(CM_LOG_INFO, "egress_changed", "count", count, NULL);
    }
    free(text);
}

/* A stat() per delivery: cheaper than being told, and never late. */
const struct egress_list *egress_now(struct egress_watch *w)
{
    struct stat st;
    if (w->path == NULL) {
        return &w->list;
    }
    if (stat(w->path, &st) != 0) {
        if (w->read && w->required) {
            return &w->list; /* what was well a moment ago is the best guess */
        }
        set_absent(w);
    } else if (!w->read || !same(&st, &w->seen)) {
        read_again(w, &st);
    }
    return &w->list;
}

/* FNV-1a, and a mix, so that like names fall apart. */
static uint64_t hash_of(const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *key != '\0'; key++) {
        h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
    }
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    return h ^ (h >> 33);
}

size_t egress_choose(const struct egress_list *list, int number, const char *key)
{
    uint64_t total = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].number == number) {
            return i;
        }
        total += list->items[i].weight;
    }
    if (total == 0) {
        return list->count > 0 ? 0 : SIZE_MAX;
    }
    uint64_t at = hash_of(key) % total;
    size_t i = 0;
    while (at >= list->items[i].weight) {
        at -= list->items[i++].weight;
    }
    return i;
}

size_t egress_find(const struct egress_list *list, int number)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].number == number) {
            return i;
        }
    }
    return list->count > 0 ? 0 : SIZE_MAX;
}
