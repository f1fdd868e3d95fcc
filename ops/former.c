#include "former.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#define LIST_MAX   (256 * 1024)
#define RESTORE_MS (3 * 60 * 1000)

/* A stamp that fits nothing: the unit ran, and is to start anew. */
#define STALE "- -"

/* Lines "UNIT PATH" on stdin. What was kept by a run that ended in between stays: it is
 * what the unit ran with. */
static const char keep_script[] =
    "set -e; umask 077; mkdir -p " OP_FORMER_DIR "\n"
    "while read -r u p; do\n"
    "  s=" OP_APPLIED_DIR "/$u d=" OP_FORMER_DIR "/$u; [ -s \"$s\" ] || continue\n"
    "  [ -e \"$d/stamp\" ] || { mkdir -p \"$d/files\"; touch \"$d/absent\"\n"
    "    cp \"$s\" \"$d/stamp.new\"; mv \"$d/stamp.new\" \"$d/stamp\"; }\n"
    "  echo '" STALE "' >\"$s\"\n"
    "  [ ! -e \"$d/files$p\" ] || continue\n"
    "  ! grep -qxF \"$p\" \"$d/absent\" || continue\n"
    "  if [ -f \"$p\" ]; then mkdir -p \"$d/files${p%/*}\"\n"
    "    cp -p \"$p\" \"$d/new\"; sync \"$d/new\"; mv \"$d/new\" \"$d/files$p\"\n"
    "  else echo \"$p\" >>\"$d/absent\"; fi\n"
    "done";

/* Lines "UNIT HASH" on stdin: with what it would run by the chatmail.ini that is there.
 * When that is not what it was started with, somebody edited the file. */
static const char edited_script[] =
    "while read -r u h; do s=" OP_APPLIED_DIR "/$u; [ -s \"$s\" ] || continue\n"
    "  read -r f p <\"$s\"; [ \"$f\" = \"$h\" ] || echo '" STALE "' >\"$s\"\n"
    "done";

static int mark_edited(struct op_node *node, struct op_file *ini, struct cm_err *err)
{
    char *wanted = ini->content, *there, hash[65];
    struct cm_buf list;
    int rc = op_host_get(&node->host, ini->path, &there, err);

    if (rc <= 0) {
        return rc;
    }
    cm_buf_init(&list, LIST_MAX);
    size_t len = ini->len;
    ini->content = there;
    ini->len = strlen(there);
    for (const struct op_unit *u = node->units; u->name != NULL; u++) {
        op_unit_files_hash(&node->files, u->name, hash);
        if (op_unit_reads_ini(u->name)) {
            cm_buf_fmt(&list, "%s %s\n", u->name, hash);
        }
    }
    ini->content = wanted;
    ini->len = len;
    free(there);
    struct op_cmd cmd = {.script = edited_script,
                         .input = list.data,
                         .input_len = list.len,
                         .repeatable = true};
    rc = op_host_run(&node->host, &cmd, NULL, err);
    cm_buf_clear(&list);
    return rc;
}

int op_former_keep(struct op_node *node, const bool *changed, struct cm_err *err)
{
    struct cm_buf list;
    int rc = 0;

    cm_buf_init(&list, LIST_MAX);
    for (size_t i = 0; i < node->files.count && rc == 0; i++) {
        struct op_file *f = &node->files.items[i];
        if (changed[i] && f->unit != NULL) {
            cm_buf_fmt(&list, "%s %s\n", f->unit, f->path);
        } else if (changed[i] && strcmp(f->path, OP_INI_PATH) == 0) {
            rc = mark_edited(node, f, err);
        }
    }
    cm_assert(!list.overflow);
    struct op_cmd cmd = {.script = keep_script,
                         .input = list.data,
                         .input_len = list.len,
                         .repeatable = true};
    if (rc == 0 && list.len > 0) {
        rc = op_host_run(&node->host, &cmd, NULL, err);
    }
    cm_buf_clear(&list);
    return rc;
}

/* $1 unit, $2 reload | restart: how it takes files while it runs; after a refused
 * reload it may have taken a part. Says how many files there were. */
static const char restore_script[] =
    "set -e; d=" OP_FORMER_DIR "/$1; [ -e \"$d/stamp\" ] || exit 0\n"
    "cd \"$d/files\"; n=0\n"
    "for f in $(find . -type f); do p=${f#.}; mkdir -p \"${p%/*}\"\n"
    "  cp -p \"$f\" \"$p.former\"; sync \"$p.former\"; mv -f \"$p.former\" \"$p\"\n"
    "  n=$((n + 1)); done\n"
    "while read -r p; do rm -f \"$p\"; n=$((n + 1)); done <../absent\n"
    "systemctl daemon-reload\n"
    "if systemctl -q is-active \"$1\"; then\n"
    "  [ \"$2\" != reload ] || systemctl reload \"$1\" || true\n"
    "else systemctl reset-failed \"$1\" 2>/dev/null || true\n"
    "  systemctl start \"$1\" || { echo \"nor does it start with its former files: "
    "$(journalctl -q -n 1 -o cat -u \"$1\" 2>/dev/null)\" >&2; exit 1; }\n"
    "fi\n"
    "mv \"$d/stamp\" " OP_APPLIED_DIR "/\"$1\"; cd /; rm -rf \"$d\"; echo $n";

int op_former_restore(struct op_node *node, const struct op_unit *unit,
                      unsigned *files_r, struct cm_err *err)
{
    struct op_cmd cmd = {.script = restore_script,
                         .args = {unit->name, unit->reload ? "reload" : "restart"},
                         .timeout_ms = RESTORE_MS};
    char *said;

    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    int rc = said[0] != '\0';
    *files_r = (unsigned)strtoul(said, NULL, 10);
    free(said);
    return rc;
}
