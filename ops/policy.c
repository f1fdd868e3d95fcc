#include "policy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/buf.h"
#include "common/mem.h"

#define TIMEOUT_S 10L

/* "key: value" lines; n counts from 0. False when there is no such value. */
static bool value_of(const char *text, const char *key, int n, char *out, size_t size)
{
    size_t k = strlen(key);

    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\r\n");
        if (strncmp(line, key, k) == 0 && line[k] == ':' && n-- == 0) {
            const char *v = line + k + 1;
            v += strspn(v, " \t");
            size_t rest = (size_t)(line + len - v);
            while (rest > 0 && isspace((unsigned char)v[rest - 1])) {
                rest--;
            }
            snprintf(out, size, "%.*s", (int)rest, v);
            return true;
        }
        line += len + strspn(line + len, "\r\n");
    }
    return false;
}

/* "*.example.org" is any one label before it. */
static bool covers(const char *pattern, const char *domain)
{
    if (strncmp(pattern, "*.", 2) == 0) {
        const char *dot = strchr(domain, '.');
        return dot != NULL && strcasecmp(pattern + 1, dot) == 0;
    }
    return strcasecmp(pattern, domain) == 0;
}

bool op_policy_is_right(const char *text, const char *domain, char *why, size_t size)
{
    char value[256], mode[32];
    bool found = false;

    if (!value_of(text, "version", 0, value, sizeof(value)) ||
        strcmp(value, "STSv1") != 0) {
        snprintf(why, size, "no policy: version is not STSv1");
        return false;
    }
    if (!value_of(text, "mode", 0, mode, sizeof(mode)) ||
        (strcmp(mode, "enforce") != 0 && strcmp(mode, "testing") != 0 &&
         strcmp(mode, "none") != 0) ||
        !value_of(text, "max_age", 0, value, sizeof(value)) ||
        strspn(value, "0123456789") != strlen(value) || value[0] == '\0') {
        snprintf(why, size, "no policy: mode or max_age is missing");
        return false;
    }
    for (int i = 0; value_of(text, "mx", i, value, sizeof(value)); i++) {
        found |= covers(value, domain);
    }
    if (!found && strcmp(mode, "none") != 0) {
        snprintf(why, size, "no mx line names %s: senders would not deliver", domain);
        return false;
    }
    if (strcmp(mode, "enforce") != 0) {
        snprintf(why, size, "mode is %s, which protects nothing", mode);
        return false;
    }
    return true;
}

static size_t take(char *data, size_t one, size_t n, void *ctx)
{
    struct cm_buf *b = ctx;

    cm_buf_add(b, data, one * n);
    return b->overflow ? 0 : one * n;
}

static CURLcode fetch(CURL *curl, const char *domain, const char *address,
                      struct cm_buf *body, long *status)
{
    bool v6 = strchr(address, ':') != NULL;
    char *url = cm_asprintf("https://mta-sts.%s/.well-known/mta-sts.txt", domain);
    char *at = cm_asprintf("mta-sts.%s:443:%s%s%s", domain, v6 ? "[" : "", address,
                           v6 ? "]" : "");
    struct curl_slist *resolve = curl_slist_append(NULL, at);
    const char *ca = getenv("SSL_CERT_FILE");

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_RESOLVE, resolve);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    }
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(resolve);
    free(at);
    free(url);
    return rc;
}

bool op_policy_check(const char *domain, const char *address, char *why, size_t size)
{
    CURL *curl = curl_easy_init();
    struct cm_buf body;
    long status = 0;

    cm_assert(curl != NULL);
    cm_buf_init(&body, OP_POLICY_MAX);
    CURLcode rc = fetch(curl, domain, address, &body, &status);
    bool right = false;
    if (rc != CURLE_OK) {
        snprintf(why, size, "%s", curl_easy_strerror(rc));
    } else if (status != 200) {
        snprintf(why, size, "HTTP status %ld, not 200", status);
    } else {
        right = op_policy_is_right(body.data, domain, why, size);
    }
    cm_buf_clear(&body);
    curl_easy_cleanup(curl);
    return right;
}
