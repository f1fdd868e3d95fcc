#include "report.h"

#include <string.h>

#include <jansson.h>

#include "common/conf.h"
#include "fields.h"
#include "report_counts.h"

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
        "{s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:s}", "format", "1.1", "name", r->name,
        "version", r->version, "applied_epoch", (json_int_t)r->applied_epoch,
        "applied_mode", r->applied_mode, "handshake_age_s",
        (json_int_t)r->handshake_age_s, "flows", (json_int_t)r->flows, "rx_bytes",
        (json_int_t)r->rx_bytes, "tx_bytes", (json_int_t)r->tx_bytes, "error", error);
    cm_assert(root != NULL);
    px_counts_dump(&r->counts, root);
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
        px_counts_read(o, &r->counts, err) ||
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
