/* stream: numbered messages, offered without pause by many lanes, each in a thread,
 * every answer written into a ledger. */
#ifndef SCENARIOS_STREAM_H
#define SCENARIOS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#include "door.h"
#include "ledger.h"
#include "stage.h"

#define STREAM_LANES_MAX 16

/* One sender. It logs in at doors[0] and takes doors[1] when that one fails, and back;
 * a real client would do the same. It keeps its connection as long as it lasts. */
struct stream_lane {
    struct door doors[2];
    struct scene_account from;
    char to[96];
    int64_t gap_ms; /* between two messages */
};

/* One that writes to `to`, from a new account of that domain. */
CM_MUSTUSE int stream_lane_make(const struct stage *stage, struct stream_lane *lane_r,
                                const struct door doors[2], const char *domain,
                                const char *to, int64_t gap_ms, struct cm_err *err);

struct stream;

/* Copies the lanes; stage and ledger must outlive the stream. */
struct stream *stream_start(const struct stage *stage, const struct stream_lane *lanes,
                            size_t n, struct ledger *ledger);
/* Ends after the message each lane is at, and waits for that. */
void stream_stop(struct stream **stream);

/* A message like those of a stream, alone, over a new connection; its fate goes into
 * the ledger. Anything but 250 is an error too. */
CM_MUSTUSE int stream_one(const struct stage *stage, const struct stream_lane *lane,
                          struct ledger *ledger, struct cm_err *err);

#endif
