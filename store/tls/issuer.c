#include "issuer.h"

#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "common/buf.h"
#include "common/mem.h"

#define ASK_MS        10000L
#define DIRECTORY_MAX 65536

size_t issuer_of_directory(const char *json, char *out, size_t size)
{
    json_t *o = json_loads(json, 0, NULL);
    const char *name = json_string_value(json_array_get(
        json_object_get(json_object_get(o, "meta"), "caaIdentities"), 0));
    size_t ok = name == NULL ? 0
                             : strspn(name, "abcdefghijklmnopqrstuvwxyz"
                                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

    out[0] = '\0';
    if (name != NULL && name[ok] == '\0' && ok < size) {
        snprintf(out, size, "%s", name);
    }
    json_decref(o);
    return strlen(out);
}

static size_t take(char *data, size_t one, size_t n, void *ctx)
{
    struct cm_buf *b = ctx;

    cm_buf_add(b, data, one * n);
    return b->overflow ? 0 : one * n;
}

/* why: CURL_ERROR_SIZE bytes. */
static bool fetch(const char *url, struct cm_buf *b, char *why)
{
    CURL *curl = curl_easy_init();

    cm_assert(curl != NULL);
    why[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ASK_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, b);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK && why[0] == '\0') {
        snprintf(why, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
    }
    curl_easy_cleanup(curl);
    return code == CURLE_OK;
}

void issuer_ask(const char *url, char *out, size_t size)
{
    char why[CURL_ERROR_SIZE];
    struct cm_buf b;

    out[0] = '\0';
    cm_buf_init(&b, DIRECTORY_MAX);
    if (fetch(url, &b, why)) {
        (void)issuer_of_directory(b.data, out, size);
    }
    cm_buf_clear(&b);
}

int issuer_there(const char *url, struct cm_err *err)
{
    char why[CURL_ERROR_SIZE];
    struct cm_buf b;

    cm_buf_init(&b, DIRECTORY_MAX);
    bool there = fetch(url, &b, why);
    cm_buf_clear(&b);
    return there ? 0
                 : cm_err_set(err, CM_ERR_RETRY, "the CA cannot be reached: %s: %s",
                              url, why);
}
