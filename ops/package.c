/* Our package on a node: found here, uploaded, installed by apt with its dependencies.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "hash.h"

#define DEB_MAX    (256u * 1024 * 1024)
#define INSTALL_MS (20 * 60 * 1000)

static const char *kind(const struct op_node *node)
{
    return node->gateway == NULL ? "store" : "gateway";
}

static void list_found(const struct op_node *node, struct cm_buf *out)
{
    char *pattern =
        cm_asprintf("%s/portico-%s_*.deb", node->cluster->packages, kind(node));
    glob_t g;

    if (glob(pattern, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            cm_buf_fmt(out, "%s%s", i > 0 ? ", " : "", strrchr(g.gl_pathv[i], '/') + 1);
        }
        globfree(&g);
    }
    free(pattern);
}

static int none_fits(const struct op_node *node, struct cm_err *err)
{
    struct cm_buf found;

    cm_buf_init(&found, 600);
    list_found(node, &found);
    cm_err_set(err, CM_ERR_WORLD,
               "needs portico-%s for %s, but %s has %s; name the right directory with "
               "--packages DIR",
               kind(node), node->arch, node->cluster->packages,
               found.len > 0 ? found.data : "none");
    cm_buf_clear(&found);
    return -1;
}

int op_package_find(struct op_node *node, struct cm_err *err)
{
    struct op_package *p = &node->package;
    char *pattern = cm_asprintf("%s/portico-%s_*_%s.deb", node->cluster->packages,
                                kind(node), node->arch);
    glob_t g;
    int rc = glob(pattern, 0, NULL, &g);

    free(pattern);
    if (rc != 0) {
        return none_fits(node, err);
    }
    rc = 0;
    if (g.gl_pathc > 1) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "%s has more than one portico-%s for %s; keep one of them",
                        node->cluster->packages, kind(node), node->arch);
    } else {
        snprintf(p->path, sizeof(p->path), "%s", g.gl_pathv[0]);
    }
    globfree(&g);
    free(p->data);
    p->data = NULL;
    if (rc != 0 || cm_file_read(p->path, DEB_MAX, &p->data, &p->len, err) != 1) {
        return -1;
    }
    const char *from = strrchr(p->path, '/') + 1;
    from = strchr(from, '_') + 1;
    snprintf(p->version, sizeof(p->version), "%.*s", (int)strcspn(from, "_"), from);
    op_hash(p->data, p->len, p->hash);
    return 0;
}

/* Right: dpkg is content, it came from this very file, and no guard of an interrupted
 * installation is left. */
static int check_package(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *said;
    struct op_cmd cmd = {
        .script =
            "dpkg-query -W -f '${db:Status-Status} ${Version}' \"$1\" 2>/dev/null\n"
            "echo; cat " OP_APPLIED_DIR "/\"$1\" 2>/dev/null; echo\n"
            "grep -qs portico /usr/sbin/policy-rc.d && echo guarded; true",
        .repeatable = true,
    };
    char *name = cm_asprintf("portico-%s", kind(node));

    cmd.args[0] = name;
    int rc = op_host_run(&node->host, &cmd, &said, err);
    free(name);
    if (rc != 0) {
        return -1;
    }
    char *wanted =
        cm_asprintf("installed %s\n%s\n", node->package.version, node->package.hash);
    rc = strncmp(said, wanted, strlen(wanted) - 1) == 0 &&
         strstr(said, "guarded") == NULL;
    op_step_note(step, "%s%s", rc ? "" : "has ",
                 rc                                     ? node->package.version
                 : strncmp(said, "installed ", 10) == 0 ? "another build"
                                                        : "none");
    free(wanted);
    free(said);
    return rc;
}

/* Debian's daemons must not start with Debian's configuration, so policy-rc.d says 101
 * while apt works. The script goes on when the connection is lost: its output is in a
 * file and it ignores SIGHUP, so dpkg is never killed half-way by a laptop that falls
 * asleep. A fresh machine may be upgrading itself: its locks are waited for, five
 * minutes at most. */
static const char install_script[] =
    "trap '' HUP PIPE\n"
    "log=/var/log/portico-apt.log; guard=/usr/sbin/policy-rc.d; kept=$guard.chatops\n"
    "grep -qs portico $guard || [ ! -e $guard ] || mv $guard $kept\n"
    "restore() { rm -f $guard; [ ! -e $kept ] || mv $kept $guard; }\n"
    "trap restore EXIT; trap 'exit 1' INT TERM\n"
    "printf '#!/bin/sh\\n# portico: chatops starts the daemons\\nexit 101\\n' >$guard\n"
    "chmod 755 $guard\n"
    "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\n"
    "apt() { apt-get -qy -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold"
    " -o Dpkg::Options::=--force-confdef \"$@\"; }\n"
    "work() { dpkg --configure -a && apt update && apt install"
    " --no-install-recommends --reinstall --allow-downgrades \"$1\"; }\n"
    "n=0; until work \"$1\" >$log 2>&1 </dev/null; do\n"
    "  n=$((n + 1))\n"
    "  [ $n -le 100 ] && grep -qE '[Cc]ould not get lock|was locked by' $log &&"
    " sleep 3 && continue\n"
    "  e=$(grep -E '^(E:|dpkg: error)|unmet|unable|Unable' $log | head -3 | tr '\\n' ' "
    "')\n"
    "  echo \"apt-get failed: ${e:-$(tail -1 $log)} (all of it: $log)\" >&2; exit 1; "
    "done\n"
    "mkdir -p " OP_APPLIED_DIR "; cd " OP_APPLIED_DIR "; echo \"$2\" >\"$3.new\"\n"
    "sync \"$3.new\"; mv \"$3.new\" \"$3\"; rm -f \"$1\"";

static int install_package(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    char *path =
        cm_asprintf("/var/cache/portico/%s", strrchr(node->package.path, '/') + 1);
    char *name = cm_asprintf("portico-%s", kind(node));
    struct op_cmd cmd = {.script = install_script,
                         .args = {path, node->package.hash, name},
                         .timeout_ms = INSTALL_MS};
    int rc = op_host_put(&node->host, path, node->package.data, node->package.len,
                         "root:root", 0644, err);

    if (rc == 0) {
        rc = op_host_run(&node->host, &cmd, NULL, err);
    }
    free(name);
    free(path);
    op_step_note(step, "%s installed", node->package.version);
    return rc;
}

void op_add_package(struct op_plan *plan, struct op_node *node)
{
    struct op_step s = {.node = node->host.name,
                        .name = "package with dependencies",
                        .check = check_package,
                        .act = install_package,
                        .ctx = node};

    op_plan_add(plan, &s);
}
