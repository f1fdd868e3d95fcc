#include "plane.h"

#include <stdlib.h>

#include "cluster.h"

#define WELL_MS 30000
#define PROXY   "\"plane\":\"proxy\","
#define DOCUMENT                                                                       \
    "runuser -u postgres -- psql -qtAX -d chatmail -c \"select split_part(envelope, "  \
    "E'\\\\n', 2) from desired_state order by epoch desc limit 1\""

static int is_on(struct stage *stage, const char *node, bool run, struct cm_err *err)
{
    return scene_until(&stage->scene, node, 15, err,
                       "%s nft list table inet chatmail | grep -qE " PLANE_KERNEL,
                       run ? "systemctl -q is-active chatmail-proxy && !" : "") != 0
               ? cm_err_prefix(err, "%s is not on the %s plane", node,
                               run ? "proxy" : "kernel")
               : 0;
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

/* Keys are sorted: number, plane, wg_port. */
#define WITH(number)                                                                   \
    "s/\\(\"number\":" number ",\\)\"wg_port/\\1\"plane\":\"proxy\",\"wg_port/g"
#define WITHOUT "s/" PROXY "//g"

static int set(struct stage *stage, const char *edit, bool first, bool second,
               struct cm_err *err)
{
    return publish(stage, edit, err) != 0 ||
                   cluster_until_well(stage, WELL_MS, NULL, err) != 0 ||
                   is_on(stage, "edge1", first, err) != 0 ||
                   is_on(stage, "edge2", second, err) != 0
               ? -1
               : 0;
}

int plane_set(struct stage *stage, bool by_proxy, struct cm_err *err)
{
    return set(stage, by_proxy ? WITH("[0-9]*") : WITHOUT, by_proxy, by_proxy, err);
}

int plane_set_second(struct stage *stage, struct cm_err *err)
{
    return set(stage, WITHOUT "; " WITH("2"), false, true, err);
}

int plane_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status =
        stage_ask(stage, "store", NULL, &said, err, DOCUMENT " | grep -q '" PROXY "'");
    free(said);
    return status == 0 ? plane_set(stage, false, err) : status < 0 ? -1 : 0;
}

int plane_carries(struct stage *stage, bool *yes_r, struct cm_err *err)
{
    char *said = NULL;
    int status =
        stage_ask(stage, "edge1", NULL, &said, err,
                  "nft list table inet chatmail | grep -q 'notrack meta mark set'");
    free(said);
    *yes_r = status == 0;
    return status < 0 ? -1 : 0;
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
