#include "pair.h"

#include "common/mem.h"
#include "probe/mail.h"

#define JOIN_MS  60000
#define SPACE_MS 1200 /* the core sends one message a second */

int pair_open(struct stage *stage, struct pair *pair_r, struct cm_err *err)
{
    int64_t ms;
    *pair_r = (struct pair){.count = 0};
    for (size_t i = 0; i < 2; i++) {
        pair_r->clients[i] = scene_chat(&stage->scene, "client", err);
        if (pair_r->clients[i] == NULL ||
            scene_chat_account(pair_r->clients[i], SCENE_DOMAIN, NULL, &pair_r->ends[i],
                               err) != 0) {
            return -1;
        }
    }
    return chat_join(&pair_r->ends[0], &pair_r->ends[1], JOIN_MS, &ms, err) != 0
               ? cm_err_prefix(err, "chat clients")
               : 0;
}

int pair_open_app(struct pair *pair, struct cm_err *err)
{
    return chat_maybe_network(pair->clients[0], err) != 0 ||
                   chat_maybe_network(pair->clients[1], err) != 0
               ? cm_err_prefix(err, "chat clients")
               : 0;
}

int pair_talk(struct pair *pair, int64_t limit_ms, int64_t *ms_r, struct cm_err *err)
{
    int64_t ms = 0, worst = 0;
    for (size_t to = 0; to < 2; to++) {
        cm_assert(pair->count < PAIR_TEXTS);
        char *text = pair->texts[pair->count].text;
        mail_random(text, sizeof pair->texts[0].text);
        pair->texts[pair->count++].to = to;
        stage_sleep_ms(SPACE_MS);
        if (chat_deliver(&pair->ends[1 - to], &pair->ends[to], text, limit_ms, &ms,
                         err) != 0) {
            return cm_err_prefix(err, "chat clients");
        }
        worst = ms > worst ? ms : worst;
    }
    if (ms_r != NULL) {
        *ms_r = worst;
    }
    return 0;
}

int pair_even(struct stage *stage, struct pair *pair, struct cm_err *err)
{
    for (size_t i = 0; i < pair->count; i++) {
        const struct chat_end *to = &pair->ends[pair->texts[i].to];
        size_t n = chat_count(to->client, to->account, pair->texts[i].text);
        if (n != 1) {
            return cm_err_set(err, CM_ERR_REFUSE,
                              "chat clients: message %zu of %zu arrived %zu times",
                              i + 1, pair->count, n);
        }
    }
    stage_note(stage, "%zu chat messages, each once", pair->count);
    return 0;
}

void pair_close(struct pair *pair)
{
    chat_close(&pair->clients[0]);
    chat_close(&pair->clients[1]);
}
