/* modes: what one gateway shall do from now on, as an edit of the desired state.
 *
 * The document that is edited is the one in force, not what chatmail.ini would make:
 * other changes of chatmail.ini that have not been run yet stay where they are, and a
 * gateway that cannot be reached is no hindrance. The same edit is made in
 * chatmail.ini, here and on the store. Everything is a plan of steps that look first,
 * so a call that was interrupted goes on when it is made again. */
#ifndef OP_MODES_H
#define OP_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster.h"
#include "fleet.h"
#include "proxy/state.h"

#define OP_DRAIN_S     60 /* --for */
#define OP_DRAIN_MAX_S 3600

/* What the store says before anything is changed. */
struct op_published {
    struct px_state state; /* in force, epoch as published */
    struct op_fleet fleet;
    char *numbers; /* lines "NUMBER NAME" of all gateways that ever were */
};

struct op_change {
    struct op_cluster *c;
    struct op_plan *plan;
    char name[33];
    char section[48]; /* "gateway NAME" */
    int number;       /* of its tunnel */
    enum cm_mode mode;
    bool drains;
    bool removes;
    bool in_ini, in_state; /* as found at the beginning */
    int64_t for_ms;
    int64_t patience_ms; /* to apply a document; 0: op_apply_ms */
    struct op_published was;
    char *with_mode; /* documents to publish; NULL: not needed */
    char *without;

    /* Found on the way. */
    int64_t empty_by_ms; /* monotonic; 0: not waited yet */
    bool lost;           /* removal goes on without its word */
    bool by_hand;        /* it has no agent */
    int64_t flows_found; /* when it had begun to refuse; -1: not looked */
    int64_t flows_cut;
    bool run_needed; /* chatmail.ini here and on the store differ in other things */
    char late[400];  /* other gateways that have not applied, and why */
};

/* From the answer of the store to op_modes_facts_sql, and of "ctl status". An error
 * says to run `chatops run` when nothing is published. Clear in both cases. */
extern const char op_modes_facts_sql[];
CM_MUSTUSE int op_published_parse(const char *rows, const char *status,
                                  struct op_published *was_r, struct cm_err *err);
CM_MUSTUSE int op_published_read(struct op_cluster *c, struct op_published *was_r,
                                 struct cm_err *err);
void op_published_clear(struct op_published *was);
/* Had a gateway of that name a number once? */
bool op_published_knew(const struct op_published *was, const char *name);

/* "60" to milliseconds; NULL is the default. */
CM_MUSTUSE int op_drain_time(const char *text, int64_t *ms_r, struct cm_err *err);

/* The document without epoch, with that mode or (removes) without that gateway; egress
 * is what the document shall have then. Caller frees. */
char *op_edited_state(const struct px_state *state, const char *name, enum cm_mode mode,
                      bool removes, enum cm_egress egress);

/* How long a gateway may take to apply a document; tests turn it down. */
extern int64_t op_apply_ms;

/* Adds the steps of the change, in their order. */
void op_change_plan(struct op_change *ch);
/* Adds the steps that hear of a document which was published otherwise: by the gateway,
 * by the others. ch->late is told afterwards. */
void op_change_hear(struct op_change *ch);
void op_change_hear_others(struct op_change *ch);

/* chatmail.ini without that section, as its reader understands it. */
CM_MUSTUSE int op_conf_without(const struct op_cluster *c, const char *section,
                               struct cm_conf *conf_r, struct cm_err *err);

struct op_dns_change {
    struct json_t *gone; /* arrays of zone lines, or NULL; owned */
    struct json_t *wanted;
};
/* What a removal means for DNS: every record that the gateway had, in whatever mode it
 * was, and every one of its successor (may be NULL), though it may be published
 * already.
 */
CM_MUSTUSE int op_dns_after(struct op_change *ch, const char *successor,
                            struct op_dns_change *dns_r, struct cm_err *err);
void op_dns_change_clear(struct op_dns_change *dns);
/* Every record that is wanted because of that gateway: an array of zone lines, owned by
 * the caller. */
CM_MUSTUSE int op_dns_added(const struct op_cluster *c, const char *name,
                            struct json_t **lines_r, struct cm_err *err);

/* Says how it ended; the exit code. */
int op_change_say(const struct op_change *ch, const struct op_summary *sum,
                  const struct op_dns_change *dns);
/* The same of a gateway that was removed before. */
int op_change_say_before(const struct op_change *ch);

#endif
