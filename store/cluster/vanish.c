#include "vanish.h"

#include <string.h>

void vanish_init(struct vanish *v)
{
    memset(v, 0, sizeof(*v));
    for (int n = 0; n <= CM_GATEWAYS_MAX; n++) {
        v->rows[n].up_ms = v->rows[n].woke_ms = -1;
    }
}

static void look(struct vanish_row *row, bool up, const struct px_tunnel_facts *facts,
                 int64_t now_ms)
{
    /* A handshake begun anew makes the counter start at 0; that is no sign of life. */
    if (row->grown_ms == 0 || facts->rx_bytes > row->rx_bytes) {
        row->grown_ms = now_ms;
    }
    row->rx_bytes = facts->rx_bytes;
    if (!up) {
        row->up_ms = -1;
    } else if (row->up_ms < 0) {
        row->up_ms = now_ms;
        row->waked = row->forgotten = false;
    }
}

static bool has_witness(const struct vanish *v, const struct px_state *state,
                        int number, int64_t now_ms)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        const struct vanish_row *row = &v->rows[state->gateways[i].number];
        if (state->gateways[i].number != number && row->up_ms >= 0 &&
            now_ms - row->up_ms >= VANISH_WITNESS_MS) {
            return true;
        }
    }
    return false;
}

static void judge_one(struct vanish_row *row, int number, int64_t silent_ms,
                      vanish_cb cb, void *ctx, int64_t now_ms)
{
    int64_t still_ms = now_ms - row->grown_ms;
    if (silent_ms >= VANISH_WAKE_MS && still_ms >= VANISH_STILL_MS && !row->waked) {
        row->waked = true;
        if (row->woke_ms < 0 || now_ms - row->woke_ms >= VANISH_AGAIN_MS) {
            row->woke_ms = now_ms;
            cb(number, VANISH_WAKE, ctx);
        }
    }
    if (silent_ms >= VANISH_FORGET_MS && still_ms >= VANISH_FORGET_MS / 2 &&
        row->waked && !row->forgotten) {
        row->forgotten = true;
        cb(number, VANISH_FORGET, ctx);
    }
}

void vanish_judge(struct vanish *v, const struct health *health,
                  const struct px_state *state, int64_t since_ms,
                  const struct px_tunnel_facts *(*facts)(int number, void *ctx),
                  vanish_cb cb, void *ctx, int64_t now_ms)
{
    for (size_t i = 0; i < state->gateway_count; i++) {
        int n = state->gateways[i].number;
        look(&v->rows[n], health->rows[n].up, facts(n, ctx), now_ms);
    }
    for (size_t i = 0; i < state->gateway_count; i++) {
        int n = state->gateways[i].number;
        int64_t heard = health->rows[n].report_ms;
        if (!health->rows[n].up && has_witness(v, state, n, now_ms)) {
            judge_one(&v->rows[n], n, now_ms - (heard < 0 ? since_ms : heard), cb, ctx,
                      now_ms);
        }
    }
}

void vanish_woke_nobody(struct vanish *v, int number)
{
    v->rows[number].woke_ms = -1;
}
