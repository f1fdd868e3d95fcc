#include "fields.h"

#include <string.h>

int px_fields_open(const char *text, size_t len, json_t **root_r, struct cm_err *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "not JSON: %s", why.text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return cm_err_set(err, CM_ERR_REFUSE, "not a JSON object");
    }
    *root_r = root;
    return 0;
}

static bool all_in(const char *text, size_t len, const char *letters)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (letters != NULL ? c == 0 || strchr(letters, c) == NULL
                            : c < 0x20 || c > 0x7e) {
            return false;
        }
    }
    return true;
}

int px_field_text(const struct px_object *o, const char *key, const char *letters,
                  size_t min, char *out, size_t cap, struct cm_err *err)
{
    json_t *value = json_object_get(o->json, key);
    if (!json_is_string(value)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %s", o->where, key,
                          value == NULL ? "missing" : "not a text");
    }
    size_t len = json_string_length(value);
    if (len < min || len >= cap) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %zu bytes, allowed are %zu to %zu",
                          o->where, key, len, min, cap - 1);
    }
    if (!all_in(json_string_value(value), len, letters)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: a character is not allowed",
                          o->where, key);
    }
    memcpy(out, json_string_value(value), len);
    out[len] = 0;
    return 0;
}

int px_field_int(const struct px_object *o, const char *key, int64_t min, int64_t max,
                 int64_t *out, struct cm_err *err)
{
    json_t *value = json_object_get(o->json, key);
    if (!json_is_integer(value)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %s", o->where, key,
                          value == NULL ? "missing" : "not an integer");
    }
    int64_t n = json_integer_value(value);
    if (n < min || n > max) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %lld is outside %lld to %lld",
                          o->where, key, (long long)n, (long long)min, (long long)max);
    }
    *out = n;
    return 0;
}

int px_field_bool(const struct px_object *o, const char *key, bool *out,
                  struct cm_err *err)
{
    json_t *value = json_object_get(o->json, key);
    if (!json_is_boolean(value)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %s", o->where, key,
                          value == NULL ? "missing" : "neither true nor false");
    }
    *out = json_is_true(value);
    return 0;
}

int px_field_array(const struct px_object *o, const char *key, size_t min, size_t max,
                   json_t **out, struct cm_err *err)
{
    json_t *value = json_object_get(o->json, key);
    if (!json_is_array(value)) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s%s: %s", o->where, key,
                          value == NULL ? "missing" : "not a list");
    }
    size_t n = json_array_size(value);
    if (n < min || n > max) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s%s: %zu entries, allowed are %zu to %zu", o->where, key, n,
                          min, max);
    }
    *out = value;
    return 0;
}

int px_field_key(const struct px_object *o, const char *key, char *out,
                 struct cm_err *err)
{
    char text[45];
    if (px_field_text(o, key, PX_BASE64_LETTERS, 44, text, sizeof(text), err) != 0) {
        return -1;
    }
    if (strchr(text, '=') != text + 43) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s%s: not a key (44 characters of base64)", o->where, key);
    }
    memcpy(out, text, sizeof(text));
    return 0;
}
