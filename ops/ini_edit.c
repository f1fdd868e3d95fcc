#include "ini_edit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/ini.h"
#include "common/mem.h"

#define INI_MAX (1024 * 1024)

char *op_ini_with_gateway(const char *text, const struct op_new_gateway *gw)
{
    struct cm_buf b;
    size_t len = strlen(text);

    cm_buf_init(&b, INI_MAX + 4096);
    cm_buf_str(&b, text);
    cm_buf_str(&b, len > 0 && text[len - 1] != '\n' ? "\n\n" : "\n");
    cm_buf_fmt(&b, "[gateway %s]\n", gw->name);
    if (gw->ssh != NULL) {
        cm_buf_fmt(&b, "ssh = %s\n", gw->ssh);
    }
    cm_buf_fmt(&b, "number = %lld\naddresses = %s\n", (long long)gw->number,
               gw->addresses);
    if (gw->wg_public_key != NULL) {
        cm_buf_fmt(&b, "wg_public_key = %s\n", gw->wg_public_key);
    }
    cm_buf_str(&b, gw->agentless ? "agent = no\n" : "");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

/* Where line number `line` (from 1) begins; the end of the text when there are fewer.
 */
static const char *line_start(const char *text, unsigned line)
{
    for (; line > 1 && *text != '\0'; line--) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return text;
}

/* "# key =", as a generated file has it; below the line of the section's name and above
 * the next section. 0: there is none. */
static unsigned comment_line(const struct cm_ini *ini, const char *text,
                             unsigned section_line, const char *key)
{
    size_t n = strlen(key);
    unsigned end = ~0u;

    for (size_t i = 0; i < ini->section_count; i++) {
        unsigned line = ini->sections[i].line;
        end = line > section_line && line < end ? line : end;
    }
    for (unsigned line = section_line + 1; line < end; line++) {
        const char *l = line_start(text, line);
        if (*l == '\0') {
            break;
        }
        l += strspn(l, "#; ");
        if (strncmp(l, key, n) == 0 && l[n + strspn(l + n, " ")] == '=') {
            return line;
        }
    }
    return 0;
}

/* The line that is replaced, or (0) the line behind which one is put, or (0, 0). */
static void find_place(const struct cm_ini *ini, const char *text, const char *section,
                       const char *key, unsigned *replace_r, unsigned *behind_r)
{
    const struct cm_ini_item *item = cm_ini_find(ini, section, key);

    *replace_r = item != NULL ? item->line : 0;
    *behind_r = 0;
    for (size_t i = 0; i < ini->section_count; i++) {
        if (strcmp(ini->sections[i].name, section) == 0) {
            unsigned line = ini->sections[i].line;
            unsigned comment = comment_line(ini, text, line, key);
            *behind_r = comment != 0 ? comment : line;
        }
    }
}

static void put_value(struct cm_buf *b, const char *section, const char *key,
                      const char *value)
{
    if (b->len > 0 && b->data[b->len - 1] != '\n') {
        cm_buf_str(b, "\n");
    }
    if (section != NULL && value != NULL) {
        cm_buf_fmt(b, "\n[%s]\n", section);
    }
    if (value != NULL) {
        cm_buf_fmt(b, "%s = %s\n", key, value);
    }
}

int op_ini_with_value(const char *text, const char *section, const char *key,
                      const char *value, char **text_r, struct cm_err *err)
{
    struct cm_ini ini;
    struct cm_buf b;
    unsigned replace, behind;

    if (cm_ini_parse("chatmail.ini", text, strlen(text), &ini, err) != 0) {
        return -1;
    }
    find_place(&ini, text, section, key, &replace, &behind);
    cm_ini_clear(&ini);
    const char *at = replace != 0  ? line_start(text, replace)
                     : behind != 0 ? line_start(text, behind + 1)
                                   : text + strlen(text);
    const char *rest = replace != 0 ? line_start(text, replace + 1) : at;
    cm_buf_init(&b, 2 * INI_MAX);
    cm_buf_add(&b, text, (size_t)(at - text));
    put_value(&b, replace == 0 && behind == 0 ? section : NULL, key, value);
    cm_buf_str(&b, rest);
    cm_assert(!b.overflow);
    *text_r = cm_buf_steal(&b);
    return 0;
}

/* Lines [*from_r, *to_r) of the section, 0 when there is none. At the end of the file
 * the blank line above goes too, as op_ini_with_gateway put it there. */
static void section_lines(const struct cm_ini *ini, const char *text,
                          const char *section, unsigned *from_r, unsigned *to_r)
{
    unsigned next = ~0u;

    *from_r = *to_r = 0;
    for (size_t i = 0; i < ini->section_count; i++) {
        *from_r = strcmp(ini->sections[i].name, section) == 0 ? ini->sections[i].line
                                                              : *from_r;
    }
    for (size_t i = 0; i < ini->section_count && *from_r != 0; i++) {
        unsigned line = ini->sections[i].line;
        next = line > *from_r && line < next ? line : next;
    }
    while (next != ~0u && next > *from_r + 1 &&
           strchr("#;", line_start(text, next - 1)[0]) != NULL) {
        next--;
    }
    if (next == ~0u && *from_r > 1 && line_start(text, *from_r - 1)[0] == '\n') {
        (*from_r)--;
    }
    *to_r = next;
}

int op_ini_without_section(const char *text, const char *section, char **text_r,
                           struct cm_err *err)
{
    struct cm_ini ini;
    struct cm_buf b;
    unsigned from, to;

    if (cm_ini_parse("chatmail.ini", text, strlen(text), &ini, err) != 0) {
        return -1;
    }
    section_lines(&ini, text, section, &from, &to);
    cm_ini_clear(&ini);
    cm_buf_init(&b, 2 * INI_MAX);
    if (from == 0) {
        cm_buf_str(&b, text);
    } else {
        cm_buf_add(&b, text, (size_t)(line_start(text, from) - text));
        cm_buf_str(&b, to != ~0u ? line_start(text, to) : "");
    }
    cm_assert(!b.overflow);
    *text_r = cm_buf_steal(&b);
    return 0;
}

bool op_ini_has(const char *text, const char *section, const char *key)
{
    struct cm_ini ini;
    struct cm_err ignored;
    bool found = false;

    if (cm_ini_parse("chatmail.ini", text, strlen(text), &ini, &ignored) != 0) {
        return false;
    }
    for (size_t i = 0; i < ini.section_count; i++) {
        found |= strcmp(ini.sections[i].name, section) == 0;
    }
    found = found && (key == NULL || cm_ini_find(&ini, section, key) != NULL);
    cm_ini_clear(&ini);
    return found;
}

static bool was_used(const char *used, int64_t number)
{
    for (const char *l = used; *l != '\0';) {
        if (strtoll(l, NULL, 10) == number) {
            return true;
        }
        l += strcspn(l, "\n");
        l += *l == '\n';
    }
    return false;
}

int64_t op_free_number(const struct cm_conf *conf, const char *used)
{
    for (int64_t n = 1; n <= CM_GATEWAYS_MAX; n++) {
        bool taken = was_used(used, n);
        for (size_t i = 0; i < conf->gateway_count; i++) {
            taken |= conf->gateways[i].number == n;
        }
        if (!taken) {
            return n;
        }
    }
    return 0;
}

bool op_is_public_address(const char *address)
{
    static const struct {
        uint32_t net, mask;
    } closed4[] = {
        {0x0a000000, 0xff000000}, /* 10/8 */
        {0xac100000, 0xfff00000}, /* 172.16/12 */
        {0xc0a80000, 0xffff0000}, /* 192.168/16 */
        {0x64400000, 0xffc00000}, /* 100.64/10, carrier NAT */
        {0xa9fe0000, 0xffff0000}, /* link local */
        {0x7f000000, 0xff000000}, {0x00000000, 0xff000000},
    };
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, address, &v4) == 1) {
        for (size_t i = 0; i < sizeof(closed4) / sizeof(closed4[0]); i++) {
            if ((ntohl(v4.s_addr) & closed4[i].mask) == closed4[i].net) {
                return false;
            }
        }
        return true;
    }
    return inet_pton(AF_INET6, address, &v6) == 1 && (v6.s6_addr[0] & 0xe0) == 0x20;
}

static bool is_tunnel(const char *interface)
{
    static const char *const prefixes[] = {"lo", "wg", "docker", "br-", "veth", "tun"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(interface, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* "2: eth0    inet 198.51.100.11/24 brd 198.51.100.255 scope global eth0\ ..." */
static bool address_of(const char *line, const char *family, char out[46])
{
    char interface[32], fam[8], address[64];

    if (sscanf(line, "%*d: %31s %7s %63s", interface, fam, address) != 3 ||
        strcmp(fam, family) != 0 || is_tunnel(interface) ||
        strstr(line, " temporary") != NULL || strstr(line, " deprecated") != NULL) {
        return false;
    }
    address[strcspn(address, "/")] = '\0';
    snprintf(out, 46, "%.45s", address);
    return op_is_public_address(out);
}

char *op_public_addresses(const char *ip_output)
{
    static const char *const families[] = {"inet", "inet6"};
    struct cm_buf b;
    size_t n = 0;

    cm_buf_init(&b, CM_ADDRESSES_MAX * 48);
    for (size_t f = 0; f < 2; f++) {
        for (const char *l = ip_output; *l != '\0';) {
            size_t len = strcspn(l, "\n");
            char *line = cm_strndup(l, len), address[46];
            if (n < CM_ADDRESSES_MAX && address_of(line, families[f], address)) {
                cm_buf_fmt(&b, "%s%s", n++ > 0 ? " " : "", address);
            }
            free(line);
            l += len + (l[len] == '\n');
        }
    }
    return cm_buf_steal(&b);
}
