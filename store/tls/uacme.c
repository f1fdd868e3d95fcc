#include "uacme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/run.h"

/* ---- reading ---- */

static void put_plain(const char *from, size_t n, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < n && len + 1 < size; i++) {
        char c = from[i];
        out[len++] = c >= 0x20 && c < 0x7f ? c : '?';
    }
    out[len] = '\0';
}

static void read_account(const char *text, struct uacme_said *said)
{
    static const char *const before[] = {"account location: ", "account created at ",
                                         "Account already exists at "};

    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        const char *p = strstr(text, before[i]);
        if (p != NULL) {
            p += strlen(before[i]);
            put_plain(p, strcspn(p, " \r\n"), said->account, sizeof(said->account));
            return;
        }
    }
}

static const char *last_of(const char *text, const char *word)
{
    const char *found = NULL;

    for (const char *p = text; (p = strstr(p, word)) != NULL; p++) {
        found = p;
    }
    return found;
}

/* The value of a member of JSON as uacme prints it, the last one; escapes of quotes are
 * undone, others stay as they are. */
static bool read_member(const char *text, const char *member, char *out, size_t size)
{
    const char *p = last_of(text, member);
    size_t len = 0;

    if (p == NULL) {
        return false;
    }
    for (p += strlen(member); *p != '\0' && *p != '"' && len + 1 < size; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
        }
        out[len++] = *p >= 0x20 && *p < 0x7f ? *p : '?';
    }
    out[len] = '\0';
    return true;
}

static void read_last_line(const char *text, char *out, size_t size)
{
    size_t n = strlen(text);

    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    size_t from = n;
    while (from > 0 && text[from - 1] != '\n') {
        from--;
    }
    if (n - from > 7 && strncmp(text + from, "uacme: ", 7) == 0) {
        from += 7;
    }
    put_plain(text + from, n - from, out, size);
}

void uacme_read(const char *text, struct uacme_said *said_r)
{
    struct uacme_said s = {.account = ""};

    read_account(text, &s);
    s.no_account = strstr(text, "no account associated with ") != NULL;
    (void)read_member(text, "\"type\": \"urn:", s.type, sizeof(s.type));
    if (!read_member(text, "\"detail\": \"", s.why, sizeof(s.why))) {
        read_last_line(text, s.why, sizeof(s.why));
    }
    *said_r = s;
}

/* ---- running ---- */

static int call(const struct uacme *u, const char *const *words, int *code_r,
                struct uacme_said *said_r, struct cm_err *err)
{
    const char *argv[24] = {u->program, "-v",   "-y", "-t",   "EC",
                            "-c",       u->dir, "-a", u->url, NULL};
    struct cm_run_result res;
    size_t n = 9;

    while (*words != NULL) {
        cm_assert(n + 1 < sizeof(argv) / sizeof(argv[0]));
        argv[n++] = *words++;
    }
    argv[n] = NULL;
    int rc = cm_run(&(struct cm_run){.argv = argv, .timeout_ms = UACME_MS}, &res, err);
    if (rc == 0) {
        *code_r = res.exit_code;
        uacme_read(res.err.data, said_r);
    }
    cm_run_result_clear(&res);
    return rc;
}

static int refused(const struct uacme_said *said, struct cm_err *err)
{
    bool no = said->type[0] != '\0';

    return cm_err_set(err, no ? CM_ERR_REFUSE : CM_ERR_RETRY, "%s%s",
                      no ? "the CA says: " : "", said->why);
}

/* "new" of an account that is there fails, but says its URL. */
int uacme_account(const struct uacme *u, struct uacme_said *said_r, struct cm_err *err)
{
    const char *words[] = {"new", u->email[0] != '\0' ? u->email : NULL, NULL};
    int code;

    if (call(u, words, &code, said_r, err) != 0) {
        return -1;
    }
    return said_r->account[0] != '\0' ? 0 : refused(said_r, err);
}

static bool has_key(const struct uacme *u)
{
    char *path = cm_asprintf("%s/private/key.pem", u->dir);
    bool has = access(path, R_OK) == 0;

    free(path);
    return has;
}

int uacme_issue(const struct uacme *u, const char *csr, struct uacme_said *said_r,
                struct cm_err *err)
{
    const char *words[] = {"-f", "-o", "-h", u->hook, "issue", csr, NULL};
    int code = 0;

    if (!has_key(u) && uacme_account(u, said_r, err) != 0) {
        return -1;
    }
    if (call(u, words, &code, said_r, err) != 0) {
        return -1;
    }
    if (code != 0 && said_r->no_account) {
        if (uacme_account(u, said_r, err) != 0 ||
            call(u, words, &code, said_r, err) != 0) {
            return -1;
        }
    }
    return code == 0 ? 0 : refused(said_r, err);
}
