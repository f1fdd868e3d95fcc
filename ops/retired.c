/* What an earlier version, or an earlier chatmail.ini, put on a store and this one does
 * without: OpenDKIM, since chatmail-filter signs; the name server's key. Comes after
 * the units, so that Postfix asks it no more. The package, the key and files that are
 * not ours stay. */
#include <stdlib.h>
#include <string.h>

#include "cluster.h"

/* $1: "yes" when the name server's key is wanted. Says what of it is still there. Its
 * tables have no line that says whose they are; they belong to the opendkim.conf beside
 * them. */
static const char find_script[] =
    "u=opendkim.service\n"
    "case $(systemctl is-active $u):$(systemctl is-enabled $u 2>/dev/null) in"
    " active:*|activating:*|*:enabled) echo $u;; esac\n"
    "if head -n1 /etc/opendkim.conf 2>/dev/null | grep -q '^# Written by chatops run';"
    " then for f in /etc/dkimkeys/KeyTable /etc/dkimkeys/SigningTable"
    " /etc/opendkim.conf; do [ ! -e $f ] || echo $f; done; fi\n"
    "for f in /etc/systemd/system/$u.d/chatmail.conf " OP_APPLIED_DIR "/$u;"
    " do [ ! -e $f ] || echo $f; done\n"
    "d=/var/spool/postfix/opendkim; [ ! -d $d ] || echo $d\n"
    "k=/etc/chatmail/dns.key; [ \"$1\" = yes ] || [ ! -e $k ] || echo $k";

static int find_retired(struct op_node *node, char **said_r, struct cm_err *err)
{
    const struct cm_conf *conf = &node->cluster->conf;
    struct op_cmd cmd = {
        .script = find_script,
        .args = {conf->store.dns_follow && !conf->is_ip ? "yes" : "no"},
        .repeatable = true};

    if (op_host_run(&node->host, &cmd, said_r, err) != 0) {
        return -1;
    }
    for (char *p = *said_r; *p != '\0'; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    return 0;
}

static int check_retired(struct op_step *step, struct cm_err *err)
{
    char *said;

    if (find_retired(step->ctx, &said, err) != 0) {
        return -1;
    }
    int rc = said[0] == '\0';
    if (rc == 0) {
        op_step_note(step, "to remove: %.150s", said);
    }
    free(said);
    return rc;
}

static int remove_retired(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;

    if (find_retired(node, &said, err) != 0) {
        return -1;
    }
    /* The conf last: what it says of the tables must last until they are gone. */
    struct op_cmd cmd = {
        .script = "set -e; for x in $1; do case $x in\n"
                  " *.d/chatmail.conf) rm -f \"$x\"; rmdir \"${x%/*}\" 2>/dev/null ||"
                  " true; systemctl daemon-reload;;\n"
                  " /var/spool/*) rm -rf \"$x\";;\n"
                  " /*) rm -f \"$x\";;\n"
                  " *) systemctl -q disable --now \"$x\";;\n"
                  "esac; done",
        .args = {said},
        .repeatable = true};
    int rc = op_host_run(&node->host, &cmd, NULL, err);
    op_step_note(step, "removed: %.150s", said);
    free(said);
    return rc;
}

void op_add_retired(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "what is no longer used",
                        .check = check_retired,
                        .act = remove_retired,
                        .ctx = node};

    op_plan_add(plan, &s);
}
