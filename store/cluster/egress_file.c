#include "egress_file.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "proxy/text.h"

#define TEXT_MAX (CM_GATEWAYS_MAX * 512) /* a domain has 255 bytes at most */

static const struct px_gateway *by_number(const struct px_state *state, int number)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        if (state->gateways[i].number == number) {
            return &state->gateways[i];
        }
    }
    return NULL;
}

char *egress_file_text(const struct px_state *state, const int *healthy, size_t n)
{
    struct cm_buf out;
    const char *ehlo = cm_value_is_ipv4(state->domain) ? "-" : state->domain;
    cm_buf_init(&out, TEXT_MAX);
    if (state->gateway_count == 0 || state->egress == CM_EGRESS_DIRECT) {
        cm_buf_str(&out, "direct\n");
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const struct px_gateway *gw = by_number(state, healthy[i]);
        if (gw == NULL) {
            continue;
        }
        char v4[46], v6[46];
        px_inner4(gw->number, 2, v4);
        px_inner6(gw->number, 2, v6);
        cm_buf_fmt(&out, "%d %s %s %s %d\n", gw->number,
                   px_family_count(gw, false, NULL) > 0 ? v4 : "-",
                   px_family_count(gw, true, NULL) > 0 ? v6 : "-", ehlo,
                   gw->egress_weight);
    }
    return cm_buf_steal(&out);
}

void egress_file_write(const char *path, char *text, char **last_r)
{
    struct cm_err err;
    if (*last_r != NULL && strcmp(text, *last_r) == 0) {
        free(text);
        return;
    }
    free(*last_r);
    *last_r = NULL;
    if (cm_file_replace(path, text, strlen(text), 0644, &err) != 0) {
        cm_log_err(CM_LOG_WARNING, "egress_file_failed", &err);
        free(text);
        return;
    }
    *last_r = text;
}
