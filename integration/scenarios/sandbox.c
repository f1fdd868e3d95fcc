/* What our programs may do on a node if somebody takes them over: systemd's own
 * judgement of every unit of ours, and what all daemons have in common. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* Files; fewer means that the list is wrong. */
#define STORE_UNITS 16
#define EDGE_UNITS  3

/* What a unit may have that the rest may not, and why. docs/sandbox.md says the same at
 * length. Exposure is ten times what "systemd-analyze security" prints: 0 is safe, 100
 * is not. */
static const struct allowed {
    const char *unit; /* its name, or the beginning of it */
    int exposure;
    const char *restart; /* of daemons that tell systemd when they are ready */
    const char *reason;
} allowed[] = {
    {"chatmail-cluster.service", 24, "always",
     "root with CAP_NET_ADMIN: links, addresses, routes and packet filter of the "
     "store; CAP_BPF: programs that judge what comes out of tunnels; CAP_PERFMON until "
     "these are loaded"},
    {"chatmail-gateway.service", 24, "always",
     "root with CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON: the same of a gateway, and "
     "programs that carry open connections; CAP_NET_RAW: asks for an echo, ends "
     "connections"},
    {"chatmail-tunnel@", 24, "always",
     "root with CAP_NET_ADMIN and /dev/net/tun: makes links"},
    {"chatmail-proxy.service", 20, "on-failure",
     "chatmail-gateway starts it, and ends it by a clean stop"},
    {"", 20, "always", "all others"},
};

/* Every unit file that the package brought; a template by an instance that nobody runs.
 */
static const char units_script[] =
    "ls /lib/systemd/system | grep -E '^chatmail-[a-z-]+@?\\.service$' |"
    " sed 's/@/@judged/' | sort";

/* Each line that comes out says what is wrong with $u. A daemon runs as a user of its
 * own, or as root with one capability or none (to read all only chatmail-tls; to load
 * programs those with tunnels, and no thread of theirs keeps CAP_PERFMON, bit 38); it
 * has a watchdog and is started again. */
static const char judge_script[] =
    "u=%s\n"
    "systemd-analyze security --no-pager --threshold=%d $u >/tmp/judged 2>&1 ||"
    " grep -h 'Overall exposure' /tmp/judged || echo not judged\n"
    "get() { systemctl show -P $1 $u; }\n"
    "[ \"$(get NoNewPrivileges)\" = yes ] || echo may gain privileges\n"
    "[ \"$(get ProtectSystem)\" = strict ] || echo may write to the system\n"
    "case $(get User) in\n"
    "  ''|root) case $(get CapabilityBoundingSet) in\n"
    "    ''|cap_net_admin) ;;\n"
    "    'cap_net_admin cap_net_raw cap_perfmon cap_bpf')\n"
    "      [ $u = chatmail-gateway.service ] || echo is root and may load programs;;\n"
    "    'cap_net_admin cap_perfmon cap_bpf')\n"
    "      [ $u = chatmail-cluster.service ] || echo is root and may load programs;;\n"
    "    cap_dac_read_search) [ $u = chatmail-tls.service ] || echo reads all;;\n"
    "    *) echo is root with capabilities;; esac;;\n"
    "esac\n"
    "p=$(get MainPID)\n"
    "[ $p = 0 ] || cat /proc/$p/task/*/status | grep CapPrm: | while read x caps; do\n"
    "  [ $((0x$caps >> 38 & 1)) = 0 ] || echo keeps CAP_PERFMON; done\n"
    "[ $(get Type) != notify ] || [ $(get WatchdogUSec) != 0 ] || echo no watchdog\n"
    "[ $(get Type) != notify ] || [ $(get Restart) = %s ] || echo not started "
    "again as wanted\n";

static const struct allowed *find_allowed(const char *unit)
{
    const struct allowed *a = allowed;
    while (strncmp(unit, a->unit, strlen(a->unit)) != 0) {
        a++;
    }
    return a;
}

static int judge_unit(struct stage *stage, const char *node, const char *unit,
                      struct cm_err *err)
{
    char *said;
    const struct allowed *a = find_allowed(unit);
    if (stage_ask(stage, node, NULL, &said, err, judge_script, unit, a->exposure,
                  a->restart) < 0) {
        return -1;
    }
    int rc = 0;
    if (said[0] != '\0') {
        said[strcspn(said, "\n")] = '\0';
        rc = cm_err_set(err, CM_ERR_WORLD, "%s on %s (%s): %s", unit, node, a->reason,
                        said);
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
    return judge_node(stage, "store", STORE_UNITS, err) != 0 ||
                   judge_node(stage, "edge1", EDGE_UNITS, err) != 0
               ? -1
               : 0;
}
