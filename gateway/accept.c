#include "accept.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static int check_epoch(const struct gw_force *force, const struct px_state *state,
                       struct cm_err *err)
{
    if (state->epoch < 1) {
        return cm_err_set(err, CM_ERR_REFUSE, "epoch %" PRId64 " is a draft",
                          state->epoch);
    }
    if (state->epoch < force->epoch) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "epoch %" PRId64 " is older than epoch %" PRId64 " in force",
                          state->epoch, force->epoch);
    }
    /* After a restart the content of the epoch in force is not known: it is taken
     * again. */
    if (state->epoch == force->epoch && force->envelope != NULL) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "epoch %" PRId64 " a second time, with other content",
                          state->epoch);
    }
    return 0;
}

static int check_us(const struct gw_boot *boot, const struct gw_force *force,
                    const struct px_state *state, struct cm_err *err)
{
    if (force->domain[0] != 0 && strcmp(force->domain, state->domain) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "it is for %s, we serve %s",
                          state->domain, force->domain);
    }
    const struct px_gateway *gw = px_state_find(state, boot->name);
    if (gw == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "gateway %s is not in it", boot->name);
    }
    if (gw->number != boot->number) {
        return cm_err_set(err, CM_ERR_REFUSE, "gateway %s is number %d in it, here %d",
                          boot->name, gw->number, boot->number);
    }
    return 0;
}

enum gw_verdict gw_accept(const struct gw_boot *boot, const struct gw_force *force,
                          const char *envelope, size_t len, struct px_state *state_r,
                          struct cm_err *err)
{
    if (force->envelope != NULL && len == force->envelope_len &&
        memcmp(envelope, force->envelope, len) == 0) {
        return GW_SAME;
    }
    struct px_state *state = cm_calloc(1, sizeof(*state));
    enum gw_verdict verdict = GW_REFUSE;
    if (px_envelope_open(boot->cluster_key, envelope, len, state, err) == 0 &&
        check_epoch(force, state, err) == 0 && check_us(boot, force, state, err) == 0) {
        *state_r = *state;
        verdict = GW_TAKE;
    }
    free(state);
    return verdict;
}
