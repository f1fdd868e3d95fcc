#include "links.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/mem.h"

#define WORDS_MAX 24
#define ITEMS_MAX 4096
#define BATCH_MAX (1024 * 1024)

/* One thing that exists or should. Two with the same key are the same; one with the
 * same slot takes the place of the other when it is put ("replace"). */
struct item {
    unsigned scope;
    char slot[320];
    char key[320];
    char line[400]; /* wanted: makes it; had: removes it */
};

struct items {
    struct item *v;
    size_t n;
};

struct words {
    char text[256];
    char *v[WORDS_MAX];
    size_t n;
};

static struct item *item_new(struct items *items)
{
    if (items->n == ITEMS_MAX) {
        return NULL;
    }
    if ((items->n & (items->n - 1)) == 0) {
        size_t cap = items->n == 0 ? 1 : items->n * 2;
        items->v = cm_realloc_array(items->v, cap, sizeof(*items->v));
    }
    struct item *it = &items->v[items->n++];
    memset(it, 0, sizeof(*it));
    return it;
}

static bool has_key(const struct items *items, const char *key)
{
    for (size_t i = 0; i < items->n; i++) {
        if (strcmp(items->v[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_slot(const struct items *items, const char *slot)
{
    for (size_t i = 0; i < items->n; i++) {
        if (strcmp(items->v[i].slot, slot) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- forms that both sides are brought into ---- */

struct route {
    int table;
    int metric;
    bool unreachable;
    const char *dev;
    const char *src;
};

static unsigned table_scope(int table)
{
    if (table == 200) {
        return PX_LINKS_EGRESS;
    }
    return table >= 101 && table <= 132 ? PX_LINKS_ROUTES : 0;
}

static void route_form(struct item *it, const struct route *r)
{
    it->scope = table_scope(r->table);
    snprintf(it->slot, sizeof(it->slot), "route %d %d", r->table, r->metric);
    if (r->unreachable) {
        snprintf(it->key, sizeof(it->key), "%.64s unreachable", it->slot);
    } else {
        snprintf(it->key, sizeof(it->key), "%.64s dev %.32s src %.64s", it->slot,
                 r->dev, r->src);
    }
}

struct rule {
    int pref;
    const char *from;
    const char *ipproto;
    int dport;
    unsigned long fwmark;
    int suppress; /* -1: none */
    const char *lookup;
};

static bool pref_ours(int pref)
{
    return (pref >= 1001 && pref <= 1032) || pref == 1900 || pref == 1950 ||
           pref == 2000;
}

static void rule_form(struct item *it, const struct rule *r)
{
    char dport[32] = "", mark[32] = "", suppress[80] = "";
    if (r->dport > 0) {
        snprintf(dport, sizeof(dport), " dport %d", r->dport);
    }
    if (r->fwmark != 0) {
        snprintf(mark, sizeof(mark), " fwmark 0x%lx", r->fwmark);
    }
    if (r->suppress >= 0) {
        snprintf(suppress, sizeof(suppress), " suppress_prefixlength %d", r->suppress);
    }
    it->scope = PX_LINKS_ROUTES;
    snprintf(it->key, sizeof(it->key), "pref %d from %.50s%s%.16s%s%s lookup %.32s%s",
             r->pref, r->from, r->ipproto != NULL ? " ipproto " : "",
             r->ipproto != NULL ? r->ipproto : "", dport, mark, r->lookup, suppress);
    memcpy(it->slot, it->key, sizeof(it->slot));
}

static void address_form(struct item *it, const char *dev, const char *address,
                         int bits)
{
    it->scope = PX_LINKS_ADDRESSES;
    snprintf(it->key, sizeof(it->key), "addr %.64s/%d dev %.32s", address, bits, dev);
    memcpy(it->slot, it->key, sizeof(it->slot));
}

static void link_form(struct item *it, const char *dev, int mtu, bool up)
{
    it->scope = PX_LINKS_ADDRESSES;
    snprintf(it->key, sizeof(it->key), "link %.32s mtu %d %s", dev, mtu,
             up ? "up" : "down");
    snprintf(it->slot, sizeof(it->slot), "link %.32s", dev);
}

/* ---- what is wanted: the text of plane.h ---- */

static void split(struct words *w, const char *line, size_t len)
{
    snprintf(w->text, sizeof(w->text), "%.*s", (int)len, line);
    w->n = 0;
    char *save = NULL;
    for (char *p = strtok_r(w->text, " ", &save); p != NULL && w->n < WORDS_MAX;
         p = strtok_r(NULL, " ", &save)) {
        w->v[w->n++] = p;
    }
}

static const char *after(const struct words *w, const char *word, const char *otherwise)
{
    for (size_t i = 0; i + 1 < w->n; i++) {
        if (strcmp(w->v[i], word) == 0) {
            return w->v[i + 1];
        }
    }
    return otherwise;
}

static int number_after(const struct words *w, const char *word, int otherwise)
{
    const char *text = after(w, word, NULL);
    return text != NULL ? (int)strtol(text, NULL, 10) : otherwise;
}

static bool want_link(const struct words *w, struct item *it)
{
    link_form(it, after(w, "dev", ""), number_after(w, "mtu", 0), true);
    return true;
}

static bool want_addr(const struct words *w, struct item *it)
{
    char address[64];
    snprintf(address, sizeof(address), "%s", w->n > 2 ? w->v[2] : "");
    char *slash = strchr(address, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = 0;
    address_form(it, after(w, "dev", ""), address, (int)strtol(slash + 1, NULL, 10));
    return true;
}

static bool want_route(const struct words *w, struct item *it)
{
    struct route r = {number_after(w, "table", 0), number_after(w, "metric", 0),
                      w->n > 2 && strcmp(w->v[2], "unreachable") == 0,
                      after(w, "dev", ""), after(w, "src", "")};
    route_form(it, &r);
    return it->scope != 0;
}

static bool want_rule(const struct words *w, struct item *it)
{
    struct rule r = {number_after(w, "pref", 0),
                     after(w, "from", "all"),
                     after(w, "ipproto", NULL),
                     number_after(w, "dport", 0),
                     strtoul(after(w, "fwmark", "0"), NULL, 0),
                     number_after(w, "suppress_prefixlength", -1),
                     after(w, "lookup", "")};
    rule_form(it, &r);
    return pref_ours(r.pref);
}

static const struct {
    const char *word;
    bool (*read)(const struct words *w, struct item *it);
} wanted[] = {
    {"link", want_link},
    {"addr", want_addr},
    {"route", want_route},
    {"rule", want_rule},
};

static bool want_line(struct items *want, const char *line, size_t len)
{
    struct words w;
    split(&w, line, len);
    struct item *it = w.n > 0 && len < sizeof(it->line) ? item_new(want) : NULL;
    if (it == NULL) {
        return false;
    }
    memcpy(it->line, line, len);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strcmp(w.v[0], wanted[i].word) == 0) {
            return wanted[i].read(&w, it);
        }
    }
    return false;
}

static int read_wanted(const char *text, int v6, struct items *want, struct cm_err *err)
{
    for (const char *line = text; *line != 0;) {
        const char *end = strchrnul(line, '\n');
        bool line6 = strncmp(line, "-6 ", 3) == 0;
        const char *body = line6 ? line + 3 : line;
        if (end > body && line6 == (v6 != 0) &&
            !want_line(want, body, (size_t)(end - body))) {
            return cm_err_set(err, CM_ERR_REFUSE, "line not understood: %.*s",
                              (int)(end - line), line);
        }
        line = *end != 0 ? end + 1 : end;
    }
    return 0;
}

/* ---- what is there: the answers of ip ---- */

static const char *text_of(const json_t *o, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(o, key);
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

static int int_of(const json_t *o, const char *key, int otherwise)
{
    const json_t *value = json_object_get(o, key);
    return json_is_integer(value) ? (int)json_integer_value(value) : otherwise;
}

/* Whether the wanted text names an address or link of that interface. */
static bool names_dev(const struct items *want, const char *dev)
{
    for (size_t i = 0; i < want->n; i++) {
        struct words w;
        split(&w, want->v[i].line, strlen(want->v[i].line));
        if (strcmp(after(&w, "dev", ""), dev) == 0) {
            return true;
        }
    }
    return false;
}

static bool flag_up(const json_t *link)
{
    size_t i;
    json_t *flag;
    json_array_foreach(json_object_get(link, "flags"), i, flag)
    {
        if (json_is_string(flag) && strcmp(json_string_value(flag), "UP") == 0) {
            return true;
        }
    }
    return false;
}

static void have_address(const json_t *address, const char *dev, int v6,
                         struct items *have)
{
    bool is6 = strcmp(text_of(address, "family", ""), "inet6") == 0;
    const char *local = text_of(address, "local", NULL);
    if (is6 != (v6 != 0) || local == NULL ||
        strcmp(text_of(address, "scope", ""), "link") == 0) {
        return;
    }
    struct item *it = item_new(have);
    if (it != NULL) {
        address_form(it, dev, local, int_of(address, "prefixlen", 0));
        snprintf(it->line, sizeof(it->line), "addr del %.64s/%d dev %.32s", local,
                 int_of(address, "prefixlen", 0), dev);
    }
}

static void have_link(const json_t *link, const struct items *want, int v6,
                      struct items *have)
{
    const char *dev = text_of(link, "ifname", "");
    struct item *it = names_dev(want, dev) ? item_new(have) : NULL;
    if (it == NULL) {
        return;
    }
    /* No line: a link is never removed from here. */
    link_form(it, dev, int_of(link, "mtu", 0), flag_up(link));
    size_t i;
    json_t *address;
    json_array_foreach(json_object_get(link, "addr_info"), i, address)
    {
        have_address(address, dev, v6, have);
    }
}

static void have_rule(const json_t *json, struct items *have)
{
    /* Asked with -N: a name in rt_tables would hide the number of a table. */
    const char *table = text_of(json, "table", "");
    const char *proto = text_of(json, "ipproto", NULL);
    struct rule r = {int_of(json, "priority", 0),
                     text_of(json, "src", "all"),
                     proto != NULL && strcmp(proto, "ipproto-6") == 0 ? "tcp" : proto,
                     int_of(json, "dport", 0),
                     strtoul(text_of(json, "fwmark", "0"), NULL, 0),
                     int_of(json, "suppress_prefixlen", -1),
                     strcmp(table, "254") == 0 ? "main" : table};
    struct item *it = pref_ours(r.pref) ? item_new(have) : NULL;
    if (it != NULL) {
        rule_form(it, &r);
        snprintf(it->line, sizeof(it->line), "rule del %s", it->key);
    }
}

static void have_route(const json_t *json, struct items *have)
{
    int table = (int)strtol(text_of(json, "table", "0"), NULL, 10);
    if (table_scope(table) == 0) {
        return;
    }
    const char *type = text_of(json, "type", "");
    bool unreachable = strcmp(type, "unreachable") == 0 || strcmp(type, "7") == 0;
    const char *dst = text_of(json, "dst", "");
    struct route r = {table, int_of(json, "metric", 0), unreachable,
                      text_of(json, "dev", ""), text_of(json, "prefsrc", "")};
    struct item *it = item_new(have);
    if (it == NULL) {
        return;
    }
    route_form(it, &r);
    if (strcmp(dst, "default") != 0) {
        snprintf(it->slot, sizeof(it->slot), "route %d to %.40s", table, dst);
        memcpy(it->key, it->slot, sizeof(it->key));
    }
    snprintf(it->line, sizeof(it->line), "route del %s%.64s%s%.32s table %d%s%d",
             unreachable ? "unreachable " : "", dst,
             unreachable || r.dev[0] == 0 ? "" : " dev ", unreachable ? "" : r.dev,
             table, " metric ", r.metric);
}

static int open_list(const char *what, const char *text, json_t **list_r,
                     struct cm_err *err)
{
    json_error_t why;
    /* Without any rule or route of a family ip prints nothing at all. */
    json_t *list = *text == 0 ? json_array() : json_loads(text, 0, &why);
    if (!json_is_array(list)) {
        json_decref(list);
        return cm_err_set(err, CM_ERR_WORLD, "cannot read the answer of \"ip -j %s\"",
                          what);
    }
    *list_r = list;
    return 0;
}

static int read_have(const struct px_links_have *texts, int v6,
                     const struct items *want, struct items *have, json_t **links_r,
                     struct cm_err *err)
{
    json_t *rules = NULL, *routes = NULL, *item;
    size_t i;
    if (open_list("addr", texts->addr, links_r, err) != 0) {
        return -1;
    }
    int rc = open_list("rule", texts->rule, &rules, err) ||
                     open_list("route", texts->route, &routes, err)
                 ? -1
                 : 0;
    if (rc == 0) {
        json_array_foreach(*links_r, i, item)
        {
            have_link(item, want, v6, have);
        }
        json_array_foreach(rules, i, item)
        {
            have_rule(item, have);
        }
        json_array_foreach(routes, i, item)
        {
            have_route(item, have);
        }
    }
    json_decref(rules);
    json_decref(routes);
    return rc;
}

/* ---- the difference ---- */

static bool dev_there(const json_t *links, const char *line)
{
    struct words w;
    split(&w, line, strlen(line));
    const char *dev = after(&w, "dev", NULL);
    size_t i;
    json_t *link;
    json_array_foreach(links, i, link)
    {
        if (dev != NULL && strcmp(text_of(link, "ifname", ""), dev) == 0) {
            return true;
        }
    }
    return dev == NULL;
}

static char *difference(const struct items *want, const struct items *have,
                        const json_t *links, unsigned scope)
{
    struct cm_buf out;
    cm_buf_init(&out, BATCH_MAX);
    for (size_t i = 0; i < want->n; i++) {
        const struct item *it = &want->v[i];
        if ((it->scope & scope) != 0 && !has_key(have, it->key) &&
            dev_there(links, it->line)) {
            cm_buf_fmt(&out, "%s\n", it->line);
        }
    }
    for (size_t i = 0; i < have->n; i++) {
        const struct item *it = &have->v[i];
        if ((it->scope & scope) != 0 && it->line[0] != 0 && !has_key(want, it->key) &&
            !has_slot(want, it->slot)) {
            cm_buf_fmt(&out, "%s\n", it->line);
        }
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

int px_links_diff(const char *want_text, const struct px_links_have *have_texts, int v6,
                  unsigned scope, char **batch_r, struct cm_err *err)
{
    struct items want = {0}, have = {0};
    json_t *links = NULL;
    int rc = -1;
    if (read_wanted(want_text, v6, &want, err) == 0 &&
        read_have(have_texts, v6, &want, &have, &links, err) == 0) {
        *batch_r = difference(&want, &have, links, scope);
        rc = 0;
    }
    json_decref(links);
    free(want.v);
    free(have.v);
    return rc;
}
