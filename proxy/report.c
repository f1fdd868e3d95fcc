#include "report.h"

#include <string.h>

#include <jansson.h>

#include "common/conf.h"
#include "fields.h"
#include "report_counts.h"

static json_t *dump_probes(const struct px_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->probe_count; i++) {
        const struct px_sight *s = &r->probes[i];
        json_array_append_new(list, json_pack("{s:i,s:s,s:I}", "port", s->port,
                                              "result", px_probe_name(s->result), "ms",
                                              (json_int_t)s->ms));
    }
    return list;
}

char *px_report_dump(const struct px_report *r)
{
    char error[sizeof(r->error)];
    size_t n = 0;
    for (; n < sizeof(error) - 1 && r->error[n] != 0; n++) {
        char c = r->error[n];
        error[n] = (char)(c < 0x20 || c > 0x7e ? '?' : c);
    }
    error[n] = 0;
    json_t *root = json_pack(
        "{s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:s}", "format", "1.3", "name",
        r->name, "version", r->version, "applied_epoch", (json_int_t)r->applied_epoch,
        "applied_mode", r->applied_mode, "handshake_age_s",
        (json_int_t)r->handshake_age_s, "flows", (json_int_t)r->flows, "rx_bytes",
        (json_int_t)r->rx_bytes, "tx_bytes", (json_int_t)r->tx_bytes, "reverted_epoch",
        (json_int_t)r->reverted_epoch, "error", error);
    cm_assert(root != NULL);
    px_counts_dump(&r->counts, root);
    json_object_set_new(root, "probes", dump_probes(r));
    char *text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
    cm_assert(text != NULL);
    json_decref(root);
    return text;
}

static int read_mode(const struct px_object *o, struct px_report *r, struct cm_err *err)
{
    enum cm_mode mode;
    if (px_field_text(o, "applied_mode", PX_NAME_LETTERS, 0, r->applied_mode,
                      sizeof(r->applied_mode), err) != 0) {
        return -1;
    }
    if (r->applied_mode[0] != 0 && cm_mode_parse(r->applied_mode, &mode, err) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "applied_mode: not a mode");
    }
    return 0;
}

/* Absent before 1.1. */
static int read_reverted(const struct px_object *o, struct px_report *r,
                         struct cm_err *err)
{
    const char *key = "reverted_epoch";
    return json_object_get(o->json, key) == NULL
               ? 0
               : px_field_int(o, key, 0, INT64_MAX, &r->reverted_epoch, err);
}

static int read_sight(json_t *json, struct px_sight *out, struct cm_err *err)
{
    struct px_object o = {json, "probes[]."};
    char result[16];
    int64_t port;
    if (!json_is_object(json)) {
        return cm_err_set(err, CM_ERR_REFUSE, "probes[]: not an object");
    }
    if (px_field_int(&o, "port", 1, 65535, &port, err) ||
        px_field_int(&o, "ms", 0, INT32_MAX, &out->ms, err) ||
        px_field_text(&o, "result", PX_NAME_LETTERS, 1, result, sizeof(result), err)) {
        return -1;
    }
    out->port = (uint16_t)port;
    return px_probe_parse(result, &out->result)
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "probes[].result: not one we know");
}

/* Absent before 1.1. */
static int read_probes(const struct px_object *o, struct px_report *r,
                       struct cm_err *err)
{
    json_t *list;
    if (json_object_get(o->json, "probes") == NULL) {
        return 0;
    }
    if (px_field_array(o, "probes", 0, PX_SIGHTS_MAX, &list, err) != 0) {
        return -1;
    }
    r->probe_count = json_array_size(list);
    for (size_t i = 0; i < r->probe_count; i++) {
        if (read_sight(json_array_get(list, i), &r->probes[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_report(const struct px_object *o, struct px_report *r,
                       struct cm_err *err)
{
    if (px_field_text(o, "name", PX_NAME_LETTERS, 1, r->name, sizeof(r->name), err) ||
        px_field_text(o, "version", PX_HOST_LETTERS "+~", 1, r->version,
                      sizeof(r->version), err) ||
        px_field_int(o, "applied_epoch", 0, INT64_MAX, &r->applied_epoch, err) ||
        read_mode(o, r, err) ||
        px_field_int(o, "handshake_age_s", -1, INT32_MAX, &r->handshake_age_s, err) ||
        px_field_int(o, "flows", -1, INT32_MAX, &r->flows, err) ||
        px_field_int(o, "rx_bytes", -1, INT64_MAX, &r->rx_bytes, err) ||
        px_field_int(o, "tx_bytes", -1, INT64_MAX, &r->tx_bytes, err) ||
        px_counts_read(o, &r->counts, err) || read_reverted(o, r, err) ||
        read_probes(o, r, err) ||
        px_field_text(o, "error", NULL, 0, r->error, sizeof(r->error), err)) {
        return -1;
    }
    return 0;
}

int px_report_parse(const char *text, size_t len, struct px_report *report_r,
                    struct cm_err *err)
{
    if (len > PX_REPORT_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "report of %zu bytes, at most %d", len,
                          PX_REPORT_MAX);
    }
    json_t *root;
    if (px_fields_open(text, len, &root, err) != 0) {
        return -1;
    }
    struct px_report report = {0};
    struct px_object o = {root, ""};
    int rc = read_report(&o, &report, err);
    if (rc == 0) {
        *report_r = report;
    }
    json_decref(root);
    return rc;
}
