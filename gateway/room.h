/* room: whether the kernel's table of connections has room for new ones, and whether
 * something else than the rules in force puts them there. Pure but for gw_room_measure.
 *
 * A table that is full drops what is new in silence, unless it finds a connection to
 * forget that never was answered (the kernel calls that an early drop). So neither the
 * count alone says that it is full, nor a flood of packets that nobody answers: only
 * that more is dropped than forgotten. */
#ifndef GW_ROOM_H
#define GW_ROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define GW_ROOM_FULL 95 /* percent: from here on drops are for want of room */
#define GW_ROOM_FREE 90 /* below that there is room again */

/* For so many looks after a table has grown somebody is taken to track connections. */
#define GW_ROOM_QUIET 3600

/* For so many looks after our own rules tracked connections the kernel may still do so:
 * it stops some time after the rules are gone. */
#define GW_ROOM_SETTLES 5

struct gw_room_sight {
    int64_t used, max;          /* -1: unknown */
    int64_t dropped, forgotten; /* packets, connections; since the node's start; -1 */
    bool ours; /* the rules in force are of the kind that tracks connections */
};

struct gw_room {
    struct gw_room_sight last; /* all 0 at first */
    bool seen;
    bool full;
    bool tracks; /* others of this node track connections, or the kernel still does */
    bool others;
    int quiet;  /* looks since the table grew by others */
    int settle; /* looks until what our own rules began has ended */
};

/* A former run of this program took somebody else to track connections, and its rules
 * are still there. */
void gw_room_found(struct gw_room *room);

/* True when `full` changed. What is unknown is not full. What our own rules have put
 * into the table stays there for days; so others are known by a table that grows while
 * our rules put in nothing. */
bool gw_room_take(struct gw_room *room, const struct gw_room_sight *sight);

/* The text of /proc/net/stat/nf_conntrack: sums over all processors, -1 when a column
 * is missing. */
void gw_room_counters(FILE *stat, struct gw_room_sight *sight_r);
/* From /proc. */
void gw_room_measure(struct gw_room_sight *sight_r);

#endif
