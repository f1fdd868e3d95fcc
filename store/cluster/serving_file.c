#include "serving_file.h"

#include "common/buf.h"

#define TEXT_MAX (CM_GATEWAYS_MAX * 512 + 512)

char *serving_file_text(const struct px_state *state, const struct health *health)
{
    struct cm_buf out;

    cm_buf_init(&out, TEXT_MAX);
    if (state->epoch > 0 && !cm_value_is_ipv4(state->domain)) {
        cm_buf_fmt(&out, "domain %s\n", state->domain);
        for (size_t i = 0; i < state->gateway_count; i++) {
            const struct px_gateway *gw = &state->gateways[i];
            cm_buf_fmt(&out, "%s %s %s", gw->name, cm_mode_name(gw->mode),
                       health_state_name(health->rows[gw->number].state));
            for (size_t a = 0; a < gw->address_count; a++) {
                cm_buf_fmt(&out, " %s", gw->addresses[a]);
            }
            cm_buf_str(&out, "\n");
        }
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}
