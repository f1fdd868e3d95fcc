/* The app versions file that is shipped: one line, and the form that Core reads
 * (relay-spec.md 2.4.5; 6.5, 20 and 26). A wrong type makes Core drop the document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "versions.h"

#define VERSION_MAX 4294967295LL

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A non-empty string under that key, or NULL. */
static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* The id is in no element before this one. */
static bool is_new_id(const json_t *list, size_t index, const char *key)
{
    const char *id = text_of(json_array_get(list, index), key);
    for (size_t i = 0; i < index && id != NULL; i++) {
        const char *other = text_of(json_array_get(list, i), key);
        if (other != NULL && strcmp(other, id) == 0) {
            return false;
        }
    }
    return id != NULL;
}

static bool is_source(const json_t *source)
{
    const json_t *number = json_object_get(source, "versionInteger");
    const char *url = text_of(source, "downloadUrl");
    return json_object_size(source) == 4 && text_of(source, "versionString") != NULL &&
           json_is_integer(number) && json_integer_value(number) >= 0 &&
           json_integer_value(number) <= VERSION_MAX && url != NULL &&
           (has_prefix(url, "https://github.com/deltachat/") ||
            has_prefix(url, "https://download.delta.chat/"));
}

static bool is_client(const json_t *client)
{
    const json_t *sources = json_object_get(client, "sources");
    bool good = json_object_size(client) == 2 && json_array_size(sources) > 0;
    for (size_t i = 0; i < json_array_size(sources); i++) {
        good = good && is_new_id(sources, i, "sourceId") &&
               is_source(json_array_get(sources, i));
    }
    return good;
}

static bool is_document(const char *text)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *clients = json_object_get(json, "clients");
    bool good = json_object_size(json) == 1 && json_array_size(clients) > 0;
    for (size_t i = 0; i < json_array_size(clients); i++) {
        good = good && is_new_id(clients, i, "clientId") &&
               is_client(json_array_get(clients, i));
    }
    json_decref(json);
    return good;
}

#define SOURCE(id, number, url)                                                        \
    "{\"sourceId\":\"" id "\",\"versionInteger\":" number                              \
    ",\"versionString\":\"1\",\"downloadUrl\":\"" url "\"}"
#define GOOD_URL "https://download.delta.chat/x.apk"
#define DOCUMENT(sources)                                                              \
    "{\"clients\":[{\"clientId\":\"c\",\"sources\":[" sources "]}]}"

static void test_schema(void **state)
{
    (void)state;
    assert_true(is_document(DOCUMENT(SOURCE("a", "0", GOOD_URL))));
    assert_true(is_document(DOCUMENT(SOURCE("a", "4294967295", GOOD_URL))));
    static const char *const bad[] = {
        DOCUMENT(SOURCE("a", "true", GOOD_URL)),
        DOCUMENT(SOURCE("a", "-1", GOOD_URL)),
        DOCUMENT(SOURCE("a", "4294967296", GOOD_URL)),
        DOCUMENT(SOURCE("a", "\"754\"", GOOD_URL)),
        DOCUMENT(SOURCE("a", "754.0", GOOD_URL)),
        DOCUMENT(SOURCE("a", "null", GOOD_URL)),
        DOCUMENT(SOURCE("a", "1", GOOD_URL) "," SOURCE("a", "2", GOOD_URL)),
        DOCUMENT(SOURCE("a", "1", "https://example.org/x.apk")),
        DOCUMENT(""),
        "{\"clients\":[]}",
        "{\"client\":[{\"clientId\":\"c\"}]}",
        "{\"clients\":[{\"clientID\":\"c\",\"sources\":[" SOURCE("a", "1",
                                                                 GOOD_URL) "]}]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(is_document(bad[i]));
    }
}

static void test_shipped(void **state)
{
    (void)state;
    struct versions *versions = versions_new(SHIPPED);
    const char *line;
    struct cm_err err;
    assert_int_equal(versions_line(versions, &line, &err), 1);
    assert_null(strchr(line, '\n'));
    assert_true(is_document(line));
    versions_free(&versions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_schema),
                                       cmocka_unit_test(test_shipped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
