/* Credentials by IMAP, calls through both gateways in both families, what a caller may
 * not do, and a coturn that is killed, or hangs. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "probe/http.h"
#include "probe/relay.h"
#include "unit.h"

#define STEP_MS     15000
#define DATAGRAM_MS 5000
#define BACK_MS     10000
#define SILENT_MS   40000 /* three questions, five seconds apart, and a start */
#define KEY         "/shared/vendor/deltachat/turn"
#define DAY_S       INT64_C(86400)

struct credentials {
    char user[24];
    char password[64];
};

/* ---- credentials ---- */

static void find_line(const char *line, void *ctx)
{
    static const char begin[] = SCENE_DOMAIN ":3478:";
    struct credentials *c = ctx;
    if (strncmp(line, begin, strlen(begin)) == 0) {
        (void)!sscanf(line + strlen(begin), "%23[0-9]:%63[^)]", c->user, c->password);
    }
}

static int ask_imap(struct stage *stage, struct credentials *c, struct cm_err *err)
{
    struct scene_account account;
    struct door door = door_at("edge1", AF_INET, 993, true);
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    struct imap *imap = door_imap(stage, &door, &account, STEP_MS, err);
    if (imap == NULL) {
        return -1;
    }
    *c = (struct credentials){.user = ""};
    int rc = imap_command(imap, "GETMETADATA \"\" " KEY, find_line, c, err);
    imap_close(&imap);
    int64_t left = strtoll(c->user, NULL, 10) - cm_now_wall_ms() / 1000;
    if (rc == 0 &&
        (left < 4 * DAY_S || left > 5 * DAY_S || strlen(c->password) != 28)) {
        rc = cm_err_set(err, CM_ERR_REFUSE,
                        "credentials for another %lld s, password of %zu",
                        (long long)left, strlen(c->password));
    }
    return rc;
}

/* ---- calls ---- */

static struct relay *call(struct stage *stage, const char *door,
                          const struct credentials *c, struct cm_err *err)
{
    struct relay_to to = {.netns = stage->netns,
                          .server = {.port = 3478},
                          .user = c->user,
                          .password = c->password};
    snprintf(to.server.host, sizeof to.server.host, "%s", door);
    return relay_open(&to, err);
}

/* A relay at the address that was called. */
static struct relay *allocate(struct stage *stage, const char *door,
                              const struct credentials *c, struct relay_end *end,
                              struct cm_err *err)
{
    int code = 0;
    int family = strchr(door, ':') != NULL ? AF_INET6 : AF_INET;
    struct relay *relay = call(stage, door, c, err);
    int rc = relay == NULL ? -1 : relay_allocate(relay, family, end, &code, err);
    if (rc == 0 && (code != 0 || strcmp(end->host, door) != 0)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "called %s: code %d, relay at %s", door,
                        code, code == 0 ? end->host : "-");
    }
    if (rc != 0) {
        relay_close(&relay);
    }
    return relay;
}

static int permit(struct relay *relay, const char *host, int want, struct cm_err *err)
{
    struct relay_end peer = {.port = 9};
    int code = 0;
    snprintf(peer.host, sizeof peer.host, "%s", host);
    if (relay_permit(relay, &peer, &code, err) != 0) {
        return -1;
    }
    return code == want ? 0
                        : cm_err_set(err, CM_ERR_REFUSE, "peer %s: code %d, not %d",
                                     host, code, want);
}

static int heard(int rc, const char *text, const char *want,
                 const struct relay_end *from, const char *host, struct cm_err *err)
{
    if (rc == 1 && strcmp(text, want) == 0 && strcmp(from->host, host) == 0) {
        return 0;
    }
    return rc < 0 ? -1
                  : cm_err_set(err, CM_ERR_REFUSE, "\"%s\": %s from %s, not %s", want,
                               rc == 1 ? text : "nothing came",
                               rc == 1 ? from->host : "-", host);
}

/* There and back with a peer in node relay2, which sees the gateway and nothing else.
 */
static int talk(struct stage *stage, struct relay *relay, const struct relay_end *end,
                struct cm_err *err)
{
    int family = strchr(end->host, ':') != NULL ? AF_INET6 : AF_INET;
    const char *host = lab_address("relay2", family);
    char netns[64], text[RELAY_DATA + 1] = "";
    struct relay_end peer, from;
    if (scene_netns(&stage->scene, "relay2", netns, err) != 0) {
        return -1;
    }
    int fd = relay_peer(netns, host, &peer, err);
    int rc = fd < 0 || permit(relay, host, 0, err) != 0 ||
                     relay_send(relay, &peer, "there", err) != 0
                 ? -1
                 : relay_peer_receive(fd, DATAGRAM_MS, text, &from, err);
    rc = rc < 0 ? rc : heard(rc, text, "there", &from, end->host, err);
    if (rc == 0 && relay_peer_send(fd, &from, "back", err) != 0) {
        rc = -1;
    }
    if (rc == 0) {
        rc = relay_receive(relay, DATAGRAM_MS, text, &from, err);
        rc = rc < 0 ? rc : heard(rc, text, "back", &from, host, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int every_door(struct stage *stage, const struct credentials *c,
                      struct cm_err *err)
{
    for (size_t i = 0; i < SCENE_GATEWAY_ADDRESSES; i++) {
        const char *door = scene_gateway_address(i);
        struct relay_end end;
        struct relay *relay = allocate(stage, door, c, &end, err);
        int rc = relay == NULL ? -1 : talk(stage, relay, &end, err);
        relay_close(&relay);
        if (rc != 0) {
            return cm_err_prefix(err, "by %s", door);
        }
    }
    return 0;
}

/* Two callers who can reach each other through their relays only. */
static int between(struct stage *stage, const struct credentials *c, const char *door_a,
                   const char *door_b, struct cm_err *err)
{
    struct relay_end a_end, b_end, from;
    char text[RELAY_DATA + 1] = "";
    struct relay *a = allocate(stage, door_a, c, &a_end, err);
    struct relay *b = a != NULL ? allocate(stage, door_b, c, &b_end, err) : NULL;
    int rc = b == NULL || permit(a, b_end.host, 0, err) != 0 ||
                     permit(b, a_end.host, 0, err) != 0 ||
                     relay_send(a, &b_end, "hello", err) != 0
                 ? -1
                 : relay_receive(b, DATAGRAM_MS, text, &from, err);
    rc = rc < 0 ? rc : heard(rc, text, "hello", &from, a_end.host, err);
    relay_close(&a);
    relay_close(&b);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s to %s", door_a, door_b);
}

/* ---- what is refused ---- */

static int wrong_password(struct stage *stage, const struct credentials *good,
                          struct cm_err *err)
{
    struct credentials c = *good;
    struct relay_end end;
    int code = 0;
    c.password[0] ^= 1;
    struct relay *relay = call(stage, lab_address("edge1", AF_INET), &c, err);
    int rc = relay == NULL ? -1 : relay_allocate(relay, AF_INET, &end, &code, err);
    relay_close(&relay);
    if (rc == 0 && code != 401) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "a wrong password: code %d", code);
    }
    return rc;
}

static int denied_peers(struct stage *stage, const struct credentials *c,
                        struct cm_err *err)
{
    static const char *const hosts[] = {SCENE_STORE_LAN, "10.9.0.1",  "10.9.0.3",
                                        "127.0.0.1",     "10.77.1.1", "10.77.1.2",
                                        "169.254.1.1",   "224.0.0.1"};
    struct relay_end end;
    struct relay *relay = allocate(stage, lab_address("edge2", AF_INET), c, &end, err);
    int rc = relay == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < sizeof hosts / sizeof *hosts; i++) {
        rc = permit(relay, hosts[i], 403, err);
    }
    relay_close(&relay);
    return rc;
}

/* ---- figures, and a server that hangs ---- */

static int has_figure(struct stage *stage, const char *line, struct cm_err *err)
{
    char netns[64];
    struct http_answer a;
    if (scene_netns(&stage->scene, "store", netns, err) != 0) {
        return -1;
    }
    struct wire_to to = {
        .netns = netns, .host = "127.0.0.1", .port = 3903, .timeout_ms = STEP_MS};
    struct http_request r = {.method = "GET", .target = "/metrics", .host = "store"};
    if (http_ask(&to, true, &r, &a, err) != 0) {
        return -1;
    }
    const char *at = strstr(a.body, "\nchatmail_turn_up");
    int rc = strstr(a.body, line) != NULL
                 ? 1
                 : cm_err_set(err, CM_ERR_REFUSE, "/metrics has no '%s': %.300s", line,
                              at != NULL ? at : "nothing of calls");
    http_answer_clear(&a);
    return rc;
}

static int figure_comes(struct stage *stage, const char *line, struct cm_err *err)
{
    int64_t end_ms = cm_now_mono_ms() + SILENT_MS;
    int rc;
    while ((rc = has_figure(stage, line, err)) != 1 && cm_now_mono_ms() < end_ms) {
        stage_sleep_ms(500);
    }
    return rc == 1 ? 0 : -1;
}

static int figures(struct stage *stage, const struct credentials *c, struct cm_err *err)
{
    static const char *const ups[] = {"\nchatmail_up{program=\"chatmail-turn@1\"} 1\n",
                                      "\nchatmail_turn_up{number=\"1\",ip=\"4\"} 1\n",
                                      "\nchatmail_turn_up{number=\"1\",ip=\"6\"} 1\n",
                                      "\nchatmail_turn_up{number=\"2\",ip=\"4\"} 1\n",
                                      "\nchatmail_turn_up{number=\"2\",ip=\"6\"} 1\n"};
    for (size_t i = 0; i < sizeof ups / sizeof *ups; i++) {
        if (figure_comes(stage, ups[i], err) != 0) {
            return -1;
        }
    }
    struct relay_end end;
    struct relay *relay = allocate(stage, lab_address("edge2", AF_INET), c, &end, err);
    int rc = relay == NULL
                 ? -1
                 : figure_comes(stage,
                                "\nchatmail_turn_relayed_ports{number=\"2\"} 1\n", err);
    relay_close(&relay);
    return rc;
}

/* Still there, but without an answer. */
static int hangs(struct stage *stage, int64_t *ms_r, struct cm_err *err)
{
    int64_t before, after, since_ms = cm_now_mono_ms();
    if (unit_pid(stage, "store", "chatmail-turn@2.service", &before, err) != 0 ||
        scene_sh(&stage->scene, "store", 0, NULL, err,
                 "pkill -STOP -x -P %lld turnserver", (long long)before) != 0) {
        return -1;
    }
    do {
        stage_sleep_ms(250);
        if (unit_pid(stage, "store", "chatmail-turn@2.service", &after, err) != 0) {
            return -1;
        }
        *ms_r = cm_now_mono_ms() - since_ms;
    } while ((after == 0 || after == before) && *ms_r < SILENT_MS);
    return after != 0 && after != before
               ? figure_comes(stage, "\nchatmail_turn_up{number=\"2\",ip=\"4\"} 1\n",
                              err)
               : cm_err_set(err, CM_ERR_REFUSE, "a coturn that hangs stays for %d s",
                            SILENT_MS / 1000);
}

/* ---- the store ---- */

static int store_is_discreet(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(
        stage, "store", NULL, &said, err,
        "systemctl is-active coturn.service | grep -x active;"
        " systemctl is-enabled coturn.service 2>/dev/null | grep -x enabled;"
        " stat -c '%%U %%a' /etc/chatmail/turn.secret | grep -vx 'root 600';"
        " for f in /etc/chatmail/turn/*.conf /var/log/syslog; do"
        " grep -lF \"$(cat /etc/chatmail/turn.secret)\" \"$f\" 2>/dev/null; done;"
        " journalctl -q --no-pager | grep -F \"$(cat /etc/chatmail/turn.secret)\";"
        " journalctl -q --no-pager -u 'chatmail-turn@*' | grep -F -e '%s' -e '%s'; "
        "true",
        lab_address("client", AF_INET), lab_address("client", AF_INET6));
    if (rc >= 0 && said[0] != '\0') {
        rc = cm_err_set(err, CM_ERR_REFUSE, "store: %.200s", said);
    }
    free(said);
    return rc < 0 ? -1 : 0;
}

int scenario_turn(struct stage *stage, struct cm_err *err)
{
    struct credentials c;
    const char *edge1 = lab_address("edge1", AF_INET),
               *edge2 = lab_address("edge2", AF_INET);
    int64_t ms = 0, hang_ms = 0;
    if (ask_imap(stage, &c, err) != 0 || every_door(stage, &c, err) != 0 ||
        figures(stage, &c, err) != 0 || between(stage, &c, edge1, edge2, err) != 0 ||
        between(stage, &c, edge2, edge2, err) != 0 ||
        wrong_password(stage, &c, err) != 0 || denied_peers(stage, &c, err) != 0 ||
        unit_kill(stage, "store", "chatmail-turn@1.service", BACK_MS, &ms, err) != 0) {
        return -1;
    }
    stage_sleep_ms(1000); /* it binds its sockets after its process is there */
    if (every_door(stage, &c, err) != 0) {
        return cm_err_prefix(err, "after a kill");
    }
    if (hangs(stage, &hang_ms, err) != 0 || every_door(stage, &c, err) != 0) {
        return cm_err_prefix(err, "coturn stopped");
    }
    stage_note(
        stage,
        "%d doors, relay to relay, coturn killed: back in %.1f s, hanging: another "
        "after %.1f s",
        SCENE_GATEWAY_ADDRESSES, (double)ms / 1000, (double)hang_ms / 1000);
    return store_is_discreet(stage, err);
}
