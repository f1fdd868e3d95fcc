#include "boot.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/ini.h"

#define CONF_MAX (64 * 1024)

enum type { NAME, NUMBER, PORT, KEY };

static const struct setting {
    const char *key;
    enum type type;
    size_t offset;
    const char *allowed;
} settings[] = {
    {"name", NAME, offsetof(struct gw_boot, name), "a-z 0-9 -, at most 32"},
    {"number", NUMBER, offsetof(struct gw_boot, number), "1 to 32"},
    {"wg_port", PORT, offsetof(struct gw_boot, wg_port), "1 to 65535"},
    {"bus_port", PORT, offsetof(struct gw_boot, bus_port), "1 to 65533"},
    {"cluster_key", KEY, offsetof(struct gw_boot, cluster_key),
     "44 characters of base64"},
    {"store_wg_key", KEY, offsetof(struct gw_boot, store_wg_key),
     "44 characters of base64"},
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static int put_int(const char *value, int64_t max, int *out, struct cm_err *err)
{
    int64_t n;
    if (cm_value_int(value, 1, max, &n, err) != 0) {
        return -1;
    }
    *out = (int)n;
    return 0;
}

static int put_text(const char *value, const char *letters, size_t min, size_t max,
                    char *out, struct cm_err *err)
{
    size_t len = strlen(value);
    if (len < min || len > max || strspn(value, letters) != len) {
        return cm_err_set(err, CM_ERR_WORLD, "\"%s\" is not understood", value);
    }
    memcpy(out, value, len + 1);
    return 0;
}

static int put(const struct setting *s, const char *value, struct gw_boot *boot,
               struct cm_err *err)
{
    char *field = (char *)boot + s->offset;
    switch (s->type) {
    case NAME:
        return put_text(value, "abcdefghijklmnopqrstuvwxyz0123456789-", 1, 32, field,
                        err);
    case KEY:
        return put_text(value,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789+/=",
                        44, 44, field, err);
    case NUMBER:
        return put_int(value, CM_GATEWAYS_MAX, (int *)(void *)field, err);
    case PORT:
        return put_int(value, strcmp(s->key, "bus_port") == 0 ? 65533 : 65535,
                       (int *)(void *)field, err);
    }
    return -1;
}

static const struct setting *find(const struct cm_ini_item *item)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(item->section, "gateway") == 0 &&
            strcmp(item->key, settings[i].key) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static int read_items(const char *file, const struct cm_ini *ini, struct gw_boot *boot,
                      struct cm_err *err)
{
    bool given[SETTINGS] = {false};
    for (size_t i = 0; i < ini->count; i++) {
        const struct cm_ini_item *item = &ini->items[i];
        const struct setting *s = find(item);
        if (s == NULL) {
            return cm_err_set(err, CM_ERR_WORLD, "%s:%u: [%s] %s: unknown", file,
                              item->line, item->section, item->key);
        }
        if (put(s, item->value, boot, err) != 0) {
            cm_err_prefix(err, "%s:%u: [gateway] %s", file, item->line, s->key);
            size_t used = strlen(err->text);
            snprintf(err->text + used, sizeof(err->text) - used, "; allowed: %s",
                     s->allowed);
            err->kind = CM_ERR_WORLD;
            return -1;
        }
        given[s - settings] = true;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        if (!given[i]) {
            return cm_err_set(err, CM_ERR_WORLD, "%s: [gateway] %s: missing", file,
                              settings[i].key);
        }
    }
    return 0;
}

int gw_boot_parse(const char *file, const char *text, size_t len,
                  struct gw_boot *boot_r, struct cm_err *err)
{
    struct cm_ini ini;
    struct gw_boot boot = {0};
    if (cm_ini_parse(file, text, len, &ini, err) != 0) {
        return -1;
    }
    int rc = read_items(file, &ini, &boot, err);
    cm_ini_clear(&ini);
    if (rc == 0) {
        *boot_r = boot;
    }
    return rc;
}

int gw_boot_load(const char *path, struct gw_boot *boot_r, struct cm_err *err)
{
    char *text = NULL;
    size_t len;
    int rc = cm_file_read(path, CONF_MAX, &text, &len, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s is not there; \"chatops run\" on the operator's machine "
                          "writes it",
                          path);
    }
    if (rc < 0) {
        return -1;
    }
    rc = gw_boot_parse(path, text, len, boot_r, err);
    free(text);
    return rc;
}

void gw_boot_state(const struct gw_boot *boot, struct px_state *state_r)
{
    memset(state_r, 0, sizeof(*state_r));
    state_r->bus_port = boot->bus_port;
    state_r->ports[0] = 25;
    state_r->port_count = 1;
    state_r->egress = CM_EGRESS_DIRECT;
    state_r->gateway_count = 1;
    memcpy(state_r->store_wg_public_key, boot->store_wg_key, PX_WG_KEY_TEXT);
    struct px_gateway *gw = &state_r->gateways[0];
    memcpy(gw->name, boot->name, sizeof(gw->name));
    gw->number = boot->number;
    gw->wg_port = boot->wg_port;
    gw->mode = CM_MODE_OFF;
}
