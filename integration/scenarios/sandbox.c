/* What our programs may do on a node if somebody takes them over: systemd's own
 * judgement of every unit of ours, and what all daemons have in common. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* "systemd-analyze security" from 0 (safe) to 100: a tenth of what it prints. */
#define EXPOSURE_MAX 25

/* Every unit file that the package brought, and an instance of each template that runs.
 */
static const char units_script[] =
    "{ ls /lib/systemd/system | grep -E '^chatmail-[a-z]+\\.service$';"
    " systemctl list-units --plain --no-legend 'chatmail-*@*.service' |"
    " cut -d' ' -f1; } | sort -u";

/* Each line that comes out says what is wrong with $u. A daemon runs as a user of its
 * own, or as root with hardly a capability; it has a watchdog and is started again. */
static const char judge_script[] =
    "u=%s\n"
    "systemd-analyze security --no-pager --threshold=%d $u >/tmp/judged 2>&1 ||"
    " grep -h 'Overall exposure' /tmp/judged || echo not judged\n"
    "get() { systemctl show -P $1 $u; }\n"
    "[ \"$(get NoNewPrivileges)\" = yes ] || echo may gain privileges\n"
    "[ \"$(get ProtectSystem)\" = strict ] || echo may write to the system\n"
    "case $(get Type):$(get User) in\n"
    "  notify:|notify:root) case $(get CapabilityBoundingSet) in\n"
    "    cap_net_admin) ;; *) echo is root with capabilities;; esac;;\n"
    "esac\n"
    "[ $(get Type) != notify ] || [ $(get WatchdogUSec) != 0 ] || echo no watchdog\n"
    "[ $(get Type) != notify ] || [ $(get Restart) = always ] || echo not started "
    "again\n";

static int judge_unit(struct stage *stage, const char *node, const char *unit,
                      struct cm_err *err)
{
    char *said;
    if (stage_ask(stage, node, NULL, &said, err, judge_script, unit, EXPOSURE_MAX) <
        0) {
        return -1;
    }
    int rc = 0;
    if (said[0] != '\0') {
        said[strcspn(said, "\n")] = '\0';
        rc = cm_err_set(err, CM_ERR_WORLD, "%s on %s: %s", unit, node, said);
    }
    free(said);
    return rc;
}

static int judge_node(struct stage *stage, const char *node, unsigned least,
                      struct cm_err *err)
{
    char *units;
    if (stage_ask(stage, node, NULL, &units, err, "%s", units_script) < 0) {
        return -1;
    }
    int rc = 0;
    unsigned count = 0;
    char *save = NULL;
    for (char *u = strtok_r(units, "\n", &save); u != NULL && rc == 0;
         u = strtok_r(NULL, "\n", &save)) {
        rc = judge_unit(stage, node, u, err);
        count++;
    }
    free(units);
    if (rc == 0 && count < least) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s has %u units of ours, not %u", node,
                        count, least);
    }
    if (rc == 0) {
        stage_note(stage, "%s: %u units", node, count);
    }
    return rc;
}

int scenario_sandbox(struct stage *stage, struct cm_err *err)
{
    return judge_node(stage, "store", 8, err) != 0 ||
                   judge_node(stage, "edge1", 2, err) != 0
               ? -1
               : 0;
}
