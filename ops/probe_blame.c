/* Which hop a probe message did not get past. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"

static const char *const names[] = {
    [OP_HOP_NONE] = "",
    [OP_HOP_LINE] = "this machine -> gateway",
    [OP_HOP_TUNNEL] = "gateway -> store tunnel",
    [OP_HOP_POSTFIX] = "Postfix",
    [OP_HOP_LOGIN] = "login (chatmail-auth)",
    [OP_HOP_FILTER] = "filter",
    [OP_HOP_QUEUE] = "Postfix queue",
    [OP_HOP_LMTP] = "Dovecot LMTP",
    [OP_HOP_IMAP] = "Dovecot IMAP",
    [OP_HOP_DATABASE] = "PostgreSQL",
};

const char *op_hop_name(enum op_hop hop)
{
    return names[hop];
}

const char *op_probe_door(const struct op_pair *pair)
{
    return pair->stage == OP_STAGE_READ_OPEN   ? pair->out
           : pair->stage == OP_STAGE_SEND_OPEN ? pair->in
                                               : NULL;
}

/* A door that does not open. A gateway without its tunnel refuses as a store without
 * the service does; only its reports tell the two apart. */
static enum op_hop blame_door(const struct op_pair *pair,
                              const struct op_probe_facts *facts)
{
    bool sends = pair->stage == OP_STAGE_SEND_OPEN;
    bool serves = sends ? facts->postfix : facts->dovecot;

    if (strcmp(op_probe_door(pair), "store") == 0) {
        return pair->reach == OP_REACH_TIMEOUT || pair->reach == OP_REACH_NO_ROUTE
                   ? OP_HOP_LINE
               : sends ? OP_HOP_POSTFIX
                       : OP_HOP_IMAP;
    }
    if (pair->reach == OP_REACH_NO_ROUTE) {
        return OP_HOP_LINE;
    }
    if (facts->known && !facts->tunnel) {
        return pair->reach == OP_REACH_TIMEOUT && !facts->box ? OP_HOP_LINE
                                                              : OP_HOP_TUNNEL;
    }
    if (pair->reach == OP_REACH_TIMEOUT && (!facts->known || serves)) {
        return OP_HOP_LINE;
    }
    /* Postfix asks its milter before it greets. */
    if (sends && pair->reach == OP_REACH_OK && facts->known && !facts->filter) {
        return OP_HOP_FILTER;
    }
    return sends ? OP_HOP_POSTFIX : OP_HOP_IMAP;
}

/* Postfix puts off every command behind the greeting when it cannot ask its milter. */
static enum op_hop blame_login(const struct op_pair *pair,
                               const struct op_probe_facts *facts)
{
    if (pair->stage == OP_STAGE_SEND_LOGIN &&
        ((facts->known && !facts->filter) || strstr(pair->said, "4.3.0 Try") != NULL)) {
        return OP_HOP_FILTER;
    }
    return facts->known && !facts->dovecot ? OP_HOP_IMAP : OP_HOP_LOGIN;
}

static enum op_hop blame_send(const struct op_pair *pair,
                              const struct op_probe_facts *facts)
{
    /* As Postfix says that a milter cannot be asked, or put it off. */
    return (facts->known && !facts->filter) || strstr(pair->said, "4.7.1") != NULL
               ? OP_HOP_FILTER
               : OP_HOP_POSTFIX;
}

static enum op_hop blame_arrival(const struct op_probe_facts *facts)
{
    bool lmtp = strstr(facts->reason, "lmtp") != NULL ||
                strstr(facts->reason, "dovecot") != NULL;

    if (facts->known && !facts->dovecot) {
        return OP_HOP_LMTP;
    }
    if (facts->queued) {
        return lmtp ? OP_HOP_LMTP : OP_HOP_QUEUE;
    }
    return OP_HOP_IMAP;
}

enum op_hop op_probe_blame(const struct op_pair *pair,
                           const struct op_probe_facts *facts)
{
    switch (pair->stage) {
    case OP_STAGE_READ_OPEN:
    case OP_STAGE_SEND_OPEN:
        return blame_door(pair, facts);
    case OP_STAGE_READ_LOGIN:
    case OP_STAGE_SEND_LOGIN:
        return blame_login(pair, facts);
    case OP_STAGE_SEND:
        return blame_send(pair, facts);
    case OP_STAGE_ARRIVE:
        return blame_arrival(facts);
    default:
        return OP_HOP_NONE;
    }
}

void op_probe_hop(const struct op_pair *pair, char *out, size_t size)
{
    const char *door = op_probe_door(pair);

    if (pair->hop == OP_HOP_LINE && door != NULL) {
        snprintf(out, size, "this machine -> %s", door);
    } else if (pair->hop == OP_HOP_TUNNEL && door != NULL) {
        snprintf(out, size, "%s -> store tunnel", door);
    } else {
        snprintf(out, size, "%s", op_hop_name(pair->hop));
    }
}

void op_probe_wrong(const struct op_pair *pair, char *out, size_t size)
{
    char hop[80];

    out[0] = '\0';
    if (pair->stage != OP_STAGE_DONE) {
        op_probe_hop(pair, hop, sizeof(hop));
        snprintf(out, size, "%s: %s", hop, pair->said);
    } else if (pair->ms >= OP_PROBE_RED_MS) {
        snprintf(out, size, "a message from %s to %s took %.1f s", pair->in, pair->out,
                 (double)pair->ms / 1000);
    }
}
