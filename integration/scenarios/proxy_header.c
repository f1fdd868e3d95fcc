/* A gateway whose proxy cannot keep its clients' addresses: edge2 names them by PROXY
 * v2 to listeners at its own tunnel, edge1 goes on as ever. The same true addresses in
 * the store's logs; and from nowhere else is anybody heard at those listeners. */
#include "scenario.h"

#include <stdlib.h>

#include "cluster.h"

#define NEAR1 "10.77.1.2"
#define NEAR2 "10.77.2.2"
#define KNOCK "timeout 2 bash -c '</dev/tcp/%s/%d' 2>/dev/null"

static const int ports[] = {12025, 12080, 12143, 12443, 12465, 12587, 12993};

#define PORTS (sizeof(ports) / sizeof(ports[0]))

static int chatops_run(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status > 0) {
        status = cm_err_set(err, CM_ERR_REFUSE, "chatops run: %.400s", said);
    }
    free(said);
    return status;
}

static int ask_for_it(struct stage *stage, struct cm_err *err)
{
    int rc = scene_sh(&stage->scene, "operator", 0, NULL, err,
                      "sed -i '/^\\[gateway edge2\\]/a data_plane = proxy\\n"
                      "proxy_protocol = yes' " CLUSTER_DIR "/" CLUSTER_INI);
    if (rc == 0) {
        rc = chatops_run(stage, err);
    }
    if (rc == 0) {
        rc = scene_until(&stage->scene, "edge2", 15, err,
                         "systemctl -q is-active chatmail-proxy && "
                         "grep -q 'source = header' /run/chatmail-gateway/proxy.conf");
    }
    return rc == 0 ? 0 : cm_err_prefix(err, "edge2 does not name its clients");
}

/* Nobody may be heard there from node; `before` makes a way, `after` takes it back. */
static int unheard(struct stage *stage, const char *node, const char *what,
                   const char *host, const char *before, const char *after,
                   struct cm_err *err)
{
    char *said = NULL;
    int rc = scene_sh(&stage->scene, node, 0, NULL, err, "%s", before);
    if (rc != 0) {
        return cm_err_prefix(err, "%s", what);
    }
    int status = stage_ask(stage, node, NULL, &said, err,
                           "for p in 12025 12080 12143 12443 12465 12587 12993; do"
                           " timeout 1 bash -c \"</dev/tcp/%s/$p\" 2>/dev/null &&"
                           " echo $p & done; wait; true",
                           host);
    struct cm_err ignored;
    rc = scene_sh(&stage->scene, node, 0, NULL, status < 0 ? &ignored : err, "%s",
                  after);
    if (status == 0 && rc == 0 && said[0] != '\0') {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s: heard at %s port %.60s", what, host,
                        said);
    }
    free(said);
    return status < 0 ? -1 : rc;
}

/* edge1 with its side of the tunnel opened wide; WireGuard takes its own part back. */
#define WIDE                                                                           \
    "wg set wg0 peer \"$(wg show wg0 peers)\" allowed-ips " NEAR1                      \
    "/32,fd77:1::2/128," NEAR2 "/32 && ip route replace " NEAR2 " dev wg0"
#define NARROW                                                                         \
    "ip route del " NEAR2 " dev wg0; wg set wg0 peer \"$(wg show wg0 peers)\" "        \
    "allowed-ips " NEAR1 "/32,fd77:1::2/128"

static int nobody_else(struct stage *stage, struct cm_err *err)
{
    if (unheard(stage, "edge1", "another tunnel", NEAR2, WIDE, NARROW, err) != 0 ||
        unheard(stage, "edge1", "another gateway, own tunnel", NEAR1, "true", "true",
                err) != 0 ||
        unheard(stage, "edge2", "a client's address, right tunnel", NEAR2,
                "ip route replace " NEAR2 "/32 dev wg0 src 203.0.113.12",
                "ip route del " NEAR2 "/32 dev wg0", err) != 0 ||
        unheard(stage, "operator", "the home network", NEAR2,
                "ip route replace " NEAR2 " via 10.9.0.2", "ip route del " NEAR2,
                err) != 0 ||
        unheard(stage, "operator", "the home network", "10.9.0.2", "true", "true",
                err) != 0 ||
        unheard(stage, "store", "a program of the store", NEAR2, "true", "true", err) !=
            0) {
        return -1;
    }
    return unheard(stage, "client", "the Internet", "203.0.113.12", "true", "true",
                   err);
}

/* They are there: only their own gateway is heard. A listener that nobody can reach
 * would pass all of the above. */
static int its_own_is_heard(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < PORTS; i++) {
        if (scene_sh(&stage->scene, "edge2", 0, NULL, err, KNOCK, NEAR2, ports[i]) !=
            0) {
            return cm_err_prefix(err, "edge2 is not heard at port %d", ports[i]);
        }
    }
    return 0;
}

int scenario_proxy_header(struct stage *stage, struct cm_err *err)
{
    if (ask_for_it(stage, err) != 0 || its_own_is_heard(stage, err) != 0 ||
        scenario_client_addresses(stage, err) != 0 || nobody_else(stage, err) != 0) {
        return -1;
    }
    stage_note(stage, "heard from edge2 only, refused from seven other places");
    return 0;
}

int scenario_header_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(stage, "operator", NULL, &said, err,
                       "grep -q ^proxy_protocol " CLUSTER_DIR "/" CLUSTER_INI);
    free(said);
    if (rc != 0) {
        return rc < 0 ? -1 : 0;
    }
    rc = scene_sh(&stage->scene, "operator", 0, NULL, err,
                  "sed -i '/^proxy_protocol/d;/^data_plane/d' " CLUSTER_DIR
                  "/" CLUSTER_INI);
    return rc == 0 ? chatops_run(stage, err) : -1;
}
