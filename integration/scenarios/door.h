/* door: every way in: gateway, address family, port and what is spoken there.
 *
 * Doors speak from node client, or from another namespace where `netns` says so. */
#ifndef SCENARIOS_DOOR_H
#define SCENARIOS_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "probe/imap.h"
#include "probe/wire.h"

#include "stage.h"

#define DOORS_PER_ADDRESS 6 /* 993 143 443 by IMAP, 465 587 443 by SMTP */
#define DOORS             (4 * DOORS_PER_ADDRESS)

struct door {
    const char *node; /* "edge1", "edge2", "relay2" */
    const char *host; /* numeric */
    int family;
    int port;
    bool imap;
};

/* All doors of both gateways, in both families. */
void doors_all(struct door out[DOORS]);
/* One of a node. The node must have an address of that family. */
struct door door_at(const char *node, int family, int port, bool imap);
/* "edge1 v6 port 443 imap" */
void door_name(const struct door *door, char out[64]);
struct wire_to door_wire(const struct stage *stage, const struct door *door,
                         int64_t timeout_ms);

/* One login, over IMAP or SMTP. SMTP's 235, 535 and 454 count as IN, REFUSED and
 * TEMPORARY. text: at least 256 bytes, the answer; may be NULL. Returns 0 when an
 * answer came. Safe in threads. */
CM_MUSTUSE int door_login(const struct stage *stage, const struct door *door,
                          const char *user, const char *password, int64_t timeout_ms,
                          enum imap_verdict *verdict_r, char *text, struct cm_err *err);
/* A session that is logged in, for the caller to close; NULL when it was not let in. */
struct imap *door_imap(const struct stage *stage, const struct door *door,
                       const struct scene_account *account, int64_t timeout_ms,
                       struct cm_err *err);
/* Logs in and takes anything but IN as an error that names the door. */
CM_MUSTUSE int door_must_let_in(const struct stage *stage, const struct door *door,
                                const struct scene_account *account,
                                struct cm_err *err);
/* Makes a new account of that domain by logging in at edge2, or at relay2. */
CM_MUSTUSE int account_make(const struct stage *stage, struct scene_account *account_r,
                            const char *domain, struct cm_err *err);
/* Tries until the door lets the account in. *ms_r (may be NULL) is how long that took
 * since `since_ms` (monotonic); more than limit_ms is an error. A "wrong password" on
 * the way is one too. */
CM_MUSTUSE int door_until_in(const struct stage *stage, const struct door *door,
                             const struct scene_account *account, int64_t since_ms,
                             int64_t limit_ms, int64_t *ms_r, struct cm_err *err);

#endif
