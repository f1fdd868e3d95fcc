/* chatops run where the nodes have every defect at once: one list names them all, and
 * nothing is touched. The defects are seeded where only chatops looks: files over
 * /proc, programs in /usr/local that answer in the place of Debian's. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cluster.h"
#include "unit.h"

#define WIDTH 80

static const struct seed {
    const char *node;
    const char *set;
    const char *undo;
    const char *says; /* what the list must have under that node */
} seeds[] = {
    {"store",
     "cat /etc/os-release >/run/os-release && mount --bind /run/os-release"
     " /etc/os-release && printf 'ID=debian\\nVERSION_ID=\"11\"\\nPRETTY_NAME="
     "\"Debian GNU/Linux 11 (bullseye)\"\\n' >/run/os-release",
     "umount /etc/os-release", "is Debian GNU/Linux 11 (bullseye)"},
    {"store",
     "echo 128 >/run/instances && mount --bind /run/instances"
     " /proc/sys/fs/inotify/max_user_instances",
     "umount /proc/sys/fs/inotify/max_user_instances",
     "fs.inotify.max_user_instances is 128"},
    {"store",
     "sed 's/^MemTotal:.*/MemTotal: 524288 kB/' /proc/meminfo >/run/meminfo && mount"
     " --bind /run/meminfo /proc/meminfo",
     "umount /proc/meminfo", "has 512 MiB of memory"},
    {"store",
     "printf '#!/bin/sh\\nexit 100\\n' >/usr/local/bin/apt-get && chmod 755"
     " /usr/local/bin/apt-get",
     "rm -f /usr/local/bin/apt-get", "apt-get check fails"},
    {"edge1",
     "systemd-run -q --unit=squatter perl -MIO::Socket::INET -e '@s = map {"
     " IO::Socket::INET->new(Listen => 1, ReuseAddr => 1, LocalPort => $_) or die }"
     " (25, 443); sleep 600' && sleep 0.3",
     "systemctl -q stop squatter", "port 25 is occupied by: perl"},
    {"edge1", "true", "true", "port 443 is occupied by: perl"},
    {"edge1",
     "echo nameserver 127.0.0.9 >/run/resolv.conf && mount --bind /run/resolv.conf"
     " /etc/resolv.conf",
     "umount /etc/resolv.conf", "its resolver 127.0.0.9 does not answer"},
    {"edge1",
     "printf '#!/bin/sh\\necho riscv64\\n' >/usr/local/bin/dpkg && chmod 755"
     " /usr/local/bin/dpkg",
     "rm -f /usr/local/bin/dpkg", "no packages for (riscv64)"},
    {"edge2",
     "cat /etc/os-release >/run/os-release && mount --bind /run/os-release"
     " /etc/os-release && printf 'ID=debian\\nVERSION_ID=\"13\"\\nPRETTY_NAME="
     "\"Debian GNU/Linux 13 (trixie)\"\\n' >/run/os-release",
     "umount /etc/os-release", "is Debian GNU/Linux 13 (trixie)"},
    {"edge2",
     "printf '#!/bin/sh\\necho $(($(/bin/date +%s) - 3600))\\n' >/usr/local/bin/date &&"
     " chmod 755 /usr/local/bin/date",
     "rm -f /usr/local/bin/date", "s behind that of this machine"},
    {"edge2",
     "mkdir -p /run/tiny && mount -t tmpfs -o size=1m tiny /run/tiny && printf"
     " '#!/bin/sh\\nexec /bin/df \"$1\" /run/tiny\\n' >/usr/local/bin/df && chmod 755"
     " /usr/local/bin/df",
     "rm -f /usr/local/bin/df; umount /run/tiny", "MiB free in /run/tiny"},
    {"edge2", "touch /run/no-tun && mount --bind /run/no-tun /dev/net/tun",
     "umount /dev/net/tun",
     "neither WireGuard in its kernel nor a working /dev/net/tun"},
    {"edge2",
     "printf '#!/bin/sh\\n[ \"$1\" = -c ] || exec /usr/sbin/nft \"$@\"\\necho Operation"
     " not supported >&2; exit 1\\n' >/usr/local/sbin/nft && chmod 755"
     " /usr/local/sbin/nft",
     "rm -f /usr/local/sbin/nft",
     "its kernel takes no rules of nft: Operation not supported"},
};

#define SEEDS (sizeof seeds / sizeof seeds[0])

static bool kernel_has_wireguard(struct stage *stage)
{
    char *said = NULL;
    struct cm_err ignored;
    int status = stage_ask(stage, "edge2", NULL, &said, &ignored,
                           "test -d /sys/module/wireguard");
    free(said);
    return status == 0;
}

static int sow(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < SEEDS; i++) {
        if (scene_sh(&stage->scene, seeds[i].node, 20, NULL, err, "%s", seeds[i].set) !=
            0) {
            return cm_err_prefix(err, "seeding \"%s\"", seeds[i].says);
        }
    }
    return 0;
}

int scenario_preflight_back(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < SEEDS; i++) {
        char *said = NULL;
        int status = stage_ask(stage, seeds[i].node, NULL, &said, err, "{ %s; } 2>&1",
                               seeds[i].undo);
        free(said);
        if (status < 0) {
            return -1; /* what was not there to undo is no error */
        }
    }
    return 0;
}

/* The list breaks lines; a text is found all the same. */
static char *without_breaks(const char *text)
{
    char *flat = strdup(text), *to = flat;
    for (const char *p = text; *p != '\0'; p++) {
        bool blank = *p == ' ' || *p == '\n';
        if (!blank || to == flat || to[-1] != ' ') {
            *to++ = blank ? ' ' : *p;
        }
    }
    *to = '\0';
    return flat;
}

static int judge_text(struct stage *stage, const char *said, struct cm_err *err)
{
    char *flat = without_breaks(said);
    int rc = 0;
    bool wireguard = kernel_has_wireguard(stage);
    for (size_t i = 0; rc == 0 && i < SEEDS; i++) {
        if (strstr(flat, seeds[i].says) == NULL &&
            !(wireguard && strstr(seeds[i].says, "WireGuard") != NULL)) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "the list lacks \"%s\": %.600s",
                            seeds[i].says, said);
        }
    }
    free(flat);
    for (const char *line = said; rc == 0 && *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (n > WIDTH) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "%zu columns: %.*s", n, (int)n, line);
        }
        line += n + (line[n] == '\n');
    }
    return rc;
}

static size_t count_defects(const char *said, const char *node)
{
    size_t n = 0;
    for (const char *line = said; *line == '{';) {
        json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        const char *name = json_string_value(json_object_get(o, "node"));
        if (name != NULL && strcmp(name, node) == 0) {
            n += json_array_size(json_object_get(o, "defects"));
        }
        json_decref(o);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return n;
}

static int look(struct stage *stage, const char *words, char **said_r,
                struct cm_err *err)
{
    int status = cluster_chatops(stage, CLUSTER_INI, words, said_r, err);
    if (status == 0) {
        free(*said_r);
        return cm_err_set(err, CM_ERR_REFUSE, "chatops %s went on", words);
    }
    return status > 0 ? 0 : -1;
}

static int see_them_all(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    if (look(stage, "run --yes", &said, err) != 0) {
        return -1;
    }
    int rc = judge_text(stage, said, err);
    free(said);
    if (rc != 0 || look(stage, "run --json", &said, err) != 0) {
        return -1;
    }
    size_t store = count_defects(said, "store"), edge1 = count_defects(said, "edge1");
    if (store < 4 || edge1 < 4 || count_defects(said, "edge2") < 3) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "--json has %zu and %zu defects: %.600s",
                        store, edge1, said);
    }
    free(said);
    return rc;
}

int scenario_preflight(struct stage *stage, struct cm_err *err)
{
    char *before = NULL, *after = NULL, *said = NULL;
    int rc = -1;
    if (units_since(stage, &before, err) == 0 && sow(stage, err) == 0 &&
        see_them_all(stage, err) == 0 && units_since(stage, &after, err) == 0) {
        rc = units_same(before, after, err);
    }
    free(before);
    free(after);
    if (rc != 0 || scenario_preflight_back(stage, err) != 0) {
        return -1;
    }
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes --dry-run", &said, err);
    if (status > 0 || (status == 0 && !cluster_says(said, "nothing to change"))) {
        status = cm_err_set(err, CM_ERR_REFUSE, "without them: status %d: %.600s",
                            status, said);
    }
    free(said);
    stage_note(stage, "%zu defects on three nodes in one list", SEEDS);
    return status;
}
