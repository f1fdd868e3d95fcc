/* What the store has published and heard, and the document that an edit makes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "modes.h"
#include "store_sql.h"

#define NUMBERS_MAX (64 * 1024)

const char op_modes_facts_sql[] =
    "select 'document ' || split_part(envelope, E'\\n', 2) from desired_state"
    " order by epoch desc limit 1;\n"
    "select 'number ' || number || ' ' || name from gateway order by number;\n";

void op_published_clear(struct op_published *was)
{
    free(was->numbers);
    was->numbers = NULL;
}

int op_published_parse(const char *rows, const char *status, struct op_published *was_r,
                       struct cm_err *err)
{
    struct cm_buf numbers;
    bool found = false;

    *was_r = (struct op_published){.numbers = NULL};
    cm_buf_init(&numbers, NUMBERS_MAX);
    for (const char *l = rows; *l != '\0';) {
        size_t len = strcspn(l, "\n");
        if (len > 9 && strncmp(l, "document ", 9) == 0) {
            if (px_state_parse(l + 9, len - 9, &was_r->state, err) != 0) {
                cm_buf_clear(&numbers);
                return cm_err_prefix(err, "the desired state on the store");
            }
            found = true;
        } else if (len > 7 && strncmp(l, "number ", 7) == 0) {
            cm_buf_fmt(&numbers, "%.*s\n", (int)len - 7, l + 7);
        }
        l += len + (l[len] == '\n');
    }
    was_r->numbers = cm_buf_steal(&numbers);
    if (!found) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "nothing has been published yet; run: chatops run");
    }
    if (op_fleet_parse(status, &was_r->fleet, err) != 0) {
        return -1;
    }
    return was_r->fleet.refused[0] == '\0'
               ? 0
               : cm_err_set(err, CM_ERR_WORLD,
                            "the newest desired state is refused (%s); run: chatops "
                            "run",
                            was_r->fleet.refused);
}

int op_published_read(struct op_cluster *c, struct op_published *was_r,
                      struct cm_err *err)
{
    struct op_host *store = &c->nodes[0].host;
    char *rows = NULL, *status = NULL;
    int rc = -1;

    *was_r = (struct op_published){.numbers = NULL};
    if (op_store_sql(store, op_modes_facts_sql, &rows, err) == 0 &&
        op_host_ask(store, "chatmail-cluster ctl status", &status, err) == 0) {
        rc = op_published_parse(rows, status, was_r, err);
    }
    free(rows);
    free(status);
    return rc;
}

bool op_published_knew(const struct op_published *was, const char *name)
{
    size_t n = strlen(name);

    for (const char *l = was->numbers; *l != '\0';) {
        size_t len = strcspn(l, "\n");
        const char *blank = memchr(l, ' ', len);
        if (blank != NULL && len - (size_t)(blank - l) - 1 == n &&
            strncmp(blank + 1, name, n) == 0) {
            return true;
        }
        l += len + (l[len] == '\n');
    }
    return false;
}

char *op_edited_state(const struct px_state *state, const char *name, enum cm_mode mode,
                      bool removes, enum cm_egress egress)
{
    struct px_state *s = cm_malloc(sizeof(*s));
    size_t n = 0;

    *s = *state;
    s->epoch = 0;
    s->ban_count = 0; /* the store's own business */
    s->egress = egress;
    for (size_t i = 0; i < state->gateway_count; i++) {
        bool ours = strcmp(state->gateways[i].name, name) == 0;
        if (ours && removes) {
            continue;
        }
        s->gateways[n] = state->gateways[i];
        s->gateways[n].mode = ours ? mode : s->gateways[n].mode;
        n++;
    }
    s->gateway_count = n;
    char *text = px_state_dump(s);
    free(s);
    return text;
}
