/* Nobody relays through us, and a stolen gateway reaches nothing but the mail ports.
 *
 * The thief is edge1 with its daemon stopped and its side of the tunnel opened wide. A
 * probe that must fail means something only beside one that must succeed: the same
 * connection from edge1's public address, to port 25. */
#include "scenario.h"

#include "door.h"
#include "probe/smtp.h"
#include "probe/wire.h"

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

struct target {
    const char *what;
    const char *source; /* an address edge1 is made to speak from */
    const char *host;
    int port;
    bool opens;
};

#define PUBLIC "198.51.100.11"

static const struct target targets[] = {
    {"port 25, public source", PUBLIC, "10.77.1.2", 25, true},
    {"ssh of the store", PUBLIC, "10.77.1.2", 22, false},
    {"PostgreSQL", PUBLIC, "10.77.1.2", 5432, false},
    {"Redis", PUBLIC, "10.77.1.2", 6379, false},
    {"ssh of the store, home address", PUBLIC, "10.9.0.2", 22, false},
    {"mail at the home address", PUBLIC, "10.9.0.2", 25, false},
    {"ssh of a neighbour at home", PUBLIC, "10.9.0.3", 22, false},
    {"the other gateway's inner address", PUBLIC, "10.77.2.2", 25, false},
    {"bus with a public source", PUBLIC, "10.77.1.2", 4711, false},
    {"/metrics with a public source", PUBLIC, "10.77.1.2", 3903, false},
    {"/metrics with the other tunnel's source", "10.77.2.1", "10.77.1.2", 3903, false},
    {"a private source", "192.168.77.7", "10.77.1.2", 25, false},
    {"a source of the home net", "10.9.0.3", "10.77.1.2", 25, false},
    {"the other tunnel's source", "10.77.2.1", "10.77.1.2", 25, false},
    {"its own tunnel address", "10.77.1.1", "10.77.1.2", 25, false},
    {"port 25 again, public source", PUBLIC, "10.77.1.2", 25, true},
};

static int turn_thief(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "systemctl stop chatmail-gateway && "
                    "wg set wg0 peer \"$(wg show wg0 peers)\" "
                    "allowed-ips 0.0.0.0/0,::/0");
}

/* The route's preferred source is what the probe will speak from. */
static int aim(struct stage *stage, const struct target *t, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "ip addr show | grep -q 'inet %s/' || "
                    "ip addr add %s/32 dev lo && "
                    "ip route replace %s/32 dev wg0 src %s",
                    t->source, t->source, t->host, t->source);
}

static int knock(struct stage *stage, const char *netns, const struct target *t,
                 struct cm_err *err)
{
    struct cm_err why = {.text = ""};
    struct wire_to to = {
        .netns = netns, .host = t->host, .port = t->port, .timeout_ms = KNOCK_MS};
    if (aim(stage, t, err) != 0) {
        return -1;
    }
    struct wire *wire = wire_open(&to, &why);
    bool opened = wire != NULL;
    wire_close(&wire);
    if (opened == t->opens) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "a stolen gateway, %s: %s%s", t->what,
                      opened ? "a connection opened" : "no connection: ", why.text);
}

static int stolen_gateway(struct stage *stage, struct cm_err *err)
{
    char netns[64];
    if (scene_netns(&stage->scene, "edge1", netns, err) != 0 ||
        turn_thief(stage, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        if (knock(stage, netns, &targets[i], err) != 0) {
            return -1;
        }
    }
    stage_note(stage, "%zu knocks of a stolen gateway",
               sizeof targets / sizeof targets[0]);
    return 0;
}

int scenario_open_relay(struct stage *stage, struct cm_err *err)
{
    if (strangers(stage, err) != 0 || from_the_tunnel(stage, err) != 0) {
        return -1;
    }
    return stolen_gateway(stage, err);
}

int scenario_gateway_honest(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "edge1", 0, NULL, err,
                    "for a in 192.168.77.7 10.9.0.3 10.77.2.1; do"
                    " ip addr del $a/32 dev lo 2>/dev/null; done; "
                    "for h in 10.77.1.2 10.9.0.2 10.9.0.3 10.77.2.2; do"
                    " ip route del $h/32 dev wg0 2>/dev/null; done; "
                    "systemctl start chatmail-gateway");
}
