#include "router.h"

#include <stdlib.h>

#include "common/mem.h"
#include "common/run.h"

#define STEP_MS 30000

static int in_net(const char *netns, const char *command, struct cm_err *err)
{
    char *net = cm_asprintf("--net=%s", netns);
    const char *argv[] = {"nsenter", net, "sh", "-c", command, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = STEP_MS};
    int rc = cm_run_ok(&run, NULL, err);
    free(net);
    return rc;
}

int router_internet(struct stage *stage, const char *command, struct cm_err *err)
{
    char *path = lab_internet(stage->scene.lab);
    int rc = in_net(path, command, err);
    free(path);
    return rc;
}

int router_home(struct stage *stage, const char *command, struct cm_err *err)
{
    char path[64];
    return scene_netns(&stage->scene, "home", path, err) == 0
               ? in_net(path, command, err)
               : -1;
}
