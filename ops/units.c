/* Units on a node: validated, started or restarted when what they read has changed,
 * enabled at boot.
 *
 * The stamp OP_APPLIED_DIR/UNIT says with what a unit was last started: "FILES
 * PROGRAM". It is written after the restart, so a run killed between the two restarts
 * once more instead of leaving an old process behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/ini.h"
#include "common/mem.h"
#include "former.h"
#include "hash.h"
#include "ini_edit.h"
#include "restore.h"

#define STAMP_INPUT_MAX (16u * 1024 * 1024)
#define START_MS        (3 * 60 * 1000)

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Our daemons are new when the package is. Sockets and tunnels outlive it, for they
 * hold what clients hold on to, and so do the TURN servers, Debian's program under a
 * small one of ours: only a new unit file concerns them. */
static bool is_our_daemon(const char *unit)
{
    return has_prefix(unit, "chatmail-") && !has_prefix(unit, "chatmail-tunnel@") &&
           !has_prefix(unit, "chatmail-turn@") && strstr(unit, ".service") != NULL;
}

bool op_unit_reads_ini(const char *unit)
{
    return is_our_daemon(unit);
}

bool op_unit_takes_registrations(const char *unit)
{
    static const char *const units[] = {"chatmail-auth.service",
                                        "chatmail-web.service"};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What gateways do, and which there are, stands in the desired state; of the units that
 * read chatmail.ini only this one looks at their sections, and not at their modes. */
static bool takes_gateways(const char *unit)
{
    return strcmp(unit, "chatmail-web.service") == 0;
}

/* Replaces *text unless it is no ini. */
static void edit(char **text, const char *section, const char *key)
{
    struct cm_err ignored;
    char *edited;

    if ((key != NULL
             ? op_ini_with_value(*text, section, key, NULL, &edited, &ignored)
             : op_ini_without_section(*text, section, &edited, &ignored)) == 0) {
        free(*text);
        *text = edited;
    }
}

/* To all but those who read it, a change of [store] registrations or of a gateway is
 * none. */
static char *ini_for(const char *unit, const char *ini)
{
    char *text = cm_strdup(ini);
    struct cm_ini sections;
    struct cm_err ignored;

    if (!op_unit_takes_registrations(unit)) {
        edit(&text, "store", "registrations");
    }
    if (cm_ini_parse(OP_INI_PATH, ini, strlen(ini), &sections, &ignored) != 0) {
        return text;
    }
    for (size_t i = 0; i < sections.section_count; i++) {
        if (has_prefix(sections.sections[i].name, "gateway ")) {
            edit(&text, sections.sections[i].name,
                 takes_gateways(unit) ? "mode" : NULL);
        }
    }
    cm_ini_clear(&sections);
    return text;
}

void op_unit_files_hash(const struct op_files *files, const char *unit, char out[65])
{
    struct cm_buf b;

    cm_buf_init(&b, STAMP_INPUT_MAX);
    for (size_t i = 0; i < files->count; i++) {
        const struct op_file *f = &files->items[i];
        bool ini = strcmp(f->path, OP_INI_PATH) == 0;
        if ((f->unit != NULL && strcmp(f->unit, unit) == 0) ||
            (ini && is_our_daemon(unit))) {
            char *text = ini ? ini_for(unit, f->content) : NULL;
            size_t len = ini ? strlen(text) : f->len;
            cm_buf_fmt(&b, "%s %s %04o %zu\n", f->path, f->owner, (unsigned)f->mode,
                       len);
            cm_buf_add(&b, ini ? text : f->content, len);
            free(text);
        }
    }
    cm_assert(!b.overflow);
    op_hash(b.data, b.len, out);
    cm_buf_clear(&b);
}

struct unit_state {
    char stamp_files[65], stamp_program[65]; /* as last started with; "" unknown */
    char files[65], program[65];             /* as wanted */
    char active[32];
    char enabled[32];
    bool deleted; /* runs from a file that was replaced since */
};

static const char state_script[] =
    "systemctl show -P ActiveState \"$1\"; systemctl show -P UnitFileState \"$1\" |"
    " sed 's/^$/none/'\n"
    "p=$(systemctl show -P MainPID \"$1\"); case $(readlink \"/proc/$p/exe\") in"
    " *' (deleted)') echo deleted;; *) echo current;; esac\n"
    "systemctl cat \"$1\" 2>/dev/null | sha256sum | cut -c 1-64\n"
    "cat " OP_APPLIED_DIR "/\"$1\" 2>/dev/null; true";

static int read_state(struct op_node *node, const struct op_unit *unit,
                      struct unit_state *s_r, struct cm_err *err)
{
    struct op_cmd cmd = {
        .script = state_script, .args = {unit->name}, .repeatable = true};
    struct unit_state s = {.stamp_files = ""};
    char deleted[16] = "", *said;

    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    int n = sscanf(said, "%31s %31s %15s %64s %64s %64s", s.active, s.enabled, deleted,
                   s.program, s.stamp_files, s.stamp_program);
    free(said);
    if (n < 4) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: systemd does not answer about %s",
                          node->host.name, unit->name);
    }
    s.deleted = strcmp(deleted, "deleted") == 0;
    op_unit_files_hash(&node->files, unit->name, s.files);
    if (is_our_daemon(unit->name)) {
        snprintf(s.program, sizeof(s.program), "%s", node->package.hash);
    }
    *s_r = s;
    return 0;
}

/* Why a unit is not as it should be; NULL when it is. */
static const char *complaint(const struct unit_state *s)
{
    if (strcmp(s->active, "active") != 0) {
        return "not running";
    }
    if (strcmp(s->stamp_files, s->files) != 0) {
        return "its files are newer than it";
    }
    if (strcmp(s->stamp_program, s->program) != 0 || s->deleted) {
        return "its program is newer than it";
    }
    if (strcmp(s->enabled, "disabled") == 0) {
        return "not enabled at boot";
    }
    return NULL;
}

static int check_unit(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct unit_state s;

    if (read_state(node, step->arg, &s, err) != 0) {
        return -1;
    }
    const char *why = complaint(&s);
    if (why != NULL) {
        op_step_note(step, "%s", why);
    }
    return why == NULL;
}

static int validate(struct op_node *node, const struct op_unit *unit,
                    struct cm_err *err)
{
    struct op_cmd cmd = {.script = unit->validate};

    if (unit->validate == NULL || op_host_run(&node->host, &cmd, NULL, err) == 0) {
        return 0;
    }
    return cm_err_prefix(err,
                         "its new configuration is not valid, so it was left as it is");
}

/* $1 unit, $2 start | restart | reload | keep. A socket cannot be restarted under its
 * service, so the service makes way; the next step or the first client starts it again.
 */
static const char apply_script[] =
    "set -e\n"
    "case $1 in *.socket) [ \"$2\" != restart ] ||"
    " for s in $(systemctl show -P Triggers \"$1\"); do systemctl stop \"$s\"; done;; "
    "esac\n"
    "systemctl reset-failed \"$1\" 2>/dev/null || true\n"
    "[ \"$2\" = keep ] || systemctl \"$2\" \"$1\" || {\n"
    "  echo \"$2 failed: $(journalctl -q -n 1 -o cat -u \"$1\" 2>/dev/null)\" >&2; "
    "exit 1; }\n"
    "[ \"$(systemctl show -P UnitFileState \"$1\")\" != disabled ] ||"
    " systemctl -q enable \"$1\"\n"
    "mkdir -p " OP_APPLIED_DIR "; cd " OP_APPLIED_DIR "\n"
    "echo \"$3 $4\" >\"$1.new\"; sync \"$1.new\"; mv \"$1.new\" \"$1\"\n"
    "rm -rf " OP_FORMER_DIR "/\"$1\"";

static const char *verb_for(const struct op_unit *unit, const struct unit_state *s)
{
    if (strcmp(s->active, "active") != 0) {
        return "start";
    }
    if (strcmp(s->stamp_program, s->program) != 0 || s->deleted) {
        return "restart";
    }
    if (strcmp(s->stamp_files, s->files) != 0) {
        return unit->reload ? "reload" : "restart";
    }
    return "keep";
}

static int apply_unit(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct op_unit *unit = step->arg;
    /* before the state is read: what systemd knows of drop-ins is part of it */
    struct op_cmd reload = {
        .script = "[ \"$(systemctl show -P UnitFileState \"$1\")\" != masked ] ||"
                  " systemctl -q unmask \"$1\"; systemctl daemon-reload",
        .args = {unit->name},
        .repeatable = true};
    struct unit_state s;

    step->undo_wanted = true;
    if (op_host_run(&node->host, &reload, NULL, err) != 0 ||
        read_state(node, unit, &s, err) != 0 || validate(node, unit, err) != 0) {
        return -1;
    }
    const char *verb = verb_for(unit, &s);
    struct op_cmd cmd = {.script = apply_script,
                         .args = {unit->name, verb, s.files, s.program},
                         .timeout_ms = START_MS};
    op_step_note(step, "%s%s", strcmp(verb, "keep") == 0 ? "enabled" : verb,
                 strcmp(verb, "keep") == 0 ? "" : "ed");
    return op_host_run(&node->host, &cmd, NULL, err);
}

static int take_unit_back(struct op_step *step, struct cm_err *err)
{
    unsigned files = 0;
    int rc = op_former_restore(step->ctx, step->arg, &files, err);

    if (rc > 0) {
        op_step_note(step, "its %u former file%s are back, and it runs", files,
                     files == 1 ? "" : "s");
    }
    return rc;
}

/* ---- mail switched off ---- */

/* Who connects is refused by the kernel, and comes again: other relays for days. */
static bool is_mail(const char *unit)
{
    return has_prefix(unit, "postfix") || has_prefix(unit, "dovecot");
}

/* Masked, because postfix.service would start it again at boot. */
static int check_off(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct op_unit *unit = step->arg;
    struct unit_state s;

    if (read_state(node, unit, &s, err) != 0) {
        return -1;
    }
    bool off = strcmp(s.active, "active") != 0 && strcmp(s.enabled, "masked") == 0;
    op_step_note(step, "%s", off ? "switched off" : s.active);
    return off;
}

static int switch_off(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct op_unit *unit = step->arg;
    struct op_cmd cmd = {.script = "systemctl -q mask --now \"$1\"\n"
                                   "systemctl reset-failed \"$1\" 2>/dev/null; true",
                         .args = {unit->name},
                         .timeout_ms = START_MS};

    op_step_note(step, "switched off");
    return op_host_run(&node->host, &cmd, NULL, err);
}

/* The other way round than they are started: what takes mail in goes first. */
static void add_mail_off(struct op_plan *plan, struct op_node *node)
{
    size_t n = 0;

    while (node->units[n].name != NULL) {
        n++;
    }
    while (n-- > 0) {
        struct op_step s = {.node = node->host.name,
                            .name = node->units[n].name,
                            .check = check_off,
                            .act = switch_off,
                            .ctx = node,
                            .arg = &node->units[n]};
        if (is_mail(node->units[n].name)) {
            op_plan_add(plan, &s);
        }
    }
}

static bool is_postgresql(const struct op_unit *unit)
{
    return unit->name != NULL && has_prefix(unit->name, "postgresql");
}

void op_add_units(struct op_plan *plan, struct op_node *node)
{
    bool off = node->gateway == NULL && node->cluster->cli->disable_mail;

    if (off) {
        add_mail_off(plan, node);
    }
    for (const struct op_unit *u = node->units; u->name != NULL; u++) {
        struct op_step s = {.node = node->host.name,
                            .name = u->name,
                            .check = check_unit,
                            .act = apply_unit,
                            .undo = take_unit_back,
                            .safe_point = true,
                            .ctx = node,
                            .arg = u};
        if (!off || !is_mail(u->name)) {
            op_plan_add(plan, &s);
        }
        if (is_postgresql(u) && !is_postgresql(u + 1)) {
            op_add_restore_data(plan, node);
            op_add_schema(plan, node);
        }
    }
}

/* ---- schema ---- */

/* Names of the files, then names the database knows; equal sets are right. */
static int check_schema(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (op_host_ask(&node->host,
                    "have=$(runuser -u postgres -- psql -XAtqd chatmail -c "
                    "'select name from schema_version' 2>/dev/null)\n"
                    "for f in /usr/share/portico/schema/*.sql; do n=${f##*/};"
                    " n=${n%.sql}\n"
                    "printf '%s\\n' \"$have\" | sed 's/\\.sql$//' | grep -qxF \"$n\" ||"
                    " echo \"$n\"; done",
                    &said, err) != 0) {
        return -1;
    }
    int rc = said[0] == '\0';
    for (char *p = said; *p != '\0'; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    if (rc == 0) {
        op_step_note(step, "to apply: %.150s", said);
    }
    free(said);
    return rc;
}

static int apply_schema(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = "/usr/lib/portico/schema-apply",
                         .timeout_ms = START_MS};
    char *said;

    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    size_t applied = 0;
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++) {
        applied++;
    }
    op_step_note(step, "%zu applied", applied);
    free(said);
    return 0;
}

void op_add_schema(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "database schema",
                        .check = check_schema,
                        .act = apply_schema,
                        .ctx = node};

    op_plan_add(plan, &s);
}
