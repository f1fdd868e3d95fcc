#include "common/conf.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/file.h"
#include "common/ini.h"
#include "common/mem.h"

#include "conf_setting.h"

#define MAX_FILE     (1024u * 1024)
#define MAX_NAME     32 /* of a gateway */
#define SHOWN_VALUE  60 /* characters of a bad value that an error repeats */
#define MAX_DISTANCE 2  /* edits between an unknown key and the one it may mean */

static const char mailboxes_root[] = "/home/vmail/mail/";
static const char self_cert[] = "/etc/ssl/certs/mailserver.pem";
static const char self_key[] = "/etc/ssl/private/mailserver.key";

struct reader {
    const char *name; /* of the file, for messages */
    struct cm_ini ini;
    struct cm_conf conf;
};

/* A field of a section: the base is the cm_conf, or the gateway. */
static void *field_of(void *base, const struct cm_setting *setting)
{
    return (char *)base + setting->offset;
}

static const struct cm_setting *find_setting(const char *section, const char *key)
{
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        if (strcmp(s->section, section) == 0 && strcmp(s->key, key) == 0) {
            return s;
        }
    }
    return NULL;
}

static void set_defaults(void *base, const char *section)
{
    struct cm_err err;
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        if (strcmp(s->section, section) == 0 && s->fallback != NULL) {
            int rc = s->type->parse(s, s->fallback, field_of(base, s), &err);
            cm_assert(rc == 0);
        }
    }
}

static void free_strings(void *base, const char *section)
{
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        if (strcmp(s->section, section) == 0 && s->type->is_string) {
            char **field = field_of(base, s);
            free(*field);
            *field = NULL;
        }
    }
}

/* ---- sections ---- */

/* "gateway edge1" gives "edge1"; NULL for a section of another kind. */
static const char *gateway_name(const char *section)
{
    return strncmp(section, "gateway ", 8) == 0 ? section + 8 : NULL;
}

static struct cm_conf_gateway *find_gateway(struct cm_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (strcmp(conf->gateways[i].name, name) == 0) {
            return &conf->gateways[i];
        }
    }
    return NULL;
}

static bool is_gateway_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= MAX_NAME &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' &&
           name[0] != '-' && name[n - 1] != '-';
}

static int take_section(struct reader *r, const struct cm_ini_section *section,
                        struct cm_err *err)
{
    if (strcmp(section->name, "params") == 0 || strcmp(section->name, "store") == 0) {
        return 0;
    }
    const char *name =
        strcmp(section->name, "gateway") == 0 ? "" : gateway_name(section->name);
    if (name == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s:%u: unknown section [%.60s]; allowed: [params], [store], "
                          "[gateway NAME]",
                          r->name, section->line, section->name);
    }
    if (!is_gateway_name(name)) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "%s:%u: [%.60s]: bad name; allowed: [gateway NAME] with a name "
            "of a-z, 0-9 and '-', at most %d",
            r->name, section->line, section->name, MAX_NAME);
    }
    struct cm_conf *conf = &r->conf;
    conf->gateways = cm_realloc_array(conf->gateways, conf->gateway_count + 1,
                                      sizeof(*conf->gateways));
    struct cm_conf_gateway *gateway = &conf->gateways[conf->gateway_count++];
    *gateway = (struct cm_conf_gateway){
        .name = cm_strdup(name),
        .line = section->line,
    };
    set_defaults(gateway, "gateway");
    return 0;
}

/* ---- values ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64];
    size_t n = strlen(b);
    if (n >= 64) {
        return 64;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
            diagonal = row[j];
            row[j] = least(changed, least(row[j - 1], row[j]) + 1);
        }
    }
    return row[n];
}

/* The known key of that section nearest to a mistyped one, or NULL. */
static const char *nearest_key(const char *section, const char *key)
{
    const char *nearest = NULL;
    size_t best = least(MAX_DISTANCE + 1, strlen(key));
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        if (strcmp(s->section, section) == 0 && edit_distance(key, s->key) < best) {
            best = edit_distance(key, s->key);
            nearest = s->key;
        }
    }
    return nearest;
}

static void add_unused(struct cm_conf *conf, char *text)
{
    conf->unused =
        cm_realloc_array(conf->unused, conf->unused_count + 1, sizeof(*conf->unused));
    conf->unused[conf->unused_count++] = text;
}

static void note_unknown(struct cm_conf *conf, const char *section,
                         const struct cm_ini_item *item)
{
    const char *hint = nearest_key(section, item->key);
    add_unused(conf, cm_asprintf("%s: %.60s (line %u)%s%s%s", item->section, item->key,
                                 item->line, hint != NULL ? ", did you mean " : "",
                                 hint != NULL ? hint : "", hint != NULL ? "?" : ""));
}

/* Upstream reads "yes" and "1" as false without a word; so do we, with one. */
static void note_false(struct cm_conf *conf, const struct cm_ini_item *item)
{
    static const char *const plain[] = {"true", "false", "no", "off", "0", ""};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcasecmp(item->value, plain[i]) == 0) {
            return;
        }
    }
    add_unused(conf, cm_asprintf("%s: %s (line %u): \"%.60s\" means false here; write "
                                 "true to switch it on",
                                 item->section, item->key, item->line, item->value));
}

/* Values go into other programs' files: a line break there could be a setting there. */
static int check_text(const struct cm_setting *setting, const char *text,
                      struct cm_err *err)
{
    for (const char *c = text; *c != '\0'; c++) {
        bool breaks = *c == '\n';
        if (breaks && !setting->type->multiline) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "goes on in an indented line; allowed: one line");
        }
        if (((unsigned char)*c < 0x20 && !breaks && *c != '\t') || *c == 0x7f) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "holds a control character; allowed: printable text");
        }
    }
    return 0;
}

/* Puts "FILE:LINE: [section] key = "value"" in front of what is wrong. */
static int blame(const struct reader *r, const struct cm_ini_item *item,
                 struct cm_err *err)
{
    return cm_err_prefix(err, "%s:%u: [%s] %s = \"%.*s%s\"", r->name, item->line,
                         item->section, item->key, SHOWN_VALUE, item->value,
                         strlen(item->value) > SHOWN_VALUE ? "..." : "");
}

static int take_item(struct reader *r, const struct cm_ini_item *item,
                     struct cm_err *err)
{
    const char *section = item->section;
    void *base = &r->conf;
    const char *name = gateway_name(section);
    if (name != NULL) {
        section = "gateway";
        base = find_gateway(&r->conf, name);
    }
    const struct cm_setting *setting = find_setting(section, item->key);
    if (setting == NULL) {
        note_unknown(&r->conf, section, item);
        return 0;
    }
    if (check_text(setting, item->value, err) != 0 ||
        setting->type->parse(setting, item->value, field_of(base, setting), err) != 0) {
        return blame(r, item, err);
    }
    if (setting->type == &cm_type_true) {
        note_false(&r->conf, item);
    }
    return 0;
}

/* ---- what values say together ---- */

static int check_params(const struct reader *r, struct cm_err *err)
{
    const struct cm_conf *conf = &r->conf;
    if (conf->mail_domain == NULL) {
        return cm_err_set(
            err, CM_ERR_WORLD,
            "%s: [params] mail_domain: missing; allowed: the domain of this "
            "relay, as in mail_domain = chat.example.org",
            r->name);
    }
    if (conf->username_min_length <= conf->username_max_length) {
        return 0;
    }
    const struct cm_ini_item *item =
        cm_ini_find(&r->ini, "params", "username_min_length");
    if (item == NULL) {
        item = cm_ini_find(&r->ini, "params", "username_max_length");
    }
    cm_err_set(
        err, CM_ERR_WORLD,
        "username_min_length (%lld) is above username_max_length (%lld); allowed: "
        "min up to max",
        (long long)conf->username_min_length, (long long)conf->username_max_length);
    return blame(r, item, err);
}

static const struct cm_ini_item *gateway_item(const struct reader *r,
                                              const struct cm_conf_gateway *gateway,
                                              const char *key)
{
    char *section = cm_asprintf("gateway %s", gateway->name);
    const struct cm_ini_item *item = cm_ini_find(&r->ini, section, key);
    free(section);
    return item;
}

static int missing(const struct reader *r, const struct cm_conf_gateway *gateway,
                   const char *key, const char *allowed, struct cm_err *err)
{
    return cm_err_set(err, CM_ERR_WORLD, "%s:%u: [gateway %s] %s: missing; allowed: %s",
                      r->name, gateway->line, gateway->name, key, allowed);
}

static int check_gateway(const struct reader *r, const struct cm_conf_gateway *gateway,
                         struct cm_err *err)
{
    if (gateway->number == 0) {
        return missing(r, gateway, "number", "1 to 32, another one for each gateway",
                       err);
    }
    if (gateway->addresses == NULL || gateway->addresses[0] == '\0') {
        return missing(r, gateway, "addresses", cm_type_addresses.allowed, err);
    }
    if (gateway->proxy_protocol && gateway->agent &&
        gateway->data_plane != CM_PLANE_PROXY) {
        cm_err_set(err, CM_ERR_WORLD,
                   "there is no proxy that would say it; allowed: no, or yes with "
                   "data_plane = proxy or agent = no");
        return blame(r, gateway_item(r, gateway, "proxy_protocol"), err);
    }
    return 0;
}

/* The first address that both have, or NULL. */
static const char *common_address(const char *a, const char *b, char found[64])
{
    char words_a[CM_ADDRESSES_MAX][64], words_b[CM_ADDRESSES_MAX][64];
    size_t n_a = cm_conf_words(a, words_a, CM_ADDRESSES_MAX);
    size_t n_b = cm_conf_words(b, words_b, CM_ADDRESSES_MAX);
    for (size_t i = 0; i < n_a; i++) {
        for (size_t j = 0; j < n_b; j++) {
            if (strcmp(words_a[i], words_b[j]) == 0) {
                return memcpy(found, words_a[i], 64);
            }
        }
    }
    return NULL;
}

static int check_pair(const struct reader *r, const struct cm_conf_gateway *first,
                      const struct cm_conf_gateway *second, struct cm_err *err)
{
    if (first->number == second->number) {
        cm_err_set(err, CM_ERR_WORLD,
                   "[gateway %s] has this number on line %u; allowed: 1 to 32, another "
                   "one for each gateway",
                   first->name, gateway_item(r, first, "number")->line);
        return blame(r, gateway_item(r, second, "number"), err);
    }
    if (first->ssh[0] != '\0' && strcmp(first->ssh, second->ssh) == 0) {
        cm_err_set(err, CM_ERR_WORLD,
                   "[gateway %s] is this machine too; allowed: one machine for each "
                   "gateway",
                   first->name);
        return blame(r, gateway_item(r, second, "ssh"), err);
    }
    char address[64];
    if (common_address(first->addresses, second->addresses, address) != NULL) {
        cm_err_set(err, CM_ERR_WORLD,
                   "[gateway %s] has %s too; allowed: each address at one gateway",
                   first->name, address);
        return blame(r, gateway_item(r, second, "addresses"), err);
    }
    return 0;
}

static int check_gateways(const struct reader *r, struct cm_err *err)
{
    const struct cm_conf *conf = &r->conf;
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (check_gateway(r, &conf->gateways[i], err) != 0) {
            return -1;
        }
        for (size_t j = 0; j < i; j++) {
            if (check_pair(r, &conf->gateways[j], &conf->gateways[i], err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static bool has_egress(const struct cm_conf *conf)
{
    for (size_t i = 0; i < conf->gateway_count; i++) {
        if (conf->gateways[i].egress) {
            return true;
        }
    }
    return false;
}

static int check_egress(struct reader *r, struct cm_err *err)
{
    struct cm_conf *conf = &r->conf;
    const struct cm_ini_item *item = cm_ini_find(&r->ini, "store", "egress");
    if (item == NULL) {
        conf->store.egress = has_egress(conf) ? CM_EGRESS_GATEWAYS : CM_EGRESS_DIRECT;
    } else if (conf->store.egress != CM_EGRESS_DIRECT && !has_egress(conf)) {
        cm_err_set(err, CM_ERR_WORLD,
                   "no [gateway NAME] with egress = yes; allowed without one: direct");
        return blame(r, item, err);
    }
    return 0;
}

/* Each port of the range costs the store a socket at most, so its size is bounded. */
#define TURN_PORTS_MAX 2000

static int check_turn_ports(struct reader *r, struct cm_err *err)
{
    const struct cm_conf_store *store = &r->conf.store;
    bool has_server =
        store->turn_port_min <= CM_TURN_PORT && store->turn_port_max >= CM_TURN_PORT;
    if (store->turn_port_max >= store->turn_port_min && !has_server &&
        store->turn_port_max - store->turn_port_min < TURN_PORTS_MAX) {
        return 0;
    }
    const struct cm_ini_item *item = cm_ini_find(&r->ini, "store", "turn_port_max");
    if (item == NULL) {
        item = cm_ini_find(&r->ini, "store", "turn_port_min");
    }
    cm_assert(item != NULL);
    cm_err_set(err, CM_ERR_WORLD,
               "turn_port_min %lld to turn_port_max %lld is no range; allowed: 1 to %d "
               "ports%s",
               (long long)store->turn_port_min, (long long)store->turn_port_max,
               TURN_PORTS_MAX, has_server ? " without 3478" : "");
    return blame(r, item, err);
}

/* The gateways forward these ports: a tunnel there would be cut off. */
static int check_turn_tunnels(struct reader *r, struct cm_err *err)
{
    const struct cm_conf_store *store = &r->conf.store;
    for (size_t i = 0; i < r->conf.gateway_count && store->turn; i++) {
        const struct cm_conf_gateway *gw = &r->conf.gateways[i];
        if (gw->wg_port != CM_TURN_PORT && (gw->wg_port < store->turn_port_min ||
                                            gw->wg_port > store->turn_port_max)) {
            continue;
        }
        return cm_err_set(
            err, CM_ERR_WORLD,
            "%s: [gateway %s] wg_port = %lld is a port of calls; allowed: "
            "any but %d and turn_port_min to turn_port_max",
            r->name, gw->name, (long long)gw->wg_port, CM_TURN_PORT);
    }
    return 0;
}

/* ---- what follows from the values ---- */

static void derive_names(struct cm_conf *conf)
{
    const char *domain = conf->mail_domain;
    conf->is_ip = cm_value_is_ipv4(domain);
    if (!conf->is_ip) {
        conf->domain = cm_strdup(domain);
        conf->myhostname = cm_strdup(domain);
        return;
    }
    unsigned char byte[4];
    int rc = inet_pton(AF_INET, domain, byte);
    cm_assert(rc == 1);
    conf->domain = cm_asprintf("[%s]", domain);
    conf->myhostname =
        cm_asprintf("%u.%u.%u.%u.in-addr.arpa", byte[3], byte[2], byte[1], byte[0]);
}

static void derive_tls(struct cm_conf *conf)
{
    const char *given = conf->tls_external_cert_and_key;
    if (given[0] != '\0') {
        size_t n = strcspn(given, " \t");
        conf->tls_mode = CM_TLS_EXTERNAL;
        conf->tls_cert = cm_strndup(given, n);
        conf->tls_key = cm_strdup(given + n + strspn(given + n, " \t"));
    } else if (conf->mail_domain[0] == '_' || conf->is_ip) {
        conf->tls_mode = CM_TLS_SELF;
        conf->tls_cert = cm_strdup(self_cert);
        conf->tls_key = cm_strdup(self_key);
    } else {
        conf->tls_mode = CM_TLS_ACME;
        conf->tls_cert = cm_asprintf("/var/lib/acme/live/%s/fullchain", conf->domain);
        conf->tls_key = cm_asprintf("/var/lib/acme/live/%s/privkey", conf->domain);
    }
    bool copied = conf->tls_mode == CM_TLS_EXTERNAL;
    conf->tls_use_cert =
        cm_strdup(copied ? CM_TLS_DIR "/live/fullchain" : conf->tls_cert);
    conf->tls_use_key = cm_strdup(copied ? CM_TLS_DIR "/live/privkey" : conf->tls_key);
}

static int64_t size_of(const char *text)
{
    struct cm_err err;
    int64_t mib;
    int rc = cm_value_size_mib(text, &mib, &err);
    cm_assert(rc == 0); /* it was checked when it was read */
    return mib;
}

static void derive_gateway(struct cm_conf_gateway *gateway)
{
    if (gateway->endpoint[0] == '\0') {
        free(gateway->endpoint);
        gateway->endpoint =
            cm_strndup(gateway->addresses, strcspn(gateway->addresses, " "));
    }
}

static int by_number(const void *a, const void *b)
{
    const struct cm_conf_gateway *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void derive(struct reader *r)
{
    struct cm_conf *conf = &r->conf;
    derive_names(conf);
    derive_tls(conf);
    conf->max_mailbox_size_mib = size_of(conf->max_mailbox_size);
    conf->min_available_memory_mib = size_of(conf->min_available_memory);
    conf->min_free_disk_space_mib = size_of(conf->min_free_disk_space);
    if (cm_ini_find(&r->ini, "params", "mailboxes_dir") == NULL) {
        free(conf->mailboxes_dir);
        conf->mailboxes_dir = cm_asprintf("%s%s", mailboxes_root, conf->mail_domain);
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        derive_gateway(&conf->gateways[i]);
    }
    if (conf->gateway_count > 1) {
        qsort(conf->gateways, conf->gateway_count, sizeof(*conf->gateways), by_number);
    }
}

/* ---- the whole ---- */

static int read_conf(struct reader *r, struct cm_err *err)
{
    for (size_t i = 0; i < r->ini.section_count; i++) {
        if (take_section(r, &r->ini.sections[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < r->ini.count; i++) {
        if (take_item(r, &r->ini.items[i], err) != 0) {
            return -1;
        }
    }
    if (check_params(r, err) != 0 || check_gateways(r, err) != 0 ||
        check_egress(r, err) != 0 || check_turn_ports(r, err) != 0 ||
        check_turn_tunnels(r, err) != 0) {
        return -1;
    }
    derive(r);
    return 0;
}

int cm_conf_parse(const char *name, const char *text, size_t len,
                  struct cm_conf *conf_r, struct cm_err *err)
{
    struct reader r = {.name = name};
    if (cm_ini_parse(name, text, len, &r.ini, err) != 0) {
        return -1;
    }
    set_defaults(&r.conf, "params");
    set_defaults(&r.conf, "store");
    int rc = read_conf(&r, err);
    if (rc == 0) {
        *conf_r = r.conf;
    } else {
        cm_conf_clear(&r.conf);
    }
    cm_ini_clear(&r.ini);
    return rc;
}

int cm_conf_load(const char *path, struct cm_conf *conf_r, struct cm_err *err)
{
    char *text;
    size_t len;
    int rc = cm_file_read(path, MAX_FILE, &text, &len, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s does not exist; make it with \"chatops init DOMAIN\"",
                          path);
    }
    if (rc < 0) {
        return -1;
    }
    rc = cm_conf_parse(path, text, len, conf_r, err);
    free(text);
    return rc;
}

int cm_conf_reload(const char *path, struct cm_conf *conf, struct cm_err *err)
{
    struct cm_conf fresh;
    if (cm_conf_load(path, &fresh, err) != 0) {
        return -1;
    }
    cm_conf_clear(conf);
    *conf = fresh;
    return 0;
}

void cm_conf_clear(struct cm_conf *conf)
{
    free_strings(conf, "params");
    free_strings(conf, "store");
    for (size_t i = 0; i < conf->gateway_count; i++) {
        free(conf->gateways[i].name);
        free_strings(&conf->gateways[i], "gateway");
    }
    free(conf->gateways);
    for (size_t i = 0; i < conf->unused_count; i++) {
        free(conf->unused[i]);
    }
    free(conf->unused);
    free(conf->domain);
    free(conf->myhostname);
    free(conf->tls_cert);
    free(conf->tls_key);
    free(conf->tls_use_cert);
    free(conf->tls_use_key);
    *conf = (struct cm_conf){0};
}
