#include "state_guard.h"

#include <string.h>

#define RATE_MAX  100000
#define BURST_MAX 1000000
#define UNTIL_MAX INT64_C(100000000000)

void px_guard_dump(const struct px_state *state, json_t *root)
{
    const struct px_limits *l = &state->limits;

    if (l->source_rate != 0 || l->stranger_rate != 0) {
        json_object_set_new(root, "limits",
                            json_pack("{s:i,s:i,s:i}", "source_rate", l->source_rate,
                                      "source_burst", l->source_burst, "stranger_rate",
                                      l->stranger_rate));
    }
    json_t *bans = state->ban_count > 0 ? json_array() : NULL;
    for (size_t i = 0; i < state->ban_count; i++) {
        char source[CM_SOURCE_TEXT];
        cm_source_text(state->bans[i].source, false, source);
        json_array_append_new(
            bans, json_pack("[s,I]", source, (json_int_t)state->bans[i].until));
    }
    if (bans != NULL) {
        json_object_set_new(root, "bans", bans);
    }
}

static int read_limits(const struct px_object *o, struct px_limits *limits,
                       struct cm_err *err)
{
    struct px_object l = {json_object_get(o->json, "limits"), "limits."};
    int64_t rate, burst, strangers;

    if (l.json == NULL) {
        return 0;
    }
    if (!json_is_object(l.json)) {
        return cm_err_set(err, CM_ERR_REFUSE, "limits: not an object");
    }
    if (px_field_int(&l, "source_rate", 0, RATE_MAX, &rate, err) ||
        px_field_int(&l, "source_burst", rate > 0, BURST_MAX, &burst, err) ||
        px_field_int(&l, "stranger_rate", 0, RATE_MAX, &strangers, err)) {
        return -1;
    }
    *limits = (struct px_limits){(int)rate, (int)burst, (int)strangers};
    return 0;
}

/* ["203.0.113.7",1764212345]: a source in the one form that it has. Whether it may be
 * banned is the store's business; the gateway leaves its own addresses out. */
static int read_ban(json_t *json, size_t index, struct px_ban *ban, struct cm_err *err)
{
    json_t *first = json_array_get(json, 0), *second = json_array_get(json, 1);
    const char *text = json_is_string(first) ? json_string_value(first) : "";
    char same[CM_SOURCE_TEXT] = "";
    int64_t until = json_is_integer(second) ? json_integer_value(second) : 0;
    struct cm_err ignored;

    if (json_array_size(json) == 2 &&
        cm_source_parse(text, ban->source, &ignored) == 0) {
        cm_source_text(ban->source, false, same);
    }
    if (same[0] == '\0' || strcmp(same, text) != 0 ||
        json_string_length(first) != strlen(text)) {
        return cm_err_set(err, CM_ERR_REFUSE, "bans[%zu]: not a source and a time",
                          index);
    }
    if (until < 1 || until > UNTIL_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "bans[%zu]: not a time", index);
    }
    ban->until = until;
    return 0;
}

static int read_bans(const struct px_object *o, struct px_state *state,
                     struct cm_err *err)
{
    json_t *list;

    if (json_object_get(o->json, "bans") == NULL) {
        return 0;
    }
    if (px_field_array(o, "bans", 1, PX_BANS_MAX, &list, err) != 0) {
        return -1;
    }
    state->ban_count = json_array_size(list);
    for (size_t i = 0; i < state->ban_count; i++) {
        struct px_ban *ban = &state->bans[i];
        if (read_ban(json_array_get(list, i), i, ban, err) != 0) {
            return -1;
        }
        if (i > 0 && memcmp(ban[-1].source, ban->source, CM_SOURCE_LEN) >= 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "bans[%zu]: not in ascending order",
                              i);
        }
    }
    return 0;
}

int px_guard_read(const struct px_object *o, struct px_state *state, struct cm_err *err)
{
    return read_limits(o, &state->limits, err) != 0 ? -1 : read_bans(o, state, err);
}
