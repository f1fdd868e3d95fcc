#include "deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "scene/scene.h"

/* Puts "ssh = ..." and the like below [store], which it adds when there is none; a
 * repeat leaves one such line. $1 is the line's key, $2 its value. */
#define SET_STORE                                                                      \
    "set_store() { grep -q '^\\[store\\]' chatmail.ini || printf '\\n[store]\\n' "     \
    ">> chatmail.ini; sed -i \"/^\\[store\\]/,/^\\[/{/^$1 *=/d}; "                     \
    "/^\\[store\\]/a $1 = $2\" chatmail.ini; }; "

struct relay {
    const char *domain;
    const char *dir;
    const char *prepare; /* shell, in dir, behind `chatops init` */
};

static const struct relay relays[] = {
    {SCENE_DOMAIN, "/root/chat",
     SET_STORE "set_store ssh root@" SCENE_STORE_LAN "; "
               "chatops gateway add edge1 --ssh root@198.51.100.11 "
               "--addresses '198.51.100.11 2001:db8:1::11' && "
               "chatops gateway add edge2 --ssh root@203.0.113.12 "
               "--addresses '203.0.113.12 2001:db8:2::12'"},
    {SCENE_RELAY2, "/root/relay2",
     SET_STORE "set_store ssh root@" SCENE_RELAY2_IP "; "
               "set_store addresses '203.0.113.25 2001:db8:2::25'"},
};

struct work {
    struct scene scene;
    const struct deploy_options *options;
    const struct relay *relay; /* NULL in steps that concern none */
};

/* The lab's mirror has our own packages beside Debian's. */
static int step_chatops(struct work *work, struct cm_err *err)
{
    return scene_show(
        &work->scene, "operator", 300,
        "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq "
        "install --no-install-recommends portico-chatops >/dev/null && "
        "chatops --version",
        err);
}

static int step_ini(struct work *work, struct cm_err *err)
{
    return scene_sh(
        &work->scene, "operator", 60, NULL, err,
        "mkdir -p %s && cd %s && { test -e chatmail.ini || chatops init %s; } "
        "&& %s",
        work->relay->dir, work->relay->dir, work->relay->domain, work->relay->prepare);
}

static int step_run(struct work *work, struct cm_err *err)
{
    char *command = cm_asprintf("cd %s && chatops run --yes", work->relay->dir);
    int rc = scene_show(&work->scene, "operator", 900, command, err);
    free(command);
    return rc;
}

static int step_dns(struct work *work, struct cm_err *err)
{
    char *zone = NULL;
    if (scene_sh(&work->scene, "operator", 120, &zone, err,
                 "cd %s && chatops dns --zonefile -", work->relay->dir) != 0) {
        return -1;
    }
    int rc = lab_zone(work->scene.lab, work->relay->domain, zone, err);
    free(zone);
    return rc;
}

static int step_snapshot(struct work *work, struct cm_err *err)
{
    if (work->options->no_snapshot) {
        return 0;
    }
    return lab_snapshot(work->scene.lab, DEPLOY_SNAPSHOT, err);
}

struct step {
    const char *what;
    int (*run)(struct work *work, struct cm_err *err);
    int relay; /* index, -1 for none */
};

static const struct step steps[] = {
    {"chatops onto the operator's machine", step_chatops, -1},
    {SCENE_DOMAIN ": chatmail.ini, two gateways", step_ini, 0},
    {SCENE_DOMAIN ": chatops run", step_run, 0},
    {SCENE_DOMAIN ": DNS zone", step_dns, 0},
    {SCENE_RELAY2 ": chatmail.ini, a store with addresses of its own", step_ini, 1},
    {SCENE_RELAY2 ": chatops run", step_run, 1},
    {SCENE_RELAY2 ": DNS zone", step_dns, 1},
    {"snapshot \"" DEPLOY_SNAPSHOT "\"", step_snapshot, -1},
};

static double seconds_since(int64_t begin)
{
    return (double)(cm_now_mono_ms() - begin) / 1000.0;
}

int deploy_all(struct lab *lab, const struct deploy_options *options,
               struct cm_err *err)
{
    struct work work = {.scene = {.lab = lab}, .options = options};
    int64_t begin = cm_now_mono_ms();
    size_t n = sizeof steps / sizeof *steps;
    for (size_t i = 0; i < n; i++) {
        int64_t at = cm_now_mono_ms();
        work.relay = steps[i].relay < 0 ? NULL : &relays[steps[i].relay];
        printf("  [%zu/%zu] %s\n", i + 1, n, steps[i].what);
        fflush(stdout);
        if (steps[i].run(&work, err) != 0) {
            return cm_err_prefix(err, "%s", steps[i].what);
        }
        printf("        %.1f s (%.0f s in all)\n", seconds_since(at),
               seconds_since(begin));
        fflush(stdout);
    }
    return 0;
}
