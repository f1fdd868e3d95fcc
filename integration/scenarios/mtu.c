/* 5 MB up and down through edge1 where the home line and the client's path carry less
 * than Ethernet does, with and without the ICMP messages that would say so.
 *
 * A smaller MTU in the middle of a path is a locked route MTU in the router there: the
 * home router, to the gateways and to the store, and the internet's, to the client and
 * to edge1. The ends know nothing of it. */
#include "scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "plane.h"
#include "probe/wire.h"
#include "router.h"

#define BYTES    (5 * 1000 * 1000)
#define CHUNK    50000
#define STEP_MS  30000
#define LIMIT_MS 40000 /* of one way */

static const int sizes[] = {1500, 1492, 1452, 1400, 1280};

/* ---- the paths ---- */

#define MUTE                                                                           \
    "table inet lab_mtu {\n chain o {\n  type filter hook output priority -200\n"      \
    "  icmp type destination-unreachable icmp code frag-needed drop\n"                 \
    "  icmpv6 type packet-too-big drop\n }\n}\n"

/* $dev of each route stays what it is. */
#define LOCK(family, to, mtu)                                                          \
    "ip " family " route replace " to " $(ip " family " route get " to                 \
    " | grep -o 'dev [^ ]*' | head -1) " mtu "; "

static int narrow(struct stage *stage, int mtu, bool mute, struct cm_err *err)
{
    char lock[32];
    snprintf(lock, sizeof lock, "mtu lock %d", mtu);
    char *inet = cm_asprintf("set -e; " LOCK("-4", "203.0.113.101", "%s")
                                 LOCK("-4", "198.51.100.11", "%s")
                                     LOCK("-6", "2001:db8:4::101", "%s")
                                         LOCK("-6", "2001:db8:1::11", "%s") "%s%s%s",
                             lock, lock, lock, lock, mute ? "nft -f - <<'EOF'\n" : "",
                             mute ? MUTE : "", mute ? "EOF\n" : "");
    int rc = router_internet(stage, inet, err);
    free(inet);
    char *home = cm_asprintf("set -e; " LOCK("-4", "198.51.100.11", "%s")
                                 LOCK("-4", "10.9.0.2", "%s") "%s%s%s",
                             lock, lock, mute ? "nft -f - <<'EOF'\n" : "",
                             mute ? MUTE : "", mute ? "EOF\n" : "");
    rc = rc == 0 ? router_home(stage, home, err) : rc;
    free(home);
    return rc;
}

#define WIDE                                                                           \
    "nft delete table inet lab_mtu 2>/dev/null; "                                      \
    "for a in 203.0.113.101 198.51.100.11 10.9.0.2; do ip route del $a 2>/dev/null; "  \
    "done; for a in 2001:db8:4::101 2001:db8:1::11; do "                               \
    "ip -6 route del $a 2>/dev/null; done; ip route flush cache; true"

/* What an end has learned about a path is forgotten with it. */
static int widen(struct stage *stage, struct cm_err *err)
{
    static const char *const nodes[] = {"home", "edge1", "store", "client"};
    if (router_internet(stage, WIDE, err) != 0 || router_home(stage, WIDE, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        if (scene_sh(&stage->scene, nodes[i], 0, NULL, err,
                     "ip route flush cache; ip -6 route flush cache; "
                     "ip tcp_metrics flush 2>/dev/null; true") != 0) {
            return -1;
        }
    }
    return 0;
}

int scenario_mtu_back(struct stage *stage, struct cm_err *err)
{
    return widen(stage, err) != 0 ? -1 : plane_back(stage, err);
}

/* ---- five megabytes ---- */

static int answer(struct wire *wire, const char *tag, struct cm_err *err)
{
    char line[WIRE_LINE];
    do {
        int rc = wire_line(wire, line, err);
        if (rc <= 0) {
            return rc < 0 ? -1 : cm_err_set(err, CM_ERR_RETRY, "closed");
        }
    } while (strncmp(line, tag, strlen(tag)) != 0 && line[0] != '+');
    return line[0] == '+' || strncmp(line + strlen(tag), " OK", 3) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%.200s", line);
}

static int tell(struct wire *wire, const char *tag, struct cm_err *err, const char *fmt,
                ...) CM_PRINTF(4, 5);
static int tell(struct wire *wire, const char *tag, struct cm_err *err, const char *fmt,
                ...)
{
    char words[400], line[440];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%s %s\r\n", tag, words);
    return wire_write(wire, line, err) != 0 ? -1 : answer(wire, tag, err);
}

static int up(struct wire *wire, struct cm_err *err)
{
    char chunk[CHUNK + 1];
    for (size_t i = 0; i < CHUNK; i++) {
        chunk[i] = (char)(i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : 'a' + i % 26);
    }
    chunk[CHUNK] = '\0';
    memcpy(chunk, "Subject: x\r\n\r\n", 14);
    if (tell(wire, "u1", err, "APPEND INBOX {%d}", BYTES) != 0) {
        return -1;
    }
    for (int sent = 0; sent < BYTES; sent += CHUNK) {
        if (wire_write(wire, chunk, err) != 0) {
            return cm_err_prefix(err, "after %d bytes", sent);
        }
    }
    return wire_write(wire, "\r\n", err) != 0 ? -1 : answer(wire, "u1", err);
}

static int down(struct wire *wire, struct cm_err *err)
{
    size_t got = 0;
    char some[16384];
    if (wire_write(wire, "d1 FETCH 1 BODY.PEEK[]\r\n", err) != 0) {
        return -1;
    }
    while (got < BYTES) {
        int n = wire_some(wire, some, sizeof some, err);
        if (n <= 0) {
            return cm_err_prefix(err, "after %zu bytes", got);
        }
        got += (size_t)n;
    }
    return tell(wire, "d2", err, "NOOP") != 0 ? -1
           : tell(wire, "d3", err, "STORE 1 +FLAGS (\\Deleted)") != 0 ||
                   tell(wire, "d4", err, "EXPUNGE") != 0
               ? -1
               : 0;
}

static int both_ways(struct stage *stage, const struct scene_account *account,
                     int family, int64_t ms_r[2], struct cm_err *err)
{
    struct door door = door_at("edge1", family, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    char line[WIRE_LINE];
    struct wire *wire = wire_open(&to, err);
    int64_t start = cm_now_mono_ms();
    int rc = wire == NULL || wire_tls(wire, NULL, err) != 0 ||
                     wire_line(wire, line, err) != 1 ||
                     tell(wire, "l", err, "LOGIN %s %s", account->addr,
                          account->password) != 0 ||
                     tell(wire, "s", err, "SELECT INBOX") != 0
                 ? -1
                 : 0;
    if (rc == 0 && (rc = up(wire, err)) != 0) {
        cm_err_prefix(err, "up");
    }
    ms_r[0] = cm_now_mono_ms() - start;
    start = cm_now_mono_ms();
    if (rc == 0 && (rc = tell(wire, "n", err, "NOOP")) == 0 &&
        (rc = down(wire, err)) != 0) {
        cm_err_prefix(err, "down");
    }
    ms_r[1] = cm_now_mono_ms() - start;
    wire_close(&wire);
    if (rc == 0 && (ms_r[0] > LIMIT_MS || ms_r[1] > LIMIT_MS)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%.0f s up, %.0f s down",
                        (double)ms_r[0] / 1000, (double)ms_r[1] / 1000);
    }
    return rc;
}

static int one(struct stage *stage, const struct scene_account *account, int mtu,
               bool mute, struct cm_err *err)
{
    int64_t ms[2] = {0};
    int rc = widen(stage, err) != 0 || narrow(stage, mtu, mute, err) != 0 ? -1 : 0;
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        rc = both_ways(stage, account, families[i], ms, err);
        if (rc != 0) {
            cm_err_prefix(err, "MTU %d, ICMP %s, IPv%d", mtu,
                          mute ? "dropped" : "passed", i == 0 ? 4 : 6);
        }
    }
    if (rc == 0 && ms[0] + ms[1] > 5000) {
        stage_note(stage, "%d%s: %.1f s up, %.1f s down", mtu, mute ? " mute" : "",
                   (double)ms[0] / 1000, (double)ms[1] / 1000);
    }
    return rc;
}

static int on_this_plane(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    size_t step = stage->quick ? 4 : 1; /* the largest and the smallest */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i += step) {
        for (int mute = 0; mute <= 1; mute++) {
            if (one(stage, &account, sizes[i], mute == 1, err) != 0) {
                return -1;
            }
        }
    }
    return widen(stage, err);
}

int scenario_mtu(struct stage *stage, struct cm_err *err)
{
    return plane_each(stage, on_this_plane, err);
}
