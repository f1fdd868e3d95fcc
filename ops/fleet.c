#include "fleet.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void take_text(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));

    snprintf(out, size, "%s", s != NULL ? s : "");
}

static int64_t take_number(const json_t *o, const char *key)
{
    const json_t *n = json_object_get(o, key);

    return json_is_integer(n) ? (int64_t)json_integer_value(n) : -1;
}

static void take_member(const json_t *o, struct op_member *m)
{
    take_text(o, "name", m->name, sizeof(m->name));
    take_text(o, "mode", m->mode, sizeof(m->mode));
    take_text(o, "applied_mode", m->applied_mode, sizeof(m->applied_mode));
    take_text(o, "error", m->error, sizeof(m->error));
    take_text(o, "version", m->version, sizeof(m->version));
    take_text(o, "health", m->health, sizeof(m->health));
    take_text(o, "health_reason", m->health_reason, sizeof(m->health_reason));
    m->agentless = json_is_false(json_object_get(o, "agent"));
    m->applied_epoch = take_number(o, "applied_epoch");
    m->report_age_ms = take_number(o, "report_age_ms");
}

int op_fleet_parse(const char *status, struct op_fleet *fleet_r, struct cm_err *err)
{
    json_t *o = json_loads(status, 0, NULL), *g;
    json_t *list = json_object_get(o, "gateways");
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > CM_GATEWAYS_MAX ||
        !json_is_integer(json_object_get(o, "epoch"))) {
        json_decref(o);
        return cm_err_set(err, CM_ERR_WORLD, "store: ctl status answered: %.200s",
                          status);
    }
    *fleet_r = (struct op_fleet){.epoch = take_number(o, "epoch")};
    take_text(o, "refused", fleet_r->refused, sizeof(fleet_r->refused));
    json_array_foreach(list, i, g)
    {
        take_member(g, &fleet_r->members[fleet_r->count++]);
    }
    json_decref(o);
    return 0;
}

const struct op_member *op_fleet_find(const struct op_fleet *fleet, const char *name)
{
    for (size_t i = 0; i < fleet->count; i++) {
        if (strcmp(fleet->members[i].name, name) == 0) {
            return &fleet->members[i];
        }
    }
    return NULL;
}

bool op_member_reports(const struct op_member *m)
{
    return m->report_age_ms >= 0 && m->report_age_ms <= OP_REPORT_LATE_MS;
}

/* An older or newer program may be why. */
static void add_version(const struct op_member *m, char *why, size_t size)
{
    size_t used = strlen(why);

    if (m->version[0] != '\0' && strcmp(m->version, PORTICO_VERSION) != 0) {
        snprintf(why + used, size - used, " (it runs version %s)", m->version);
    }
}

/* Its own word first: what it says is newer than what can be read from its silence. */
static void reason(const struct op_member *m, char *why, size_t size)
{
    if (m->report_age_ms > OP_REPORT_LATE_MS) {
        snprintf(why, size, "no report for %lld s",
                 (long long)(m->report_age_ms / 1000));
    } else if (m->error[0] != '\0') {
        snprintf(why, size, "%s", m->error);
    } else if (m->report_age_ms < 0) {
        snprintf(why, size, "no report yet");
    } else {
        snprintf(why, size, "it is at epoch %lld, mode %s", (long long)m->applied_epoch,
                 m->applied_mode[0] != '\0' ? m->applied_mode : "none");
    }
    add_version(m, why, size);
}

/* Nobody there says what was applied; that it serves can be seen. */
static bool agentless_applied(const struct op_member *m, enum cm_mode mode, char *why,
                              size_t size)
{
    if (mode == CM_MODE_ACTIVE && strcmp(m->health, "up") == 0) {
        why[0] = '\0';
        return true;
    }
    snprintf(why, size, "it has no agent%s%s", m->health_reason[0] != '\0' ? ": " : "",
             m->health_reason);
    return false;
}

bool op_fleet_applied(const struct op_fleet *fleet, const char *name, enum cm_mode mode,
                      char *why, size_t size)
{
    const struct op_member *m = op_fleet_find(fleet, name);

    if (m == NULL) {
        snprintf(why, size, "it is not part of the published state");
        return false;
    }
    if (m->agentless) {
        return agentless_applied(m, mode, why, size);
    }
    if (op_member_reports(m) && m->applied_epoch == fleet->epoch &&
        strcmp(m->applied_mode, cm_mode_name(mode)) == 0 && m->error[0] == '\0') {
        why[0] = '\0';
        return true;
    }
    reason(m, why, size);
    return false;
}

static bool answers(const struct op_member *m)
{
    return m->agentless ? strcmp(m->health, "up") == 0 : op_member_reports(m);
}

static bool serves(const struct op_member *m)
{
    return strcmp(m->mode, cm_mode_name(CM_MODE_ACTIVE)) == 0;
}

bool op_fleet_is_last(const struct op_fleet *fleet, const char *name)
{
    const struct op_member *m = op_fleet_find(fleet, name);

    if (m == NULL || !serves(m)) {
        return false;
    }
    for (size_t i = 0; i < fleet->count; i++) {
        const struct op_member *other = &fleet->members[i];
        if (other != m && serves(other) && answers(other)) {
            return false;
        }
    }
    return true;
}

size_t op_fleet_late(const struct op_fleet *fleet, const char *except, size_t *living_r,
                     char *out, size_t size)
{
    size_t late = 0, used = 0;

    out[0] = '\0';
    *living_r = 0;
    for (size_t i = 0; i < fleet->count; i++) {
        const struct op_member *m = &fleet->members[i];
        char why[300];
        if (strcmp(m->name, except) == 0 || m->applied_epoch >= fleet->epoch ||
            m->agentless) {
            continue;
        }
        reason(m, why, sizeof(why));
        int n = snprintf(out + used, size - used, "%s%s: %s", late > 0 ? "; " : "",
                         m->name, why);
        used += n < 0 ? 0 : (size_t)n < size - used ? (size_t)n : size - used - 1;
        *living_r += op_member_reports(m);
        late++;
    }
    return late;
}
