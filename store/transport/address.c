#include "address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Index of the first c outside quotes, len when there is none. */
static size_t find_outside(const char *text, size_t len, char c)
{
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && text[i] == c) {
            return i;
        }
    }
    return len;
}

/* "<@relay,@other:user@host>": the route is history. */
static void skip_route(const char **text, size_t *len)
{
    if (*len > 0 && **text == '@') {
        size_t colon = find_outside(*text, *len, ':');
        if (colon < *len) {
            *text += colon + 1;
            *len -= colon + 1;
        }
    }
}

/* The span of the address: inside the brackets, or the first word. */
static int locate(const char **text, size_t *len)
{
    size_t open = find_outside(*text, *len, '<');
    if (open < *len) {
        *text += open + 1;
        *len -= open + 1;
        size_t close = find_outside(*text, *len, '>');
        if (close == *len) {
            return -1;
        }
        *len = close;
        skip_route(text, len);
        return 0;
    }
    while (*len > 0 && (**text == ' ' || **text == '\t')) {
        (*text)++;
        (*len)--;
    }
    size_t word = find_outside(*text, *len, ' ');
    *len = word;
    return word > 0 ? 0 : -1;
}

int address_extract(const char *text, size_t len, char out[ADDRESS_MAX],
                    struct cm_err *err)
{
    if (locate(&text, &len) != 0 || len >= ADDRESS_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "no address, or too long a one");
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c == 0x7f) {
            return cm_err_set(err, CM_ERR_REFUSE, "a blank or a control byte in it");
        }
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = lower(text[i]);
    }
    out[len] = '\0';
    return 0;
}

bool address_is_hostname(const char *name)
{
    size_t label = 0, total = strlen(name);
    if (total == 0 || total > 253) {
        return false;
    }
    for (const char *p = name; *p != '\0'; p++) {
        char c = lower(*p);
        if (c == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                   c == '_') {
            if (++label > 63) {
                return false;
            }
        } else {
            return false;
        }
    }
    return label > 0;
}

static int literal(const char *inside, size_t len, struct domain *out,
                   struct cm_err *err)
{
    unsigned char bytes[16];
    struct domain d = {.literal = true};
    if (len > 5 && strncasecmp(inside, "ipv6:", 5) == 0) {
        inside += 5;
        len -= 5;
    }
    if (len < INET6_ADDRSTRLEN) {
        memcpy(d.name, inside, len);
        int family = strchr(d.name, ':') != NULL ? AF_INET6 : AF_INET;
        if (inet_pton(family, d.name, bytes) == 1) {
            /* One spelling, so that one host is one destination. */
            inet_ntop(family, bytes, d.name, sizeof(d.name));
            *out = d;
            return 0;
        }
    }
    return cm_err_set(err, CM_ERR_REFUSE, "501 Invalid address literal");
}

int address_domain(const char *address, struct domain *out, struct cm_err *err)
{
    const char *at = strchr(address, '@');
    if (at == NULL || at == address || at[1] == '\0' || strchr(at + 1, '@') != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "553 Invalid email address: %s", address);
    }
    const char *name = at + 1;
    size_t len = strlen(name);
    if (name[0] == '[' && name[len - 1] == ']') {
        return literal(name + 1, len - 2, out, err);
    }
    if (!address_is_hostname(name)) {
        return cm_err_set(err, CM_ERR_REFUSE, "501 Invalid domain name");
    }
    struct domain d = {.literal = false};
    for (size_t i = 0; i < len; i++) {
        d.name[i] = lower(name[i]);
    }
    *out = d;
    return 0;
}
