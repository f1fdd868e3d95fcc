#include "plane.h"

#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "proxy/plane.h"

#define UNIT     "chatmail-proxy.service"
#define UNIT_MS  15000
#define CONF_MAX (64u << 10)

static const char leave[] = "leave = yes\n";

static int systemctl(const char *verb, struct cm_err *err)
{
    const char *argv[] = {"systemctl", verb, UNIT, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = UNIT_MS};
    return cm_run_ok(&run, NULL, err);
}

static bool is_active(void)
{
    const char *argv[] = {"systemctl", "-q", "is-active", UNIT, NULL};
    struct cm_run run = {.argv = argv, .timeout_ms = UNIT_MS};
    struct cm_err err;
    return cm_run_ok(&run, NULL, &err) == 0;
}

/* 1: it was another text, and is this now; 0: it was this. */
static int put_conf(const char *want, struct cm_err *err)
{
    char *have = NULL;
    int rc = cm_file_read(GW_PROXY_CONF, CONF_MAX, &have, NULL, err);
    bool same = rc == 1 && strcmp(have, want) == 0;

    free(have);
    if (rc < 0 || same) {
        return rc < 0 ? -1 : 0;
    }
    return cm_file_replace(GW_PROXY_CONF, want, strlen(want), 0644, err) == 0 ? 1 : -1;
}

static int run_with(const char *conf, bool *changed, struct cm_err *err)
{
    int news = put_conf(conf, err);

    if (news < 0) {
        return -1;
    }
    if (!is_active()) {
        *changed = true;
        return systemctl("start", err);
    }
    *changed = *changed || news == 1;
    return news == 1 ? systemctl("reload", err) : 0;
}

static int take_leave(bool *changed, struct cm_err *err)
{
    char *have = NULL;
    int rc = cm_file_read(GW_PROXY_CONF, CONF_MAX, &have, NULL, err);

    if (rc == 1 && strstr(have, leave) == NULL && is_active()) {
        char *conf = cm_asprintf("%s%s", have, leave);
        *changed = true;
        rc = put_conf(conf, err) < 0 ? -1 : systemctl("reload", err);
        free(conf);
    }
    free(have);
    return rc < 0 ? -1 : 0;
}

int gw_plane_enter(const struct px_state *state, const struct px_gateway *gw,
                   bool *changed, struct cm_err *err)
{
    char *conf = px_gateway_proxy(state, gw);
    int rc = conf != NULL ? run_with(conf, changed, err) : 0;

    free(conf);
    return rc;
}

int gw_plane_leave(const struct px_gateway *gw, bool *changed, struct cm_err *err)
{
    return gw->by_proxy ? 0 : take_leave(changed, err);
}
