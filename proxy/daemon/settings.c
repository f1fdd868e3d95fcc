#include "settings.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/ini.h"

#define FILE_MAX (64u << 10)

typedef int parse_fn(const char *text, struct settings *settings, struct cm_err *err);

static int bad(struct cm_err *err, const char *allowed)
{
    return cm_err_set(err, CM_ERR_WORLD, "allowed: %s", allowed);
}

static bool to_address(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        out->ss_family = AF_INET;
        return true;
    }
    out->ss_family = AF_INET6;
    return inet_pton(AF_INET6, text, &in6->sin6_addr) == 1;
}

static int parse_listen(const char *text, struct settings *s, struct cm_err *err)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(text, words, CM_ADDRESSES_MAX);

    for (size_t i = 0; i < n; i++) {
        if (!to_address(words[i], &s->listen[i])) {
            return bad(err, "up to 8 numeric addresses");
        }
    }
    s->listen_count = n;
    return n > 0 ? 0 : bad(err, "up to 8 numeric addresses");
}

static int parse_ports(const char *text, struct settings *s, struct cm_err *err)
{
    char words[SETTINGS_PORTS_MAX][64];
    size_t n = cm_conf_words(text, words, SETTINGS_PORTS_MAX);
    int64_t port;

    for (size_t i = 0; i < n; i++) {
        if (cm_value_int(words[i], 1, 65535 - SETTINGS_HEADER_PORTS, &port, err) != 0) {
            return -1;
        }
        s->ports[i] = (uint16_t)port;
    }
    s->port_count = n;
    return n > 0 ? 0 : bad(err, "up to 16 ports");
}

static int parse_store4(const char *text, struct settings *s, struct cm_err *err)
{
    s->has_store4 = inet_pton(AF_INET, text, &s->store4) == 1;
    return s->has_store4 ? 0 : bad(err, "an IPv4 address");
}

static int parse_store6(const char *text, struct settings *s, struct cm_err *err)
{
    s->has_store6 = inet_pton(AF_INET6, text, &s->store6) == 1;
    return s->has_store6 ? 0 : bad(err, "an IPv6 address");
}

static int parse_source(const char *text, struct settings *s, struct cm_err *err)
{
    s->transparent = strcmp(text, "transparent") == 0;
    return s->transparent || strcmp(text, "header") == 0
               ? 0
               : bad(err, "transparent or header");
}

static int parse_connections(const char *text, struct settings *s, struct cm_err *err)
{
    return cm_value_int(text, 1, SETTINGS_CONNECTIONS_MAX, &s->connections, err);
}

static int parse_per_source(const char *text, struct settings *s, struct cm_err *err)
{
    return cm_value_int(text, 1, SETTINGS_CONNECTIONS_MAX, &s->per_source, err);
}

static int parse_leave(const char *text, struct settings *s, struct cm_err *err)
{
    s->leave = strcmp(text, "yes") == 0;
    return s->leave ? 0 : bad(err, "yes");
}

static int parse_mode(const char *text, struct settings *s, struct cm_err *err)
{
    return cm_mode_parse(text, &s->mode, err);
}

static const struct {
    const char *key;
    parse_fn *parse;
    bool required;
} keys[] = {{"listen", parse_listen, true},
            {"ports", parse_ports, true},
            {"store4", parse_store4, true}, /* the pulse is felt there */
            {"store6", parse_store6, false},
            {"source", parse_source, false},
            {"connections", parse_connections, false},
            {"per_source", parse_per_source, false},
            {"mode", parse_mode, false},
            {"leave", parse_leave, false}};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static int take(const char *name, const struct cm_ini *ini, struct settings *s,
                struct cm_err *err)
{
    for (size_t i = 0; i < KEYS; i++) {
        const struct cm_ini_item *item = cm_ini_find(ini, "proxy", keys[i].key);
        if (item == NULL && keys[i].required) {
            return cm_err_set(err, CM_ERR_WORLD, "%s: [proxy] %s is missing", name,
                              keys[i].key);
        }
        if (item != NULL && keys[i].parse(item->value, s, err) != 0) {
            return cm_err_prefix(err, "%s:%u: %s = %.60s", name, item->line, item->key,
                                 item->value);
        }
    }
    return 0;
}

int settings_parse(const char *name, const char *text, size_t len,
                   struct settings *settings_r, struct cm_err *err)
{
    struct settings s = {.transparent = true, .connections = 20000, .per_source = 4000};
    struct cm_ini ini;

    if (cm_ini_parse(name, text, len, &ini, err) != 0) {
        return -1;
    }
    int rc = take(name, &ini, &s, err);
    cm_ini_clear(&ini);
    if (rc == 0) {
        *settings_r = s;
    }
    return rc;
}

int settings_load(const char *path, struct settings *settings_r, struct cm_err *err)
{
    char *text;
    size_t len;
    int rc = cm_file_read(path, FILE_MAX, &text, &len, err);

    if (rc != 1) {
        return rc == 0 ? cm_err_set(err, CM_ERR_WORLD,
                                    "%s is not there; chatmail-gateway writes it", path)
                       : -1;
    }
    rc = settings_parse(path, text, len, settings_r, err);
    free(text);
    return rc;
}
