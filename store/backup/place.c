#include "place.h"

#include <stdlib.h>
#include <string.h>

const char *const place_trees[] = {"etc/chatmail",         "etc/dkimkeys",
                                   "var/lib/acme",         "var/lib/chatmail-acme",
                                   "var/lib/chatmail-tls", NULL};

/* What chatops run writes there anyway, or nobody needs again. */
static const char *const left_out[] = {"etc/chatmail/chatmail.ini", "etc/chatmail/turn",
                                       "var/lib/chatmail-acme/challenge", NULL};

int place_open(struct place *p, const char *config, struct cm_err *err)
{
    return cm_conf_load(config, &p->conf, err);
}

void place_close(struct place *p)
{
    cm_conf_clear(&p->conf);
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool is_any(const char *path, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (is_below(path, *list)) {
            return true;
        }
    }
    return false;
}

bool place_in_tree(const char *path)
{
    return is_any(path, place_trees);
}

bool place_holds(const struct place *p, const char *path)
{
    if (is_any(path, left_out)) {
        return false;
    }
    return place_in_tree(path) || strcmp(path, p->conf.tls_cert + 1) == 0 ||
           strcmp(path, p->conf.tls_key + 1) == 0;
}
