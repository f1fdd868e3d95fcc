/* Nobody relays through us, neither strangers nor a gateway that speaks for itself. */
#include "scenario.h"

#include "door.h"
#include "probe/smtp.h"

#define STEP_MS  20000
#define KNOCK_MS 2500
#define EHLO     "thief.client.example"

static const char *const recipients[] = {
    "someone@elsewhere.example",
    "someone%elsewhere.example@" SCENE_DOMAIN,
    "@" SCENE_DOMAIN ":someone@elsewhere.example",
    "\"someone@elsewhere.example\"@" SCENE_DOMAIN,
};

static int refuse_all(struct smtp *smtp, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof recipients / sizeof recipients[0]; i++) {
        struct smtp_reply reply;
        if (smtp_command(smtp, &reply, err, "MAIL FROM:<thief@client.example>") != 0 ||
            smtp_command(smtp, &reply, err, "RCPT TO:<%s>", recipients[i]) != 0) {
            return -1;
        }
        if (reply.code < 500) {
            return cm_err_set(err, CM_ERR_REFUSE, "recipient %s: %d %.200s",
                              recipients[i], reply.code, reply.text);
        }
        if (smtp_command(smtp, &reply, err, "RSET") != 0) {
            return -1;
        }
    }
    return 0;
}

static int strangers(struct stage *stage, struct cm_err *err)
{
    static const char *const gateways[] = {"edge1", "edge2"};
    for (size_t i = 0; i < 4; i++) {
        struct door door =
            door_at(gateways[i / 2], i % 2 == 0 ? AF_INET : AF_INET6, 25, false);
        struct wire_to to = door_wire(stage, &door, STEP_MS);
        char name[64];
        door_name(&door, name);
        struct smtp *smtp = smtp_open(&to, EHLO, err);
        int rc = smtp == NULL ? -1 : refuse_all(smtp, err);
        smtp_close(&smtp);
        if (rc != 0) {
            return cm_err_prefix(err, "%s", name);
        }
    }
    return 0;
}

/* From the gateway's own tunnel address: no connection, or no relaying. */
static int from_the_tunnel(struct stage *stage, struct cm_err *err)
{
    static const char *const stores[] = {"10.77.1.2", "fd77:1::2"};
    char netns[64];
    if (scene_netns(&stage->scene, "edge1", netns, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        struct cm_err why;
        struct wire_to to = {
            .netns = netns, .host = stores[i], .port = 25, .timeout_ms = KNOCK_MS};
        struct smtp *smtp = smtp_open(&to, EHLO, &why);
        int rc = smtp == NULL ? 0 : refuse_all(smtp, err);
        smtp_close(&smtp);
        if (rc != 0) {
            return cm_err_prefix(err, "from edge1's tunnel address");
        }
    }
    return 0;
}

int scenario_open_relay(struct stage *stage, struct cm_err *err)
{
    return strangers(stage, err) != 0 ? -1 : from_the_tunnel(stage, err);
}
