#include "content_type.h"

#include <string.h>
#include <strings.h>

static bool is_token(char c)
{
    return c > ' ' && c <= '~' && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* What stands unquoted as a value in the wild: more than the grammar has. */
static bool is_bare(char c)
{
    return c > ' ' && c <= '~' && strchr("();,\"\\", c) == NULL;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ') {
        p++;
    }
    return p;
}

/* Returns what stands behind the token, or NULL when there is none or it does not fit.
 */
static const char *read_while(bool is_part(char c), const char *p, char *out,
                              size_t size)
{
    size_t n = 0;
    while (is_part(*p)) {
        if (n + 1 >= size) {
            return NULL;
        }
        out[n++] = *p++;
    }
    out[n] = '\0';
    return n > 0 ? p : NULL;
}

static const char *read_quoted(const char *p, char *out, size_t size)
{
    size_t n = 0;
    for (p++; *p != '"'; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
        }
        if (*p == '\0' || n + 1 >= size) {
            return NULL;
        }
        out[n++] = *p;
    }
    out[n] = '\0';
    return p + 1;
}

/* RFC 2046: a boundary does not end in a blank. */
static bool set_boundary(struct ctype *out, const char *value)
{
    size_t len = strlen(value);
    if (out->boundary[0] != '\0' || len == 0 || len > CTYPE_BOUNDARY_MAX ||
        value[len - 1] == ' ') {
        return false;
    }
    memcpy(out->boundary, value, len + 1);
    return true;
}

static bool read_parameters(const char *p, struct ctype *out)
{
    char name[64], value[512];
    for (;;) {
        p = skip_blanks(p);
        if (*p == '\0') {
            return true;
        }
        if (*p++ != ';') {
            return false;
        }
        p = skip_blanks(p);
        if (*p == '\0' || *p == ';') {
            continue;
        }
        p = read_while(is_token, p, name, sizeof(name));
        if (p == NULL || *(p = skip_blanks(p)) != '=') {
            return false;
        }
        p = skip_blanks(p + 1);
        p = *p == '"' ? read_quoted(p, value, sizeof(value))
                      : read_while(is_bare, p, value, sizeof(value));
        if (p == NULL || strncasecmp(name, "boundary*", 9) == 0) {
            return false;
        }
        if (strcasecmp(name, "boundary") == 0 && !set_boundary(out, value)) {
            return false;
        }
    }
}

bool ctype_parse(const char *value, struct ctype *out)
{
    char *name = out->name;
    out->boundary[0] = '\0';
    const char *p = read_while(is_token, skip_blanks(value), name, sizeof(out->name));
    if (p == NULL || *(p = skip_blanks(p)) != '/') {
        return false;
    }
    size_t len = strlen(name);
    if (len + 2 >= sizeof(out->name)) {
        return false;
    }
    name[len++] = '/';
    p = read_while(is_token, skip_blanks(p + 1), name + len, sizeof(out->name) - len);
    return p != NULL && read_parameters(p, out);
}

bool ctype_is(const struct ctype *ctype, const char *name)
{
    size_t len = strlen(name);
    if (len > 0 && name[len - 1] == '/') {
        return strncasecmp(ctype->name, name, len) == 0;
    }
    return strcasecmp(ctype->name, name) == 0;
}
