#include "conf_setting.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"

#define MIB_MAX   ((int64_t)1 << 43)        /* so that bytes still fit an int64_t */
#define BYTES_MAX INT64_C(1000000000000000) /* 1000 TB */

static const char blanks[] = " \t\r\n\f\v";

static int refuse(struct cm_err *err, const char *what, const char *allowed)
{
    return cm_err_set(err, CM_ERR_WORLD, "%s; allowed: %s", what, allowed);
}

/* Accepts [+-]digits between blanks, nothing else. Returns 1, 0 for no number, -1 for
 * one that does not fit. */
static int read_int(const char *text, int64_t *out)
{
    text += strspn(text, blanks);
    const char *digits = text + (*text == '+' || *text == '-' ? 1 : 0);
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n + strspn(digits + n, blanks)] != '\0') {
        return 0;
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno == ERANGE) {
        return -1;
    }
    *out = value;
    return 1;
}

int cm_value_int(const char *text, int64_t min, int64_t max, int64_t *out,
                 struct cm_err *err)
{
    int64_t value = 0;
    int rc = read_int(text, &value);
    const char *wrong = rc == 0                                 ? "not a whole number"
                        : rc == 1 && value < min                ? "too small"
                        : rc == -1 && strchr(text, '-') != NULL ? "too small"
                        : rc == -1 || value > max               ? "too large"
                                                                : NULL;
    if (wrong != NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "%s; allowed: %lld to %lld", wrong,
                          (long long)min, (long long)max);
    }
    *out = value;
    return 0;
}

/* Upstream's grammar (relay-spec.md 1.6): case and blanks at the ends are nothing, one
 * B at the end is nothing, G is 1024 MiB, M or nothing is MiB. */
int cm_value_size_mib(const char *text, int64_t *mib, struct cm_err *err)
{
    static const char allowed[] = "a whole number, then M or G, as in 500M";
    text += strspn(text, blanks);
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits + strspn(text + digits, blanks);
    size_t unit_len = strcspn(unit, blanks);
    if (digits == 0 || unit[unit_len + strspn(unit + unit_len, blanks)] != '\0') {
        return refuse(err, "not a size", allowed);
    }
    if (unit_len > 0 && (unit[unit_len - 1] == 'B' || unit[unit_len - 1] == 'b')) {
        unit_len--;
    }
    bool giga = unit_len == 1 && strncasecmp(unit, "G", 1) == 0;
    if (!giga &&
        !(unit_len == 0 || (unit_len == 1 && strncasecmp(unit, "M", 1) == 0))) {
        return refuse(err, "not a size", allowed);
    }
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    int64_t value;
    if (errno == ERANGE || __builtin_mul_overflow(number, giga ? 1024 : 1, &value) ||
        value > MIB_MAX) {
        return refuse(err, "too large", "at most 8589934592G");
    }
    *mib = value;
    return 0;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* "1500 GB": a whole number, blanks or none, a name of the table (its end has none). */
static int value_with_unit(const char *text, const struct unit *units, int64_t max,
                           const char *allowed, int64_t *out, struct cm_err *err)
{
    size_t digits = strspn(text, "0123456789");
    const char *name = text + digits + strspn(text + digits, blanks);
    const struct unit *u = units;
    int64_t value;

    while (u->name != NULL && strcasecmp(u->name, name) != 0) {
        u++;
    }
    if (digits == 0 || u->name == NULL) {
        return refuse(err, "not understood", allowed);
    }
    errno = 0;
    long long number = strtoll(text, NULL, 10);
    if (errno == ERANGE || __builtin_mul_overflow(number, u->factor, &value) ||
        value > max) {
        return refuse(err, "too large", allowed);
    }
    *out = value;
    return 0;
}

int cm_value_bytes(const char *text, int64_t *bytes, struct cm_err *err)
{
    static const struct unit units[] = {
        {"MB", INT64_C(1000000)},       {"GB", INT64_C(1000000000)},
        {"TB", INT64_C(1000000000000)}, {"GiB", INT64_C(1) << 30},
        {"TiB", INT64_C(1) << 40},      {NULL, 0}};
    if (strcmp(text, "0") == 0) {
        *bytes = 0;
        return 0;
    }
    return value_with_unit(text, units, BYTES_MAX, cm_type_bytes.allowed, bytes, err);
}

int cm_value_seconds(const char *text, int64_t max_s, int64_t *seconds,
                     struct cm_err *err)
{
    static const struct unit units[] = {{"", 1},     {"s", 1},     {"m", 60},
                                        {"h", 3600}, {"d", 86400}, {NULL, 0}};
    char allowed[96];
    int64_t value;
    snprintf(allowed, sizeof(allowed),
             "a whole number, then s, m, h or d, up to %" PRId64 " s", max_s);
    if (value_with_unit(text, units, max_s, allowed, &value, err) != 0) {
        return -1;
    }
    if (value < 1) {
        return refuse(err, "too small", allowed);
    }
    *seconds = value;
    return 0;
}

bool cm_value_is_ipv4(const char *text)
{
    struct in_addr addr;
    return inet_pton(AF_INET, text, &addr) == 1;
}

bool cm_value_is_ipv6(const char *text)
{
    struct in6_addr addr;
    return inet_pton(AF_INET6, text, &addr) == 1;
}

static bool is_letter_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_label(const char *s, size_t n)
{
    if (n > 63) {
        return false;
    }
    if (n > 0 && s[0] == '_') {
        s++;
        n--;
    }
    if (n == 0 || s[0] == '-' || s[n - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_letter_digit(s[i]) && s[i] != '-') {
            return false;
        }
    }
    return true;
}

/* *labels_r and whether the last label is a number only, when it is a name at all. */
static bool is_host_name(const char *text, unsigned *labels_r, bool *number_r)
{
    if (strlen(text) > 253) {
        return false;
    }
    *labels_r = 0;
    for (const char *label = text;; label++) {
        size_t n = strcspn(label, ".");
        if (!is_label(label, n)) {
            return false;
        }
        *number_r = strspn(label, "0123456789") == n;
        ++*labels_r;
        label += n;
        if (*label == '\0') {
            return true;
        }
    }
}

int cm_value_domain(const char *text, struct cm_err *err)
{
    static const char allowed[] =
        "a domain of small letters, digits, '-' and '.', as in "
        "chat.example.org, or an IPv4 address";
    unsigned labels;
    bool number;
    if (cm_value_is_ipv4(text)) {
        return 0;
    }
    if (!is_host_name(text, &labels, &number) || number) {
        return refuse(err, "not a domain", allowed);
    }
    if (labels < 2 && text[0] != '_') {
        return refuse(err, "a name without a dot is not a public domain", allowed);
    }
    return 0;
}

size_t cm_conf_words(const char *text, char words[][64], size_t max)
{
    size_t count = 0;
    while (count < max) {
        text += strspn(text, blanks);
        size_t n = strcspn(text, blanks);
        if (n == 0) {
            break;
        }
        size_t kept = n < 63 ? n : 63;
        memcpy(words[count], text, kept);
        words[count++][kept] = '\0';
        text += n;
    }
    return count;
}

static int keep_text(void *field, const char *text)
{
    char **s = field;
    char *copy = cm_strdup(text);
    free(*s);
    *s = copy;
    return 0;
}

static int parse_text(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    (void)setting;
    (void)err;
    return keep_text(field, text);
}

static int parse_some(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    (void)setting;
    (void)err;
    return keep_text(field, *text != '\0' ? text : NULL);
}

static int parse_domain(const struct cm_setting *setting, const char *text, void *field,
                        struct cm_err *err)
{
    (void)setting;
    return cm_value_domain(text, err) == 0 ? keep_text(field, text) : -1;
}

static bool is_host(const char *text)
{
    unsigned labels;
    bool number;
    return cm_value_is_ipv4(text) || cm_value_is_ipv6(text) ||
           (is_host_name(text, &labels, &number) && !number);
}

static int parse_host(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    if (*text != '\0' && !is_host(text)) {
        return refuse(err, "not a host", setting->type->allowed);
    }
    return keep_text(field, text);
}

static int parse_host_null(const struct cm_setting *setting, const char *text,
                           void *field, struct cm_err *err)
{
    if (*text != '\0' && !is_host(text)) {
        return refuse(err, "not a host", setting->type->allowed);
    }
    return parse_some(setting, text, field, err);
}

static int parse_path(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    bool may_be_empty = setting->fallback != NULL && setting->fallback[0] == '\0';
    if (text[0] != '/' && !(may_be_empty && text[0] == '\0')) {
        return refuse(err, "not an absolute path", setting->type->allowed);
    }
    return keep_text(field, text);
}

static int parse_two_paths(const struct cm_setting *setting, const char *text,
                           void *field, struct cm_err *err)
{
    const char *second = text + strcspn(text, blanks);
    second += strspn(second, blanks);
    bool one = *second == '\0';
    bool more = second[strcspn(second, blanks)] != '\0';
    if (*text != '\0' && (one || more || text[0] != '/' || second[0] != '/')) {
        return refuse(err,
                      one    ? "one word"
                      : more ? "more than two words"
                             : "bad path",
                      setting->type->allowed);
    }
    return keep_text(field, text);
}

/* What no interface that faces the world can have, and what the tunnels use. */
static bool is_public_v4(const struct in_addr *addr)
{
    uint32_t a = ntohl(addr->s_addr);
    return a >> 24 != 0 && a >> 24 != 127 && a >> 28 < 14 &&
           a >> 16 != (10u << 8 | 77u) && a >> 16 != (169u << 8 | 254u);
}

static bool is_public_v6(const struct in6_addr *addr)
{
    return !IN6_IS_ADDR_UNSPECIFIED(addr) && !IN6_IS_ADDR_LOOPBACK(addr) &&
           !IN6_IS_ADDR_MULTICAST(addr) && !IN6_IS_ADDR_LINKLOCAL(addr) &&
           !IN6_IS_ADDR_V4MAPPED(addr) &&
           !(addr->s6_addr[0] == 0xfd && addr->s6_addr[1] == 0x77);
}

/* The address in its one usual spelling. */
static bool normal_address(const char *word, char out[64])
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, word, &v4) == 1) {
        return is_public_v4(&v4) && inet_ntop(AF_INET, &v4, out, 64) != NULL;
    }
    return inet_pton(AF_INET6, word, &v6) == 1 && is_public_v6(&v6) &&
           inet_ntop(AF_INET6, &v6, out, 64) != NULL;
}

static int parse_addresses(const struct cm_setting *setting, const char *text,
                           void *field, struct cm_err *err)
{
    char words[CM_ADDRESSES_MAX + 1][64];
    size_t n = cm_conf_words(text, words, CM_ADDRESSES_MAX + 1);
    if (n > CM_ADDRESSES_MAX) {
        return refuse(err, "too many addresses", setting->type->allowed);
    }
    char all[CM_ADDRESSES_MAX * 64] = "";
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char address[64];
        if (!normal_address(words[i], address)) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "%s is not a public address; allowed: %s", words[i],
                              setting->type->allowed);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(words[j], address) == 0) {
                return cm_err_set(err, CM_ERR_WORLD,
                                  "%s is there twice; allowed: each address once",
                                  address);
            }
        }
        memcpy(words[i], address, sizeof(address));
        size_t size = strlen(address);
        if (len > 0) {
            all[len++] = ' ';
        }
        memcpy(all + len, address, size + 1);
        len += size;
    }
    return keep_text(field, all);
}

/* A word that ssh(1) would take for an option must never reach its command line. */
static int parse_ssh(const struct cm_setting *setting, const char *text, void *field,
                     struct cm_err *err)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-@:/[]%+";
    if (text[0] == '-' || text[strspn(text, chars)] != '\0' ||
        strstr(text, "@-") != NULL) {
        return refuse(err, "not a destination for ssh", setting->type->allowed);
    }
    return keep_text(field, text);
}

static int parse_int(const struct cm_setting *setting, const char *text, void *field,
                     struct cm_err *err)
{
    return cm_value_int(text, setting->min, setting->max, field, err);
}

static int parse_days(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    int64_t days;
    return cm_value_int(text, setting->min, setting->max, &days, err) == 0
               ? keep_text(field, text)
               : -1;
}

static int parse_size(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    (void)setting;
    int64_t mib;
    return cm_value_size_mib(text, &mib, err) == 0 ? keep_text(field, text) : -1;
}

static int parse_bytes(const struct cm_setting *setting, const char *text, void *field,
                       struct cm_err *err)
{
    (void)setting;
    return cm_value_bytes(text, field, err);
}

static int parse_load(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) ||
        text[strspn(text, "+-.0123456789eE")] != '\0') {
        return refuse(err, "not a number", setting->type->allowed);
    }
    *(double *)field = value;
    return 0;
}

static int parse_true(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    (void)setting;
    (void)err;
    *(bool *)field = strcasecmp(text, "true") == 0;
    return 0;
}

static int parse_yesno(const struct cm_setting *setting, const char *text, void *field,
                       struct cm_err *err)
{
    bool yes = strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0;
    if (!yes && strcasecmp(text, "no") != 0 && strcasecmp(text, "false") != 0) {
        return refuse(err, "neither yes nor no", setting->type->allowed);
    }
    *(bool *)field = yes;
    return 0;
}

bool cm_value_is_key(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789+/";
    return strlen(text) == 44 && strspn(text, letters) == 43 && text[43] == '=' &&
           strchr("AEIMQUYcgkosw048", text[42]) != NULL;
}

static const char *const mode_names[] = {
    [CM_MODE_ACTIVE] = "active",
    [CM_MODE_DRAIN] = "drain",
    [CM_MODE_HOLD] = "hold",
    [CM_MODE_OFF] = "off",
};

static const char *const registrations_names[] = {
    [CM_REGISTRATIONS_OPEN] = "open",
    [CM_REGISTRATIONS_CLOSED] = "closed",
    [CM_REGISTRATIONS_INVITE] = "invite",
};
static const char *const transport_names[] = {
    [CM_TRANSPORT_CHATMAIL] = "chatmail",
    [CM_TRANSPORT_POSTFIX] = "postfix",
};
static const char *const plane_names[] = {
    [CM_PLANE_AUTO] = "auto",
    [CM_PLANE_KERNEL] = "kernel",
    [CM_PLANE_PROXY] = "proxy",
};
static const char *const egress_names[] = {
    [CM_EGRESS_DIRECT] = "direct",
    [CM_EGRESS_GATEWAYS] = "gateways",
    [CM_EGRESS_ALL] = "all",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Returns the index of text, or -1. */
static int find_word(const char *const *words, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(words[i], text) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *cm_mode_name(enum cm_mode mode)
{
    cm_assert((size_t)mode < COUNT(mode_names));
    return mode_names[mode];
}

const char *cm_plane_name(enum cm_plane plane)
{
    cm_assert((size_t)plane < COUNT(plane_names));
    return plane_names[plane];
}

const char *cm_egress_name(enum cm_egress egress)
{
    cm_assert((size_t)egress < COUNT(egress_names));
    return egress_names[egress];
}

const char *cm_registrations_name(enum cm_registrations registrations)
{
    cm_assert((size_t)registrations < COUNT(registrations_names));
    return registrations_names[registrations];
}

int cm_mode_parse(const char *text, enum cm_mode *out, struct cm_err *err)
{
    int i = find_word(mode_names, COUNT(mode_names), text);
    if (i < 0) {
        return refuse(err, "not a mode", cm_type_mode.allowed);
    }
    *out = (enum cm_mode)i;
    return 0;
}

static int parse_mode(const struct cm_setting *setting, const char *text, void *field,
                      struct cm_err *err)
{
    (void)setting;
    return cm_mode_parse(text, field, err);
}

static int parse_transport(const struct cm_setting *setting, const char *text,
                           void *field, struct cm_err *err)
{
    int i = find_word(transport_names, COUNT(transport_names), text);
    if (i < 0) {
        return refuse(err, "not a transport", setting->type->allowed);
    }
    *(enum cm_transport *)field = (enum cm_transport)i;
    return 0;
}

static int parse_registrations(const struct cm_setting *setting, const char *text,
                               void *field, struct cm_err *err)
{
    int i = find_word(registrations_names, COUNT(registrations_names), text);
    if (i < 0) {
        return refuse(err, "not a rule for new accounts", setting->type->allowed);
    }
    *(enum cm_registrations *)field = (enum cm_registrations)i;
    return 0;
}

/* It is handed to libcurl as it is: no blanks, no control characters. */
static int parse_url(const struct cm_setting *setting, const char *text, void *field,
                     struct cm_err *err)
{
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    bool host =
        scheme != 0 && text[scheme] != '\0' && strchr("/:?#", text[scheme]) == NULL;
    for (const char *c = text; *c != '\0'; c++) {
        host = host && (unsigned char)*c > ' ' && (unsigned char)*c < 0x7f;
    }
    if (!host) {
        return refuse(err, "not a URL", setting->type->allowed);
    }
    return keep_text(field, text);
}

static int parse_plane(const struct cm_setting *setting, const char *text, void *field,
                       struct cm_err *err)
{
    int i = find_word(plane_names, COUNT(plane_names), text);
    if (i < 0) {
        return refuse(err, "not a data plane", setting->type->allowed);
    }
    *(enum cm_plane *)field = (enum cm_plane)i;
    return 0;
}

/* As wg(8) writes it: 32 bytes, so 43 characters and one "=", the last two bits 0. */
static int parse_key(const struct cm_setting *setting, const char *text, void *field,
                     struct cm_err *err)
{
    if (text[0] != '\0' && !cm_value_is_key(text)) {
        return refuse(err, "not a WireGuard key", setting->type->allowed);
    }
    return keep_text(field, text);
}

static int parse_egress(const struct cm_setting *setting, const char *text, void *field,
                        struct cm_err *err)
{
    int i = find_word(egress_names, COUNT(egress_names), text);
    if (i < 0) {
        return refuse(err, "not a way out", setting->type->allowed);
    }
    *(enum cm_egress *)field = (enum cm_egress)i;
    return 0;
}

const struct cm_value_type cm_type_text = {parse_text, "text", true, false};
const struct cm_value_type cm_type_text_null = {parse_text, "text", true, false};
const struct cm_value_type cm_type_prose = {
    parse_some, "text; more lines begin with blanks", true, true};
const struct cm_value_type cm_type_domain = {parse_domain, "domain, or an IPv4 address",
                                             true, false};
const struct cm_value_type cm_type_host = {parse_host, "host name or address", true,
                                           false};
const struct cm_value_type cm_type_host_null = {parse_host_null, "host name or address",
                                                true, false};
const struct cm_value_type cm_type_path = {parse_path, "absolute path", true, false};
const struct cm_value_type cm_type_two_paths = {
    parse_two_paths, "two space-separated absolute paths, certificate and key", true,
    false};
const struct cm_value_type cm_type_addresses = {
    parse_addresses, "up to 8 public IPv4 and IPv6 addresses, separated by blanks",
    true, true};
const struct cm_value_type cm_type_ssh = {parse_ssh, "[USER@]HOST as for ssh(1)", true,
                                          false};
const struct cm_value_type cm_type_int = {parse_int, "whole number", false, false};
const struct cm_value_type cm_type_days = {parse_days, "whole number of days", true,
                                           false};
const struct cm_value_type cm_type_size = {parse_size, "size, as in 500M or 2G", true,
                                           false};
const struct cm_value_type cm_type_bytes = {
    parse_bytes, "0, or a whole number, then MB, GB, TB, GiB or TiB, as in 1 TB", false,
    false};
const struct cm_value_type cm_type_load = {
    parse_load, "number; below zero refuses every new account", false, false};
const struct cm_value_type cm_type_true = {parse_true, "true; anything else is false",
                                           false, false};
const struct cm_value_type cm_type_yesno = {parse_yesno, "yes or no", false, false};
const struct cm_value_type cm_type_mode = {parse_mode, "active, drain, hold or off",
                                           false, false};
const struct cm_value_type cm_type_url = {
    parse_url, "URL that begins with https:// or http://", true, false};
const struct cm_value_type cm_type_transport = {parse_transport, "chatmail or postfix",
                                                false, false};
const struct cm_value_type cm_type_registrations = {
    parse_registrations, "open, closed or invite", false, false};
const struct cm_value_type cm_type_plane = {parse_plane, "auto, kernel or proxy", false,
                                            false};
const struct cm_value_type cm_type_key = {
    parse_key, "44 characters of base64, as wg pubkey prints it", true, false};
const struct cm_value_type cm_type_egress = {parse_egress, "direct, gateways or all",
                                             false, false};
