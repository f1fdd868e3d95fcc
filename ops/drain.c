/* The steps of a change of mode: edit, publish, hear of it, let flows end, cut them.
 *
 * The order matters (measured): a client whose connection is cut comes back at once, so
 * the gateway has to refuse before the store cuts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "modes.h"
#include "publish.h"
#include "reach.h"
#include "say.h"

#define LOST_MS   3000 /* who was silent before will hardly answer now */
#define POLL_MS   300
#define DOOR_PORT 443 /* of a gateway that does not report */
#define DOOR_MS   2000
#define INI_MAX   (1024 * 1024)

int64_t op_apply_ms = 30000;

/* ---- chatmail.ini ---- */

/* What chatmail.ini shall be; text may lack the section, which then stays away. */
static int edit_ini(const struct op_change *ch, bool away, const char *text,
                    char **text_r, struct cm_err *err)
{
    bool implied = ch->mode == CM_MODE_ACTIVE && !op_ini_has(text, ch->section, "mode");

    if (!op_ini_has(text, ch->section, NULL) || (implied && !away)) {
        *text_r = cm_strdup(text);
        return 0;
    }
    return away ? op_ini_without_section(text, ch->section, text_r, err)
                : op_ini_with_value(text, ch->section, "mode", cm_mode_name(ch->mode),
                                    text_r, err);
}

/* Both texts as they are and as they shall be. */
struct ini_pair {
    char *here, *here_new, *store, *store_new;
};

static void clear_pair(struct ini_pair *p)
{
    free(p->here);
    free(p->here_new);
    free(p->store);
    free(p->store_new);
}

static int read_pair(const struct op_change *ch, bool away, struct ini_pair *p,
                     struct cm_err *err)
{
    *p = (struct ini_pair){0};
    if (cm_file_read(ch->c->cli->config, INI_MAX, &p->here, NULL, err) != 1 ||
        op_host_get(&ch->c->nodes[0].host, OP_INI_PATH, &p->store, err) < 0) {
        return -1;
    }
    if (p->store == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "the store has not been set up yet; run: chatops run");
    }
    return edit_ini(ch, away, p->here, &p->here_new, err) == 0 &&
                   edit_ini(ch, away, p->store, &p->store_new, err) == 0
               ? 0
               : -1;
}

static int check_ini(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    struct ini_pair p;
    int rc = read_pair(ch, step->arg != NULL, &p, err);

    if (rc == 0) {
        rc = strcmp(p.here, p.here_new) == 0 && strcmp(p.store, p.store_new) == 0;
        ch->run_needed = strcmp(p.here_new, p.store_new) != 0;
        op_step_note(step, "%s", rc == 0 ? "to be edited" : "");
    }
    clear_pair(&p);
    return rc;
}

static int write_ini(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    const char *config = ch->c->cli->config;
    struct ini_pair p;
    struct stat st;
    int rc = read_pair(ch, step->arg != NULL, &p, err);

    if (rc == 0 && strcmp(p.store, p.store_new) != 0) {
        rc = op_host_put(&ch->c->nodes[0].host, OP_INI_PATH, p.store_new,
                         strlen(p.store_new), OP_INI_OWNER, OP_INI_MODE, err);
    }
    if (rc == 0 && strcmp(p.here, p.here_new) != 0) {
        mode_t bits = stat(config, &st) == 0 ? st.st_mode & 07777 : 0644;
        rc = cm_file_replace(config, p.here_new, strlen(p.here_new), bits, err);
    }
    clear_pair(&p);
    op_step_note(step, "here and on the store");
    return rc;
}

/* ---- hearing of it ---- */

static int read_fleet(struct op_change *ch, struct op_fleet *fleet, struct cm_err *err)
{
    char *status;

    if (op_host_ask(&ch->c->nodes[0].host, "chatmail-cluster ctl status", &status,
                    err) != 0) {
        return -1;
    }
    int rc = op_fleet_parse(status, fleet, err);
    free(status);
    return rc;
}

static bool stopped(const struct op_change *ch, struct cm_err *err)
{
    if (ch->plan->interrupted == NULL || !*ch->plan->interrupted) {
        return false;
    }
    (void)!cm_err_set(err, CM_ERR_WORLD, "interrupted; call it again to go on");
    return true;
}

static void pause_until_next_look(void)
{
    nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

/* Calls the step's own check until it holds or the time is over: 1, 0, or -1. */
static int wait_for(struct op_step *step, int64_t end_ms, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    int64_t from = cm_now_mono_ms();

    for (;;) {
        int rc = step->check(step, err);
        int64_t now = cm_now_mono_ms();
        if (rc != 0 || now >= end_ms) {
            return rc;
        }
        if (stopped(ch, err)) {
            return -1;
        }
        if (!ch->c->cli->json) {
            op_progress(now - from, "%s: %s", step->node, step->note);
        }
        pause_until_next_look();
    }
}

/* What the mode is to a stranger at the door. */
static bool as_wanted(enum cm_mode mode, enum op_reach r)
{
    return mode == CM_MODE_ACTIVE ? r == OP_REACH_OK
           : mode == CM_MODE_HOLD ? r == OP_REACH_TIMEOUT
                                  : r == OP_REACH_BAD;
}

/* 1, 0 (why), or -1: no address is to be seen from here. */
static int seen_as(const struct cm_conf_gateway *gw, enum cm_mode mode, char *why,
                   size_t size)
{
    char words[CM_ADDRESSES_MAX][64], said[120];
    size_t n = cm_conf_words(gw->addresses, words, CM_ADDRESSES_MAX), seen = 0;

    for (size_t i = 0; i < n; i++) {
        enum op_reach r =
            op_reach_tcp(words[i], DOOR_PORT, NULL, DOOR_MS, said, sizeof(said));
        if (r != OP_REACH_NO_ROUTE && !as_wanted(mode, r)) {
            snprintf(why, size, "%.45s port %d: %s", words[i], DOOR_PORT,
                     r == OP_REACH_OK ? "still accepts" : said);
            return 0;
        }
        seen += r != OP_REACH_NO_ROUTE;
    }
    snprintf(why, size, "%s", seen > 0 ? "" : "none of its addresses is reached here");
    return seen > 0 ? 1 : -1;
}

/* Nobody there says it, so its door is tried. */
static int check_by_hand(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    const struct op_node *node = op_cluster_gateway(ch->c, ch->name);
    char why[200];

    if (node == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "it is not in %s", ch->c->cli->config);
    }
    int rc = seen_as(node->gateway, ch->mode, why, sizeof(why));
    op_step_note(step, "%s", rc > 0 ? "as seen from here" : why);
    ch->by_hand = true;
    return rc > 0;
}

static int check_heard(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    struct op_fleet fleet;
    char why[300];

    if (ch->lost) {
        return 1;
    }
    if (read_fleet(ch, &fleet, err) != 0) {
        return -1;
    }
    const struct op_member *m = op_fleet_find(&fleet, ch->name);
    if (m != NULL && m->agentless) {
        return check_by_hand(step, err);
    }
    bool applied = op_fleet_applied(&fleet, ch->name, ch->mode, why, sizeof(why));
    op_step_note(step, applied ? "epoch %lld" : "not yet epoch %lld: %.150s",
                 (long long)fleet.epoch, why);
    return applied;
}

static int await_heard(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    const struct op_member *m = op_fleet_find(&ch->was.fleet, ch->name);
    bool silent = m != NULL && !op_member_reports(m);
    int64_t limit = silent && ch->removes  ? LOST_MS
                    : ch->patience_ms != 0 ? ch->patience_ms
                                           : op_apply_ms;
    int rc = wait_for(step, cm_now_mono_ms() + limit, err);

    if (rc != 0) {
        return rc > 0 ? 0 : -1;
    }
    if (ch->removes) {
        ch->lost = true;
        op_step_note(step, "without its word: it does not answer");
        return 0;
    }
    char note[sizeof(step->note)];
    memcpy(note, step->note, sizeof(note));
    if (ch->by_hand) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s; it has no agent: load there what \"chatops gateway "
                          "render %s --pf\" prints, then call this again",
                          note, ch->name);
    }
    return cm_err_set(
        err, CM_ERR_WORLD, "%s%s", note,
        !ch->drains ? ""
                    : "; its flows were left alone, for their clients would come "
                      "straight back; is the machine lost? chatops gateway remove");
}

/* The others are told the same document, though it changes nothing for them. One that
 * is silent is named and not waited for. */
static int check_others(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    struct op_fleet fleet;
    size_t living;

    if (read_fleet(ch, &fleet, err) != 0) {
        return -1;
    }
    size_t late = op_fleet_late(&fleet, ch->name, &living, ch->late, sizeof(ch->late));
    op_step_note(step, late > 0 ? "not yet: %.180s" : "%s", ch->late);
    return living == 0 || step->arg != NULL;
}

static int await_others(struct op_step *step, struct cm_err *err)
{
    int rc = wait_for(step, cm_now_mono_ms() + op_apply_ms, err);

    step->arg = rc == 0 ? step : NULL; /* enough waited: the end tells who is late */
    return rc < 0 ? -1 : 0;
}

/* ---- flows ---- */

/* $1, $2 the store's inner addresses, $3, $4 the gateway's, whose own connections (the
 * bus) are no flows; $5 "K" to end what is found. A line for each. */
static const char flows_script[] =
    "ss -Htn$5 state established src \"$1\" and not dst \"$3\" &&"
    " ss -Htn$5 state established src \"[$2]\" and not dst \"[$4]\"";

static int look_at_flows(struct op_change *ch, bool kill, int64_t *count_r,
                         struct cm_err *err)
{
    char store4[46], store6[46], gate4[46], gate6[46], *said;

    px_inner4(ch->number, 2, store4);
    px_inner6(ch->number, 2, store6);
    px_inner4(ch->number, 1, gate4);
    px_inner6(ch->number, 1, gate6);
    struct op_cmd cmd = {.script = flows_script,
                         .args = {store4, store6, gate4, gate6, kill ? "K" : ""},
                         .repeatable = !kill};
    if (op_host_run(&ch->c->nodes[0].host, &cmd, &said, err) != 0) {
        return -1;
    }
    int64_t n = said[0] != '\0';
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++) {
        n++;
    }
    free(said);
    *count_r = n;
    return 0;
}

static int count_flows(struct op_step *step, int64_t *n_r, struct cm_err *err)
{
    struct op_change *ch = step->ctx;

    if (look_at_flows(ch, false, n_r, err) != 0) {
        return -1;
    }
    ch->flows_found = ch->flows_found < 0 ? *n_r : ch->flows_found;
    op_step_note(step, "%lld flow%s", (long long)*n_r, *n_r == 1 ? "" : "s");
    return 0;
}

static int check_ended(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    int64_t n;

    if (count_flows(step, &n, err) != 0) {
        return -1;
    }
    return n == 0 ||
           (ch->empty_by_ms != 0 && (ch->lost || cm_now_mono_ms() >= ch->empty_by_ms));
}

static int await_ended(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;

    ch->empty_by_ms = cm_now_mono_ms() + (ch->lost ? 0 : ch->for_ms);
    return wait_for(step, ch->empty_by_ms, err) < 0 ? -1 : 0;
}

static int check_cut(struct op_step *step, struct cm_err *err)
{
    int64_t n;

    return count_flows(step, &n, err) != 0 ? -1 : n == 0;
}

static int cut(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    int64_t n;

    if (look_at_flows(ch, true, &n, err) != 0) {
        return -1;
    }
    ch->flows_cut += n;
    op_step_note(step, "%lld cut", (long long)n);
    return 0;
}

/* ---- what only a removal does ---- */

/* $1 unit, $2 its file. `run` stops nothing that chatmail.ini does not name. */
static int check_turn(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    char number[16], *said;

    snprintf(number, sizeof(number), "%d", ch->number);
    struct op_cmd cmd = {.script =
                             "systemctl is-active \"chatmail-turn@$1.service\";"
                             " ls \"/etc/chatmail/turn/$1.conf\" 2>/dev/null; true",
                         .args = {number},
                         .repeatable = true};
    if (op_host_run(&ch->c->nodes[0].host, &cmd, &said, err) != 0) {
        return -1;
    }
    int rc = strcmp(said, "active") != 0 && strchr(said, '\n') == NULL;
    free(said);
    op_step_note(step, "%s", rc == 0 ? "there" : "");
    return rc;
}

static int stop_turn(struct op_step *step, struct cm_err *err)
{
    struct op_change *ch = step->ctx;
    char number[16];

    snprintf(number, sizeof(number), "%d", ch->number);
    struct op_cmd cmd = {
        .script = "systemctl stop \"chatmail-metrics@turn@$1.socket\"\n"
                  "u=chatmail-turn@$1.service; systemctl -q disable --now \"$u\"\n"
                  "rm -f \"/etc/chatmail/turn/$1.conf\" \"" OP_APPLIED_DIR "/$u\"",
        .args = {number},
        .repeatable = true};
    op_step_note(step, "stopped");
    return op_host_run(&ch->c->nodes[0].host, &cmd, NULL, err);
}

/* ---- the plan ---- */

static void add(struct op_change *ch, const char *node, const char *name,
                int (*check)(struct op_step *, struct cm_err *),
                int (*act)(struct op_step *, struct cm_err *), bool waits,
                const void *arg)
{
    struct op_step s = {.node = node,
                        .name = name,
                        .check = check,
                        .act = act,
                        .waits = waits,
                        .ctx = ch,
                        .arg = arg};

    op_plan_add(ch->plan, &s);
}

void op_change_hear(struct op_change *ch)
{
    add(ch, ch->name, "has applied it", check_heard, await_heard, true, NULL);
}

void op_change_hear_others(struct op_change *ch)
{
    add(ch, "store", "other gateways have applied it", check_others, await_others, true,
        NULL);
}

/* chatmail.ini comes first: who is interrupted behind it and runs `run` gets what he
 * wanted. A section is taken out last: without it the name would not be known. */
void op_change_plan(struct op_change *ch)
{
    ch->flows_found = -1;
    if (ch->in_ini && ch->in_state) {
        add(ch, ch->name, "mode in chatmail.ini", check_ini, write_ini, false, NULL);
    }
    if (ch->in_state) {
        op_add_publish_of(ch->plan, ch->c, "desired state", &ch->with_mode);
        op_change_hear(ch);
    }
    if (ch->in_state && ch->drains) {
        add(ch, "store", "flows end", check_ended, await_ended, true, NULL);
        add(ch, "store", "no flow is left", check_cut, cut, false, NULL);
    }
    if (ch->in_state && ch->removes) {
        op_add_publish_of(ch->plan, ch->c, "desired state without it", &ch->without);
    }
    if (ch->removes) {
        add(ch, "store", "its TURN server is gone", check_turn, stop_turn, false, NULL);
    }
    if (ch->removes && ch->in_ini) {
        add(ch, ch->name, "is out of chatmail.ini", check_ini, write_ini, false, ch);
    }
    op_change_hear_others(ch);
}
