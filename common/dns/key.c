#include "key.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"

#define WORD_MAX 256

static const char *const algorithms[] = {"hmac-sha256", "hmac-sha512", "hmac-sha384",
                                         "hmac-sha224", "hmac-sha1",   NULL};

struct reader {
    const char *at, *end;
    char word[WORD_MAX];
};

static bool is_mark(char c)
{
    return strchr(" \t\r\n{};:\"", c) != NULL; /* NUL too */
}

static void skip_marks(struct reader *r)
{
    while (r->at < r->end) {
        bool comment =
            *r->at == '#' || (*r->at == '/' && r->end - r->at > 1 && r->at[1] == '/' &&
                              (r->end - r->at < 3 || r->at[2] == ' '));
        if (comment) {
            while (r->at < r->end && *r->at != '\n') {
                r->at++;
            }
        } else if (is_mark(*r->at) || (*r->at == '-' && r->end - r->at > 1 &&
                                       isspace((unsigned char)r->at[1]))) {
            r->at++;
        } else {
            return;
        }
    }
}

/* Words between blanks and punctuation; base64 has none of those marks. */
static bool next_word(struct reader *r)
{
    size_t n = 0;

    skip_marks(r);
    while (r->at < r->end && !is_mark(*r->at) && n + 1 < WORD_MAX) {
        r->word[n++] = *r->at++;
    }
    r->word[n] = '\0';
    return n > 0;
}

static int take(struct reader *r, char *out, size_t size, const char *what,
                struct cm_err *err)
{
    if (out[0] != '\0') {
        return cm_err_set(err, CM_ERR_WORLD, "a second %s; one key only", what);
    }
    if (!next_word(r) || strlen(r->word) >= size ||
        (r->at < r->end && !is_mark(*r->at))) {
        return cm_err_set(err, CM_ERR_WORLD, "%s is missing or too long", what);
    }
    memcpy(out, r->word, strlen(r->word) + 1);
    return 0;
}

/* Knot says "key: - id: NAME", BIND "key NAME". */
static int take_name(struct reader *r, struct dns_key *key, struct cm_err *err)
{
    const struct reader before = *r;

    if (next_word(r) && strcasecmp(r->word, "id") == 0) {
        return take(r, key->name, sizeof(key->name), "key", err);
    }
    *r = before;
    return take(r, key->name, sizeof(key->name), "key", err);
}

static int take_word(struct reader *r, struct dns_key *key, struct cm_err *err)
{
    if (strcasecmp(r->word, "key") == 0) {
        return take_name(r, key, err);
    }
    if (strcasecmp(r->word, "id") == 0) {
        return take(r, key->name, sizeof(key->name), "key", err);
    }
    if (strcasecmp(r->word, "algorithm") == 0) {
        return take(r, key->algorithm, sizeof(key->algorithm), "algorithm", err);
    }
    if (strcasecmp(r->word, "secret") == 0) {
        return take(r, key->secret, sizeof(key->secret), "secret", err);
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "not understood; allowed: key \"NAME\" { algorithm hmac-sha256; "
                      "secret \"...\"; };");
}

static bool is_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789-_.")] == '\0' &&
           name[0] != '.' && strstr(name, "..") == NULL && strlen(name) < 254;
}

static bool is_base64(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789+/");
    return n >= 16 && strspn(text + n, "=") == strlen(text + n) &&
           strlen(text + n) <= 2 && strlen(text) % 4 == 0;
}

static int check(struct dns_key *key, struct cm_err *err)
{
    size_t i = 0, n = strlen(key->algorithm);

    if (n > 0 && key->algorithm[n - 1] == '.') {
        key->algorithm[n - 1] = '\0';
    }
    while (algorithms[i] != NULL && strcasecmp(algorithms[i], key->algorithm) != 0) {
        i++;
    }
    if (key->name[0] == '\0' || key->secret[0] == '\0') {
        return cm_err_set(err, CM_ERR_WORLD, "no %s in it",
                          key->name[0] == '\0' ? "name of a key" : "secret");
    }
    if (algorithms[i] == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "algorithm \"%s\"; allowed: hmac-sha256, hmac-sha512, "
                          "hmac-sha384, hmac-sha224, hmac-sha1",
                          key->algorithm);
    }
    memcpy(key->algorithm, algorithms[i], strlen(algorithms[i]) + 1);
    if (!is_name(key->name)) {
        return cm_err_set(err, CM_ERR_WORLD, "the key's name is not a name");
    }
    if (!is_base64(key->secret)) {
        return cm_err_set(err, CM_ERR_WORLD, "the secret is not base64");
    }
    return 0;
}

int dns_key_parse(const char *text, size_t len, struct dns_key *key_r,
                  struct cm_err *err)
{
    struct dns_key key = {.name = ""};
    struct reader r = {.at = text, .end = text + len};
    int rc = 0;

    while (rc == 0 && next_word(&r)) {
        rc = take_word(&r, &key, err);
    }
    if (rc == 0) {
        rc = check(&key, err);
    }
    if (rc == 0) {
        *key_r = key;
    }
    dns_key_wipe(&key);
    cm_wipe(r.word, sizeof(r.word));
    return rc;
}

int dns_key_load(const char *path, struct dns_key *key_r, struct cm_err *err)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0;

    if (stat(path, &st) != 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: no such key; make one on the name server with "
                          "tsig-keygen(8) or keymgr(8) and copy it here",
                          path);
    }
    if ((st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: others may read or write this key; do: chmod 600 %s",
                          path, path);
    }
    int rc = cm_file_read(path, DNS_KEY_FILE_MAX, &text, &len, err);
    if (rc != 1) {
        return rc == 0 ? cm_err_set(err, CM_ERR_WORLD, "%s: no such key", path) : -1;
    }
    rc = dns_key_parse(text, len, key_r, err);
    cm_wipe(text, len);
    cm_wipe_str(&text);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", path);
}

void dns_key_wipe(struct dns_key *key)
{
    cm_wipe(key, sizeof(*key));
}
