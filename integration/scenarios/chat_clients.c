/* The real client, twice: handshake and a message each way. */
#include "scenario.h"

#include "chat/chat.h"
#include "common/mem.h"
#include "probe/mail.h"

#define JOIN_MS    60000
#define DELIVER_MS 30000
#define SPACE_MS   1200 /* the core sends one message a second */

static int talk(struct stage *stage, struct chat_end *a, struct chat_end *b,
                struct cm_err *err)
{
    char text[17];
    int64_t join_ms = 0, there_ms = 0, back_ms = 0;
    if (chat_join(a, b, JOIN_MS, &join_ms, err) != 0) {
        return cm_err_prefix(err, "handshake");
    }
    stage_sleep_ms(SPACE_MS);
    mail_random(text, sizeof text);
    if (chat_deliver(a, b, text, DELIVER_MS, &there_ms, err) != 0) {
        return cm_err_prefix(err, "message there");
    }
    stage_sleep_ms(SPACE_MS);
    mail_random(text, sizeof text);
    if (chat_deliver(b, a, text, DELIVER_MS, &back_ms, err) != 0) {
        return cm_err_prefix(err, "message back");
    }
    stage_note(stage, "handshake %.1f s, there %lld ms, back %lld ms",
               (double)join_ms / 1000, (long long)there_ms, (long long)back_ms);
    return 0;
}

/* Both clients run in node client, each account's connections go to one host. */
static int meet(struct stage *stage, const char *const domains[2],
                const char *const hosts[2], struct cm_err *err)
{
    struct chat_client *clients[2] = {NULL, NULL};
    struct chat_end ends[2];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        clients[i] = scene_chat(&stage->scene, "client", err);
        rc = clients[i] == NULL
                 ? -1
                 : scene_chat_account(clients[i], domains[i], hosts[i], &ends[i], err);
    }
    if (rc == 0) {
        rc = talk(stage, &ends[0], &ends[1], err);
    }
    chat_close(&clients[0]);
    chat_close(&clients[1]);
    return rc;
}

int scenario_chat_cluster(struct stage *stage, struct cm_err *err)
{
    static const char *const domains[] = {SCENE_DOMAIN, SCENE_DOMAIN};
    const char *hosts[] = {lab_address("edge1", AF_INET),
                           lab_address("edge2", AF_INET)};
    return meet(stage, domains, hosts, err);
}

/* Hosts found by DNS, as a user's client would. */
int scenario_chat_relay2(struct stage *stage, struct cm_err *err)
{
    static const char *const domains[] = {SCENE_DOMAIN, SCENE_RELAY2};
    static const char *const hosts[] = {NULL, NULL};
    return meet(stage, domains, hosts, err);
}
