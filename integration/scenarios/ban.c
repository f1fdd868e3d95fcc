/* Who only ever guesses passwords is shut out on all gateways within seconds, whatever
 * door it guessed at; others, and those who are in, notice nothing. Then bans by hand:
 * lifted, and for a while. The guesses come from the IPv4 address of node client, the
 * others are its IPv6 address. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "login.h"
#include "probe/http.h"
#include "probe/mail.h"

#define GUESSES    110 /* store/auth/bans.h: 100 */
#define PARALLEL   40
#define STEP_MS    30000
#define SHUT_MS    2500
#define IN_FORCE_S 20
#define SHORT_S    12

/* Is anybody taken in at that door? Only the connection is tried. */
static bool is_shut(struct stage *stage, const char *node)
{
    struct door door = door_at(node, AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, SHUT_MS);
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);
    bool shut = wire == NULL;
    wire_close(&wire);
    return shut;
}

/* On both gateways. */
static int until_shut(struct stage *stage, bool shut, int limit_s, struct cm_err *err)
{
    static const char *const nodes[] = {"edge1", "edge2"};
    int64_t start = cm_now_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        while (is_shut(stage, nodes[i]) != shut) {
            if (cm_now_mono_ms() - start > limit_s * 1000) {
                return cm_err_set(err, CM_ERR_REFUSE, "%s %s the address after %d s",
                                  nodes[i], shut ? "still serves" : "still shuts out",
                                  limit_s);
            }
            stage_sleep_ms(200);
        }
    }
    return 0;
}

static int guess(struct stage *stage, const struct scene_account *victim,
                 struct cm_err *err)
{
    static const int ports[] = {993, 465, 443, 587};
    struct login *logins = cm_calloc(GUESSES, sizeof *logins);
    for (size_t i = 0; i < GUESSES; i++) {
        logins[i].door = door_at(i % 2 == 0 ? "edge1" : "edge2", AF_INET,
                                 ports[i / 2 % 4], i / 2 % 4 == 0);
        logins[i].want = IMAP_REFUSED;
        snprintf(logins[i].user, sizeof logins[i].user, "%s", victim->addr);
        mail_random(logins[i].password, 17);
    }
    login_all(stage, logins, GUESSES, PARALLEL, STEP_MS);
    size_t refused = 0;
    for (size_t i = 0; i < GUESSES; i++) {
        refused += logins[i].answered && logins[i].got == IMAP_REFUSED;
    }
    free(logins);
    /* The last may find the door shut already. */
    return refused >= 90
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "only %zu of %d guesses were refused",
                            refused, GUESSES);
}

static int chatops(struct stage *stage, const char *words, const char *want,
                   struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, words, &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (status != 0 || !cluster_says(said, want))) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "chatops %s: %d, not \"%s\": %.400s", words,
                        status, want, said);
    }
    free(said);
    return rc;
}

static int chatops_of(struct stage *stage, const char *verb, const char *rest,
                      const char *want, struct cm_err *err)
{
    char words[160];
    snprintf(words, sizeof words, "%s %s%s", verb, lab_address("client", AF_INET),
             rest);
    return chatops(stage, words, want, err);
}

/* Connections counted by the rules, which a ban must not load anew. */
static int flows(struct stage *stage, long *n_r, struct cm_err *err)
{
    char *said = NULL;
    if (scene_sh(&stage->scene, "edge1", 0, &said, err,
                 "nft list counter inet chatmail flows_993 |"
                 " awk '/packets/ {print $2}'") != 0) {
        return -1;
    }
    *n_r = strtol(said, NULL, 10);
    free(said);
    return 0;
}

static int metrics(struct stage *stage, struct cm_err *err)
{
    static const char *const wanted[] = {
        "\nchatmail_gateway_port_bytes_total{gateway=\"edge1\",port=\"993\","
        "direction=\"in\"} ",
        "\nchatmail_gateway_port_bytes_total{gateway=\"edge2\",port=\"993\","
        "direction=\"out\"} ",
        "\nchatmail_gateway_port_flows_total{gateway=\"edge1\",port=\"993\"} ",
        "\nchatmail_gateway_kept_out_packets_total{gateway=\"edge1\","
        "reason=\"banned\"} "};
    char netns[64];
    if (scene_netns(&stage->scene, "store", netns, err) != 0) {
        return -1;
    }
    struct wire_to to = {
        .netns = netns, .host = "127.0.0.1", .port = 3903, .timeout_ms = STEP_MS};
    struct http_request request = {
        .method = "GET", .target = "/metrics", .host = "store"};
    struct http_answer answer;
    if (http_ask(&to, true, &request, &answer, err) != 0) {
        return -1;
    }
    int rc = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && rc == 0; i++) {
        const char *at = strstr(answer.body, wanted[i]);
        if (at == NULL || strtod(at + strlen(wanted[i]), NULL) <= 0) {
            rc =
                cm_err_set(err, CM_ERR_REFUSE, "/metrics: nothing in%s", wanted[i] + 1);
        }
    }
    http_answer_clear(&answer);
    return rc;
}

static int by_itself(struct stage *stage, const struct scene_account *other,
                     struct imap *idle, struct cm_err *err)
{
    long before, after;
    if (flows(stage, &before, err) != 0 || guess(stage, other, err) != 0 ||
        until_shut(stage, true, IN_FORCE_S, err) != 0 ||
        flows(stage, &after, err) != 0) {
        return -1;
    }
    if (after < before) {
        return cm_err_set(err, CM_ERR_REFUSE, "the ban loaded edge1's rules anew");
    }
    const struct door door = door_at("edge2", AF_INET6, 993, true);
    if (door_must_let_in(stage, &door, other, err) != 0 ||
        imap_command(idle, "NOOP", NULL, NULL, err) != 0) {
        return cm_err_prefix(err, "who did nothing");
    }
    return chatops(stage, "bans", "wrong passwords", err);
}

static int by_hand(struct stage *stage, struct cm_err *err)
{
    char short_time[32];
    snprintf(short_time, sizeof short_time, " --for %d", SHORT_S);
    if (chatops_of(stage, "unban", "", "unbanned", err) != 0 ||
        until_shut(stage, false, 5, err) != 0 ||
        chatops(stage, "bans", "nobody is banned", err) != 0 ||
        chatops_of(stage, "ban", short_time, "banned for", err) != 0 ||
        until_shut(stage, true, 5, err) != 0 ||
        until_shut(stage, false, SHORT_S + 10, err) != 0) {
        return -1;
    }
    return chatops(stage, "run --yes", "nothing to change", err);
}

static int play_bans(struct stage *stage, const struct scene_account *other,
                     struct imap *idle, struct cm_err *err)
{
    int64_t start = cm_now_mono_ms();
    if (by_itself(stage, other, idle, err) != 0) {
        return -1;
    }
    stage_note(stage, "guesser shut out on both gateways %.1f s after its first guess",
               (double)(cm_now_mono_ms() - start) / 1000);
    stage_sleep_ms(6000); /* counters travel every five seconds */
    return metrics(stage, err) != 0 ? -1 : by_hand(stage, err);
}

int scenario_ban(struct stage *stage, struct cm_err *err)
{
    const struct door door = door_at("edge1", AF_INET6, 993, true);
    struct scene_account other;
    scene_new_account(&other, SCENE_DOMAIN);
    /* That address has logged in many times; chatmail-auth keeps that in memory, and in
     * Redis over a restart. */
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "systemctl stop chatmail-auth; "
                 "r='redis-cli -s /run/redis/redis-server.sock'; "
                 "$r --scan --pattern 'bans:*' | xargs -r $r del >/dev/null; "
                 "systemctl start chatmail-auth") != 0 ||
        door_must_let_in(stage, &door, &other, err) != 0) {
        return -1;
    }
    struct imap *idle = door_imap(stage, &door, &other, STEP_MS, err);
    int rc = idle != NULL ? play_bans(stage, &other, idle, err) : -1;
    imap_close(&idle);
    return rc;
}

int scenario_unban(struct stage *stage, struct cm_err *err)
{
    if (scene_sh(&stage->scene, "store", 0, NULL, err,
                 "runuser -u postgres -- psql -qXd chatmail -c 'delete from ban' -c "
                 "'notify chatmail_ban'") != 0) {
        return -1;
    }
    return until_shut(stage, false, IN_FORCE_S, err);
}
