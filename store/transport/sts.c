#include "sts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const mode_names[] = {
    [STS_NONE] = "none", [STS_TESTING] = "testing", [STS_ENFORCE] = "enforce"};

const char *sts_mode_name(enum sts_mode mode)
{
    return mode_names[mode];
}

struct span {
    const char *at;
    size_t len;
};

static struct span trim(struct span s)
{
    while (s.len > 0 && (*s.at == ' ' || *s.at == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && strchr(" \t\r", s.at[s.len - 1]) != NULL) {
        s.len--;
    }
    return s;
}

/* Cuts the next piece up to `end` (or the last one) off rest; false when none is left.
 */
static bool next_piece(struct span *rest, char end, struct span *piece)
{
    if (rest->at == NULL) {
        return false;
    }
    const char *stop = memchr(rest->at, end, rest->len);
    size_t n = stop != NULL ? (size_t)(stop - rest->at) : rest->len;
    *piece = trim((struct span){rest->at, n});
    rest->at = stop != NULL ? stop + 1 : NULL;
    rest->len -= stop != NULL ? n + 1 : n;
    return true;
}

/* "name SEP value", with blanks around both allowed. */
static bool split(struct span line, char sep, struct span *name, struct span *value)
{
    const char *at = memchr(line.at, sep, line.len);
    if (at == NULL) {
        return false;
    }
    size_t n = (size_t)(at - line.at);
    *name = trim((struct span){line.at, n});
    *value = trim((struct span){at + 1, line.len - n - 1});
    return true;
}

static bool is(struct span s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.at, word, s.len) == 0;
}

static bool letters_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z'))) {
            return false;
        }
    }
    return s.len > 0;
}

bool sts_record_parse(const char *text, char id[STS_ID_MAX])
{
    struct span rest = {text, strlen(text)}, piece, name, value;
    if (!next_piece(&rest, ';', &piece) || !split(piece, '=', &name, &value) ||
        !is(name, "v") || !is(value, "STSv1")) {
        return false;
    }
    while (next_piece(&rest, ';', &piece)) {
        if (split(piece, '=', &name, &value) && is(name, "id") &&
            letters_digits(value) && value.len < STS_ID_MAX) {
            memcpy(id, value.at, value.len);
            id[value.len] = '\0';
            return true;
        }
    }
    return false;
}

static int bad(struct cm_err *err, const char *what)
{
    return cm_err_set(err, CM_ERR_REFUSE, "MTA-STS policy: %s", what);
}

static int take_mx(struct sts_policy *p, struct span value, struct cm_err *err)
{
    if (p->mx_count == STS_MXS_MAX) {
        return bad(err, "too many mx lines");
    }
    char *mx = p->mx[p->mx_count];
    if (value.len >= DOMAIN_NAME_MAX) {
        return bad(err, "too long an mx");
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        mx[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    mx[value.len] = '\0';
    const char *host = strncmp(mx, "*.", 2) == 0 ? mx + 2 : mx;
    if (!address_is_hostname(host)) {
        return bad(err, "an mx that is no host name");
    }
    p->mx_count++;
    return 0;
}

static int take_age(struct sts_policy *p, struct span value, struct cm_err *err)
{
    int64_t age = 0;
    if (value.len == 0 || value.len > 10) {
        return bad(err, "max_age is not a number");
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return bad(err, "max_age is not a number");
        }
        age = age * 10 + (value.at[i] - '0');
    }
    p->max_age_s = age < STS_AGE_MAX_S ? age : STS_AGE_MAX_S;
    return 0;
}

static int take_mode(struct sts_policy *p, struct span value, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (is(value, mode_names[i])) {
            p->mode = (enum sts_mode)i;
            return 0;
        }
    }
    return bad(err, "unknown mode");
}

struct seen {
    bool version, mode, age;
};

static int take_field(struct sts_policy *p, struct seen *seen, struct span name,
                      struct span value, struct cm_err *err)
{
    if (is(name, "version")) {
        seen->version = is(value, "STSv1");
        return seen->version ? 0 : bad(err, "unknown version");
    }
    if (is(name, "mode") && !seen->mode) {
        seen->mode = true;
        return take_mode(p, value, err);
    }
    if (is(name, "max_age") && !seen->age) {
        seen->age = true;
        return take_age(p, value, err);
    }
    /* Unknown fields are passed over, and of one that is there twice the second (3.2).
     */
    return is(name, "mx") ? take_mx(p, value, err) : 0;
}

int sts_policy_parse(const char *text, size_t len, struct sts_policy *out,
                     struct cm_err *err)
{
    if (len > STS_TEXT_MAX) {
        return bad(err, "too long");
    }
    struct sts_policy p = {.mode = STS_NONE};
    struct seen seen = {false, false, false};
    struct span rest = {text, len}, line, name, value;
    while (next_piece(&rest, '\n', &line)) {
        if (line.len == 0) {
            continue;
        }
        if (!split(line, ':', &name, &value)) {
            return bad(err, "a line without a colon");
        }
        if (take_field(&p, &seen, name, value, err) != 0) {
            return -1;
        }
    }
    if (!seen.version || !seen.mode || !seen.age) {
        return bad(err, "version, mode or max_age is missing");
    }
    if (p.mode != STS_NONE && p.mx_count == 0) {
        return bad(err, "no mx");
    }
    *out = p;
    return 0;
}

bool sts_pattern_matches(const char *pattern, const char *host)
{
    if (strncmp(pattern, "*.", 2) == 0) {
        const char *dot = strchr(host, '.');
        return dot != NULL && dot != host && strcasecmp(dot + 1, pattern + 2) == 0;
    }
    return strcasecmp(pattern, host) == 0;
}
