#include "chatter.h"

#include <stdlib.h>

#include "chat/chat.h"
#include "common/clock.h"
#include "common/mem.h"
#include "probe/mail.h"

#define JOIN_MS 90000

struct text {
    size_t from; /* 0 or 1 */
    char words[17];
};

struct chatter {
    struct chat_client *clients[2];
    struct chat_end ends[2];
    struct text texts[CHATTER_MAX];
    size_t count;
};

static int meet(struct stage *stage, struct chatter *c, struct cm_err *err)
{
    int64_t ms;
    for (size_t i = 0; i < 2; i++) {
        c->clients[i] = scene_chat(&stage->scene, "client", err);
        if (c->clients[i] == NULL || scene_chat_account(c->clients[i], SCENE_DOMAIN,
                                                        NULL, &c->ends[i], err) != 0) {
            return -1;
        }
    }
    return chat_join(&c->ends[0], &c->ends[1], JOIN_MS, &ms, err);
}

struct chatter *chatter_start(struct stage *stage, struct cm_err *err)
{
    struct chatter *c = cm_calloc(1, sizeof *c);
    if (meet(stage, c, err) != 0) {
        cm_err_prefix(err, "chat clients");
        chatter_stop(&c);
    }
    return c;
}

void chatter_stop(struct chatter **chatter)
{
    struct chatter *c = *chatter;
    if (c != NULL) {
        chat_close(&c->clients[0]);
        chat_close(&c->clients[1]);
        free(c);
        *chatter = NULL;
    }
}

int chatter_say(struct chatter *c, struct cm_err *err)
{
    for (size_t i = 0; i < 2; i++) {
        int64_t at;
        cm_assert(c->count < CHATTER_MAX);
        struct text *text = &c->texts[c->count];
        text->from = i;
        mail_random(text->words, sizeof text->words);
        if (chat_send(&c->ends[i], text->words, &at, err) != 0) {
            return cm_err_prefix(err, "chat client %zu", i + 1);
        }
        c->count++;
    }
    return 0;
}

int chatter_wake(struct chatter *c, struct cm_err *err)
{
    return chat_maybe_network(c->clients[0], err) != 0
               ? -1
               : chat_maybe_network(c->clients[1], err);
}

int chatter_even(struct chatter *c, int64_t limit_ms, size_t *count_r,
                 struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + limit_ms;
    for (size_t i = 0; i < c->count; i++) {
        const struct text *text = &c->texts[i];
        const struct chat_end *to = &c->ends[1 - text->from];
        struct chat_message message;
        int64_t left = until - cm_now_mono_ms();
        int rc = chat_wait_text(to->client, to->account, text->words,
                                left > 0 ? left : 0, &message, err);
        if (rc <= 0) {
            return rc < 0 ? -1
                          : cm_err_set(err, CM_ERR_REFUSE,
                                       "chat: text %zu of %zu did not come in %lld s",
                                       i + 1, c->count, (long long)limit_ms / 1000);
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct chat_end *to = &c->ends[1 - c->texts[i].from];
        size_t n = chat_count(to->client, to->account, c->texts[i].words);
        if (n != 1) {
            return cm_err_set(err, CM_ERR_REFUSE, "chat: text %zu came %zu times",
                              i + 1, n);
        }
    }
    *count_r = c->count;
    return 0;
}

int chatter_play(struct stage *stage, chatter_scene scene, struct cm_err *err)
{
    struct ledger ledger;
    ledger_init(&ledger);
    struct chatter *chatter = chatter_start(stage, err);
    int rc = chatter != NULL ? scene(stage, chatter, &ledger, err) : -1;
    chatter_stop(&chatter);
    ledger_clear(&ledger);
    return rc;
}
