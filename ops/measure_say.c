/* What was measured, judged and told. */
#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "ini_edit.h"
#include "measure.h"
#include "say.h"

#define MAIL_PORT 25 /* most lines at home block it: silence there is no fault */

static bool same_address(const char *a, const char *b)
{
    unsigned char left[16], right[16];
    int family = strchr(a, ':') != NULL ? AF_INET6 : AF_INET;

    return inet_pton(family, a, left) == 1 && inet_pton(family, b, right) == 1 &&
           memcmp(left, right, family == AF_INET6 ? 16 : 4) == 0;
}

static bool is_gateways(const char *address, const struct cm_conf_gateway *gateway)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(gateway->addresses, words, CM_ADDRESSES_MAX);

    for (size_t i = 0; i < n; i++) {
        if (same_address(address, words[i])) {
            return true;
        }
    }
    return false;
}

enum op_seen op_measure_who(const struct op_view *view,
                            const struct cm_conf_gateway *gateway)
{
    if (view->seen[0] == '\0') {
        return OP_SEEN_NOBODY;
    }
    if (same_address(view->seen, view->here)) {
        return OP_SEEN_US;
    }
    bool elsewhere = op_is_public_address(view->here) ||
                     !op_is_public_address(view->seen) ||
                     is_gateways(view->seen, gateway);
    return elsewhere ? OP_SEEN_ANOTHER : OP_SEEN_NAT;
}

/* A port that this machine's own line may well be to blame for. */
static bool excused(const struct op_door *d)
{
    return d->result == OP_REACH_OK ||
           (d->port == MAIL_PORT && d->result == OP_REACH_TIMEOUT);
}

bool op_measure_wrong(const struct op_view *view, const struct cm_conf_gateway *gateway,
                      char *why, size_t size)
{
    why[0] = '\0';
    if (view->no_route) {
        return false;
    }
    for (size_t i = 0; i < view->door_count; i++) {
        const struct op_door *d = &view->doors[i];
        if (!excused(d)) {
            snprintf(why, size, "%s port %d: %s", view->address, d->port, d->said);
            return true;
        }
    }
    if (!view->full) {
        snprintf(why, size, "%s: full packets do not pass: %s", view->address,
                 view->stuck);
        return true;
    }
    if (op_measure_who(view, gateway) == OP_SEEN_ANOTHER) {
        snprintf(why, size, "%s: the store saw %s instead of this machine's address",
                 view->address, view->seen);
        return true;
    }
    return false;
}

/* ---- text ---- */

static void say_seen(const struct op_view *v, const struct cm_conf_gateway *gateway)
{
    switch (op_measure_who(v, gateway)) {
    case OP_SEEN_US:
        op_say(OP_GREEN, "    address   the store saw %s: this machine's own", v->seen);
        break;
    case OP_SEEN_NAT:
        op_say(OP_GREEN,
               "    address   the store saw %s (this machine, %s, is behind a NAT)",
               v->seen, v->here);
        break;
    case OP_SEEN_NOBODY:
        op_say(OP_YELLOW, "    address   not found in the store's log");
        break;
    case OP_SEEN_ANOTHER:
        op_say(OP_RED, "    address   the store saw %s, but this machine is %s",
               v->seen, v->here);
        break;
    }
}

static void say_time(const struct op_view *v)
{
    double store = (double)v->store_us / 1000, gateway = (double)v->gateway_us / 1000;

    if (v->store_us < 0) {
        op_say(OP_YELLOW, "    latency   not known");
    } else if (v->gateway_us < 0) {
        op_say(OP_PLAIN,
               "    latency   %.1f ms to the store and back (the gateway alone does "
               "not answer)",
               store);
    } else {
        op_say(OP_PLAIN,
               "    latency   %.1f ms added: %.1f ms to the store and back, %.1f ms to "
               "the gateway",
               store > gateway ? store - gateway : 0.0, store, gateway);
    }
}

static void say_doors(const struct op_view *v)
{
    char open[100] = "";

    for (size_t i = 0; i < v->door_count; i++) {
        size_t used = strlen(open);
        if (v->doors[i].result == OP_REACH_OK) {
            snprintf(open + used, sizeof(open) - used, " %d", v->doors[i].port);
        }
    }
    op_say(open[0] != '\0' ? OP_GREEN : OP_RED, "    ports    %s",
           open[0] != '\0' ? open : " none");
    for (size_t i = 0; i < v->door_count; i++) {
        const struct op_door *d = &v->doors[i];
        if (d->result != OP_REACH_OK && excused(d)) {
            op_say(
                OP_YELLOW,
                "              %d is not seen from here: most lines at home block it",
                d->port);
        } else if (d->result != OP_REACH_OK) {
            op_say(OP_RED, "              %d: %s", d->port, d->said);
        }
    }
}

static void say_size(const struct op_view *v)
{
    if (!v->full) {
        op_say(OP_RED, "    MTU       full packets do not pass: %s", v->stuck);
        return;
    }
    op_say(OP_GREEN,
           "    MTU       %lld kB up and %lld kB down, in segments of %d and %d bytes, "
           "%u sent again",
           (long long)(v->up / 1000), (long long)(v->down / 1000), v->out_segment,
           v->in_segment, v->again);
}

void op_measure_say(const struct op_view *views, size_t n,
                    const struct cm_conf_gateway *gateway)
{
    for (size_t i = 0; i < n; i++) {
        const struct op_view *v = &views[i];
        if (v->no_route) {
            op_say(OP_YELLOW, "  %s: this machine has no %s, so nothing was measured",
                   v->address, strchr(v->address, ':') != NULL ? "IPv6" : "IPv4");
            continue;
        }
        op_say(OP_PLAIN, "  %s", v->address);
        say_seen(v, gateway);
        say_time(v);
        say_doors(v);
        say_size(v);
    }
}

/* ---- JSON ---- */

static json_t *doors_json(const struct op_view *v, bool open)
{
    json_t *list = json_array();

    for (size_t i = 0; i < v->door_count; i++) {
        const struct op_door *d = &v->doors[i];
        if ((d->result == OP_REACH_OK) != open) {
            continue;
        }
        json_array_append_new(
            list, open ? json_integer(d->port)
                       : json_pack("{s:i, s:s}", "port", d->port, "why", d->said));
    }
    return list;
}

static json_t *view_json(const struct op_view *v, const struct cm_conf_gateway *gateway)
{
    static const char *const who[] = {[OP_SEEN_US] = "own",
                                      [OP_SEEN_NAT] = "nat",
                                      [OP_SEEN_NOBODY] = "not found",
                                      [OP_SEEN_ANOTHER] = "another"};

    if (v->no_route) {
        return json_pack("{s:s, s:b}", "address", v->address, "reached", false);
    }
    return json_pack(
        "{s:s, s:b, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:{s:b, s:I, s:I, s:i, s:i, "
        "s:i, s:s}}",
        "address", v->address, "reached", true, "here", v->here, "store_saw", v->seen,
        "store_saw_whom", who[op_measure_who(v, gateway)], "store_us",
        (json_int_t)v->store_us, "gateway_us", (json_int_t)v->gateway_us, "ports_open",
        doors_json(v, true), "ports_shut", doors_json(v, false), "mtu", "full", v->full,
        "bytes_up", (json_int_t)v->up, "bytes_down", (json_int_t)v->down, "segment_out",
        v->out_segment, "segment_in", v->in_segment, "sent_again", (int)v->again, "why",
        v->stuck);
}

json_t *op_measure_json(const struct op_view *views, size_t n,
                        const struct cm_conf_gateway *gateway)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, view_json(&views[i], gateway));
    }
    return list;
}
