/* What a round of status found out, for people and as JSON. */
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "status.h"
#include "status_heal.h"

#define LABEL "%-9s "
#define DAY_S 86400

/* ---- words ---- */

/* "42 s", "7 min", "3 h", "12 d"; "-" when it is not known. */
static const char *span(long long s, char out[24])
{
    static const struct {
        long long upto, unit;
        const char *name;
    } units[] = {{120, 1, "s"}, {7200, 60, "min"}, {2 * DAY_S, 3600, "h"}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && s >= 0; i++) {
        if (s < units[i].upto) {
            snprintf(out, 24, "%lld %s", s / units[i].unit, units[i].name);
            return out;
        }
    }
    if (s < 0) {
        snprintf(out, 24, "-");
    } else {
        snprintf(out, 24, "%lld d", s / DAY_S);
    }
    return out;
}

static const char *or_dash(long long n, char out[24])
{
    snprintf(out, 24, n < 0 ? "-" : "%lld", n);
    return out;
}

static void put_bytes(struct cm_buf *b, long long n)
{
    if (n >= 10000000000) {
        cm_buf_fmt(b, "%lld GB", n / 1000000000);
    } else {
        cm_buf_fmt(b, "%lld MB", n / 1000000);
    }
}

/* Broken at blanks, so that no line is wider than 80 columns unless a word is. */
static void add_text(const char *label, const char *text, struct op_screen *out)
{
    while (*text != '\0') {
        size_t n = strlen(text), cut = n;
        if (n > 69) {
            for (cut = 69; cut > 0 && text[cut] != ' '; cut--) {
            }
            cut = cut > 0 ? cut : strcspn(text, " ");
        }
        op_screen_add(out, OP_PLAIN, LABEL "%.*s", label, (int)cut, text);
        text += cut + strspn(text + cut, " ");
        label = "";
    }
}

/* ---- the probe ---- */

static enum op_colour pair_colour(const struct op_pair *p)
{
    return p->stage != OP_STAGE_DONE || p->ms >= OP_PROBE_RED_MS ? OP_RED
           : p->ms < OP_PROBE_GREEN_MS                           ? OP_GREEN
                                                                 : OP_YELLOW;
}

static const char *colour_name(enum op_colour colour)
{
    static const char *const names[] = {"", "green", "red", "yellow"};
    return names[colour];
}

static void add_probe(const struct op_report *r, struct op_screen *out)
{
    char why[400];

    if (!r->probed) {
        return;
    }
    for (size_t i = 0; i < r->ring.count; i++) {
        const struct op_pair *p = &r->ring.pairs[i];
        if (p->stage == OP_STAGE_DONE) {
            op_screen_add(out, pair_colour(p),
                          LABEL "%.20s -> %.20s  %.2f s, accepted after %.2f s",
                          i == 0 ? "probe" : "", p->in, p->out, (double)p->ms / 1000,
                          (double)p->accepted_ms / 1000);
        } else {
            op_probe_hop(p, why, sizeof(why));
            op_screen_add(out, OP_RED, LABEL "%.20s -> %.20s  stuck at %s",
                          i == 0 ? "probe" : "", p->in, p->out, why);
        }
    }
    if (r->ring.count == 0) {
        op_screen_add(out, r->c->node_count > 1 ? OP_RED : OP_PLAIN, LABEL "none: %s",
                      "probe", r->ring.trouble);
    }
}

/* Days until the certificate ends that a probe saw there; -1: not seen. */
static long long cert_days(const struct op_report *r, const char *gateway)
{
    long long now = cm_now_wall_ms() / 1000, days = -1;

    for (size_t i = 0; i < r->ring.count && r->probed; i++) {
        const struct op_pair *p = &r->ring.pairs[i];
        const char *const ends[] = {p->in, p->out};
        for (int k = 0; k < 2; k++) {
            if (p->cert_end_s[k] >= 0 && strcmp(ends[k], gateway) == 0) {
                days = (p->cert_end_s[k] - now) / DAY_S;
            }
        }
    }
    return days;
}

/* ---- gateways ---- */

static void add_gateway(const struct op_report *r, const struct op_node *node, bool all,
                        struct op_screen *out)
{
    const json_t *g = op_report_gateway(r, node->host.name);
    char report[24], epoch[24], shake[24], flows[24], cert[32] = "-";
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(node->gateway->addresses, words, CM_ADDRESSES_MAX);
    long long age = op_report_number(g, "report_age_ms"),
              days = cert_days(r, node->host.name);
    bool up = g != NULL && strcmp(op_report_text(g, "health"), "up") == 0;

    if (days >= 0) {
        snprintf(cert, sizeof(cert), "%lld d", days);
    }
    op_screen_add(out, up ? OP_PLAIN : OP_RED,
                  "%-12.12s %-6.6s %-8.8s %6s %6s %8s %6s  %-7.7s %s", node->host.name,
                  g != NULL ? op_report_text(g, "mode") : "-",
                  g != NULL ? op_report_text(g, "health") : "-",
                  or_dash(op_report_number(g, "applied_epoch"), epoch),
                  span(age < 0 ? -1 : age / 1000, report),
                  span(op_report_number(g, "handshake_age_s"), shake),
                  or_dash(op_report_number(g, "flows"), flows),
                  g != NULL ? op_report_text(g, "egress") : "-", cert);
    for (size_t i = 0; i < n && all; i++) {
        op_screen_add(out, OP_PLAIN, "%12s %s", "", words[i]);
    }
}

static void add_gateways(const struct op_report *r, bool all, struct op_screen *out)
{
    char text[512];
    const json_t *g;
    size_t i;

    if (r->c->node_count < 2) {
        return;
    }
    op_screen_add(out, OP_PLAIN, "%-12s %-6s %-8s %6s %6s %8s %6s  %-7s %s", "gateway",
                  "mode", "health", "epoch", "report", "shake", "flows", "egress",
                  "certificate");
    for (size_t k = 1; k < r->c->node_count; k++) {
        add_gateway(r, &r->c->nodes[k], all, out);
    }
    json_array_foreach(json_object_get(r->cluster, "gateways"), i, g)
    {
        if (op_heal_woken(g, text, sizeof(text)) > 0) {
            op_screen_add(out, OP_PLAIN, "  %s", text);
        }
    }
    if (op_heal_untold(r->cluster, &r->c->conf, text, sizeof(text)) > 0) {
        op_screen_add(out, OP_PLAIN,
                      "  by rules alone: %s; idle clients are not told of a cut tunnel",
                      text);
    }
}

/* ---- the store ---- */

static void add_units(const struct op_report *r, bool all, struct op_screen *out)
{
    size_t active = 0;
    const char *name;
    json_t *value;

    json_object_foreach(r->units, name, value)
    {
        active += strcmp(json_string_value(value), "active") == 0;
    }
    op_screen_add(out, active == json_object_size(r->units) ? OP_PLAIN : OP_RED,
                  LABEL "%zu of %zu active", "services", active,
                  json_object_size(r->units));
    json_object_foreach(r->units, name, value)
    {
        bool good = strcmp(json_string_value(value), "active") == 0;
        if (all || !good) {
            op_screen_add(out, good ? OP_PLAIN : OP_RED, "%10s%-34s %s", "", name,
                          json_string_value(value));
        }
    }
}

static void add_queue(const struct op_report *r, struct op_screen *out)
{
    char count[24];

    op_screen_add(out, OP_PLAIN, LABEL "%s", "queue", or_dash(r->queue, count));
    for (size_t i = 0; i < r->waiting_count; i++) {
        const struct op_waiting *w = &r->waiting[i];
        op_screen_add(
            out, OP_PLAIN, "%10s%lld to %s: %.*s", "", w->count, w->destination,
            (int)(60 - (strlen(w->destination) < 50 ? strlen(w->destination) : 50)),
            w->reason);
    }
}

static void add_push_disk_backup(const struct op_report *r, struct op_screen *out)
{
    char oldest[24], last[24];
    struct cm_buf b;

    op_screen_add(out, OP_PLAIN, LABEL "%s%s, %s%s%s", "push",
                  r->push_oldest_s < 0 ? "nothing waits" : "oldest waits for ",
                  r->push_oldest_s < 0 ? "" : span(r->push_oldest_s, oldest),
                  r->push_success_s < 0 ? "no success yet" : "last success ",
                  r->push_success_s < 0 ? "" : span(r->push_success_s, last),
                  r->push_success_s < 0 ? "" : " ago");
    cm_buf_init(&b, 2048);
    for (size_t i = 0; i < r->disk_count; i++) {
        cm_buf_fmt(&b, "%s%s ", i > 0 ? ", " : "", r->disks[i].path);
        put_bytes(&b, r->disks[i].free_bytes);
        cm_buf_fmt(&b, " free (%d %%)", r->disks[i].used_percent);
    }
    op_screen_add(out, OP_PLAIN, LABEL "%s", "disk", b.len > 0 ? b.data : "-");
    cm_buf_clear(&b);
    if (r->backup_age_s < 0) {
        op_screen_add(out, OP_YELLOW, LABEL "none known; make one: chatops backup",
                      "backup");
    } else {
        op_screen_add(out, r->backup_age_s > OP_BACKUP_LATE_S ? OP_RED : OP_PLAIN,
                      LABEL "%s ago", "backup", span(r->backup_age_s, last));
    }
}

/* "name value, name value", over several lines of at most 80 columns. */
static void add_list(const char *label, json_t *object, struct op_screen *out)
{
    struct cm_buf b;
    const char *name;
    json_t *value;

    cm_buf_init(&b, 4096);
    json_object_foreach(object, name, value)
    {
        const char *v = json_string_value(value);
        if (b.len > 0 && b.len + strlen(name) + strlen(v) > 65) {
            add_text(label, b.data, out);
            cm_buf_reset(&b);
            label = "";
        }
        cm_buf_fmt(&b, "%s%s %s", b.len > 0 ? ", " : "", name, v);
    }
    add_text(label, b.len > 0 ? b.data : "-", out);
    cm_buf_clear(&b);
}

static void add_runs(const struct op_report *r, struct op_screen *out)
{
    const char *name;
    json_t *value;

    json_object_foreach(r->runs, name, value)
    {
        if (strcmp(json_string_value(value), "success") != 0) {
            op_screen_add(out, OP_RED, LABEL "%s: %s", "last run", name,
                          json_string_value(value));
        }
    }
}

static void add_store(const struct op_report *r, bool all, struct op_screen *out)
{
    const struct cm_conf *conf = &r->c->conf;

    add_units(r, all, out);
    add_queue(r, out);
    add_push_disk_backup(r, out);
    add_runs(r, out);
    add_list("Dovecot", r->plugins, out);
    add_list("packages", r->packages, out);
    if (conf->store.echo_core[0] != '\0') {
        op_screen_add(out, OP_PLAIN, LABEL "%s", "echo bot",
                      r->invite[0] != '\0' ? r->invite : "no invite link yet");
    }
}

void op_report_screen(const struct op_report *r, bool all, struct op_screen *out)
{
    const struct cm_conf *conf = &r->c->conf;
    bool privacy = conf->privacy_postal != NULL && conf->privacy_mail != NULL;
    char epoch[24];

    op_screen_add(out, OP_GREEN, "chatmail domain: %s", conf->mail_domain);
    op_screen_add(out, privacy ? OP_GREEN : OP_RED, "%s",
                  privacy ? "privacy settings: present" : "no privacy settings");
    for (size_t i = 0; i < r->wrong_count; i++) {
        op_screen_add(out, OP_RED, "wrong: %s", r->wrong[i]);
    }
    if (r->wrong_count == 0) {
        op_screen_add(out, OP_GREEN, "all is well");
    }
    op_screen_add(out, OP_PLAIN, "epoch %s, egress %s",
                  or_dash(op_report_number(r->cluster, "epoch"), epoch),
                  cm_egress_name(conf->store.egress));
    add_gateways(r, all, out);
    add_probe(r, out);
    if (r->certificate.len > 0) {
        add_text("certs", r->certificate.data, out);
    }
    if (r->answered) {
        add_store(r, all, out);
    }
}

/* ---- JSON ---- */

static json_t *probe_json(const struct op_report *r)
{
    json_t *list = json_array();
    char why[400];

    for (size_t i = 0; i < r->ring.count && r->probed; i++) {
        const struct op_pair *p = &r->ring.pairs[i];
        op_probe_wrong(p, why, sizeof(why));
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:s, s:I, s:I, s:s, s:s}", "in", p->in,
                            "out", p->out, "ok", p->stage == OP_STAGE_DONE, "colour",
                            colour_name(pair_colour(p)), "ms", (json_int_t)p->ms,
                            "accepted_ms", (json_int_t)p->accepted_ms, "hop",
                            p->stage == OP_STAGE_DONE ? "" : op_hop_name(p->hop), "why",
                            why));
    }
    return json_pack("{s:b, s:s, s:o}", "done", r->probed, "trouble",
                     r->probed ? r->ring.trouble : "", "pairs", list);
}

static json_t *waiting_json(const struct op_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->waiting_count; i++) {
        const struct op_waiting *w = &r->waiting[i];
        json_array_append_new(list, json_pack("{s:I, s:s, s:s}", "count",
                                              (json_int_t)w->count, "destination",
                                              w->destination, "reason", w->reason));
    }
    return list;
}

static json_t *disks_json(const struct op_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->disk_count; i++) {
        const struct op_disk *d = &r->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:i}", "path", d->path,
                                              "free_bytes", (json_int_t)d->free_bytes,
                                              "used_percent", d->used_percent));
    }
    return list;
}

static json_t *certs_json(const struct op_report *r)
{
    json_t *o = json_object();

    for (size_t i = 1; i < r->c->node_count; i++) {
        const char *name = r->c->nodes[i].host.name;
        json_object_set_new(o, name, json_integer(cert_days(r, name)));
    }
    return o;
}

json_t *op_report_json(const struct op_report *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->wrong_count; i++) {
        json_array_append_new(list, json_string(r->wrong[i]));
    }
    json_t *o = json_pack(
        "{s:s, s:b, s:b, s:O*, s:O, s:O, s:O, s:O, s:I, s:o, s:{s:I, s:I, s:I}, s:s, "
        "s:o, "
        "s:o, s:o, s:o, s:I, s:o, s:s, s:O}",
        "domain", r->c->conf.mail_domain, "ok", r->wrong_count == 0, "store_answers",
        r->answered, "cluster", r->cluster, "units", r->units, "packages", r->packages,
        "dovecot_plugins", r->plugins, "runs", r->runs, "queue", (json_int_t)r->queue,
        "queue_waiting", waiting_json(r), "push", "oldest_s",
        (json_int_t)r->push_oldest_s, "success_s", (json_int_t)r->push_success_s,
        "stuck_s", (json_int_t)r->push_stuck_s, "echo_invite",
        r->c->conf.store.echo_core[0] != '\0' ? r->invite : "", "wrong", list,
        "idle_not_told", op_heal_untold_json(r->cluster, &r->c->conf), "probe",
        probe_json(r), "disks", disks_json(r), "backup_age_s",
        (json_int_t)r->backup_age_s, "certificate_days", certs_json(r), "certificate",
        r->certificate.data, "silent", r->silent);
    cm_assert(o != NULL);
    return o;
}
