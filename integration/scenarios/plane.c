#include "plane.h"

#include <stdlib.h>

#include "cluster.h"

#define WELL_MS 30000
#define PROXY   "\"plane\":\"proxy\","
#define DOCUMENT                                                                       \
    "runuser -u postgres -- psql -qtAX -d chatmail -c \"select split_part(envelope, "  \
    "E'\\\\n', 2) from desired_state order by epoch desc limit 1\""

static int proxies(struct stage *stage, bool run, struct cm_err *err)
{
    static const char *const nodes[] = {"edge1", "edge2"};
    for (size_t i = 0; i < 2; i++) {
        if (scene_until(&stage->scene, nodes[i], 15, err,
                        "%s nft list table inet chatmail | grep -q 'tcp.*dnat'",
                        run ? "systemctl -q is-active chatmail-proxy && !" : "") != 0) {
            return cm_err_prefix(err, "%s is not on the %s plane", nodes[i],
                                 run ? "proxy" : "kernel");
        }
    }
    return 0;
}

static int publish(struct stage *stage, const char *edit, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    DOCUMENT " | sed -e 's/\"epoch\":[0-9]*/\"epoch\":0/' -e '%s'"
                             " | chatmail-cluster ctl publish",
                    edit);
}

int plane_publish(struct stage *stage, struct cm_err *err)
{
    return publish(stage, "", err);
}

int plane_set(struct stage *stage, bool by_proxy, struct cm_err *err)
{
    /* Keys are sorted: number, plane, wg_port. */
    const char *edit = by_proxy ? "s/\\(\"number\":[0-9]*,\\)\"wg_port/\\1\"plane\":"
                                  "\"proxy\",\"wg_port/g"
                                : "s/" PROXY "//g";
    if (publish(stage, edit, err) != 0 ||
        cluster_until_well(stage, WELL_MS, NULL, err) != 0) {
        return -1;
    }
    return proxies(stage, by_proxy, err);
}

int plane_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status =
        stage_ask(stage, "store", NULL, &said, err, DOCUMENT " | grep -q '" PROXY "'");
    free(said);
    return status == 0 ? plane_set(stage, false, err) : status < 0 ? -1 : 0;
}

int plane_each(struct stage *stage,
               int (*play)(struct stage *stage, struct cm_err *err), struct cm_err *err)
{
    if (play(stage, err) != 0) {
        return cm_err_prefix(err, "kernel plane");
    }
    if (plane_set(stage, true, err) != 0) {
        return -1;
    }
    stage_note(stage, "by proxy");
    return play(stage, err) != 0 ? cm_err_prefix(err, "proxy plane") : 0;
}
