#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

static const struct {
    const char *node;
    const char *units;
} rosters[] = {
    {"store", "chatmail-auth.service chatmail-auth.socket chatmail-auth-sasl.socket "
              "chatmail-filter-out.service chatmail-filter-out.socket "
              "chatmail-filter-in.service chatmail-filter-in.socket "
              "chatmail-filter-sign.service chatmail-filter-sign.socket "
              "chatmail-lastlogin.service chatmail-lastlogin.socket "
              "chatmail-metadata.service chatmail-metadata.socket "
              "chatmail-push.service chatmail-push.socket "
              "chatmail-transport.service chatmail-transport.socket "
              "chatmail-web.service chatmail-web.socket chatmail-queue.socket "
              "chatmail-monitor.service chatmail-monitor.socket "
              "chatmail-expire.timer chatmail-fsreport.timer "
              "chatmail-clock.timer "
              "chatmail-cluster.service chatmail-tunnel@wg1.service "
              "chatmail-tunnel@wg2.service postfix@-.service dovecot.service "
              "nginx.service postgresql@15-main.service "
              "redis-server.service chatmail-turn@1.service "
              "chatmail-turn@2.service"},
    {"edge1", "chatmail-gateway.service chatmail-tunnel@wg0.service"},
    {"edge2", "chatmail-gateway.service chatmail-tunnel@wg0.service"},
};

/* $(...) per property keeps the order that `systemctl show` does not promise. */
#define ONE_LINE                                                                       \
    "for u in %s; do echo %s $u $(systemctl show -P ActiveState $u) "                  \
    "$(systemctl show -P ActiveEnterTimestampMonotonic $u) "                           \
    "$(systemctl show -P MainPID $u); done"

static int check_active(const char *text, struct cm_err *err)
{
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char node[32], unit[64], state[32];
        if (sscanf(line, "%31s %63s %31s", node, unit, state) != 3 ||
            strcmp(state, "active") != 0) {
            return cm_err_set(err, CM_ERR_WORLD, "not running: %.*s",
                              (int)strcspn(line, "\n"), line);
        }
    }
    return 0;
}

int units_since(struct stage *stage, char **text_r, struct cm_err *err)
{
    struct cm_buf all;
    cm_buf_init(&all, 65536);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof rosters / sizeof *rosters; i++) {
        char *text = NULL;
        rc = scene_sh(&stage->scene, rosters[i].node, 0, &text, err, ONE_LINE,
                      rosters[i].units, rosters[i].node);
        if (rc == 0) {
            cm_buf_str(&all, text);
        }
        free(text);
    }
    if (rc == 0) {
        rc = check_active(all.data, err);
    }
    if (rc == 0) {
        *text_r = cm_buf_steal(&all);
    }
    cm_buf_clear(&all);
    return rc;
}

int units_same(const char *before, const char *after, struct cm_err *err)
{
    size_t i = 0, line = 0;
    for (; before[i] == after[i]; i++) {
        if (before[i] == '\0') {
            return 0;
        }
        line = before[i] == '\n' ? i + 1 : line;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "restarted: was '%.*s', is '%.*s'",
                      (int)strcspn(before + line, "\n"), before + line,
                      (int)strcspn(after + line, "\n"), after + line);
}

int unit_pid(struct stage *stage, const char *node, const char *unit, int64_t *pid_r,
             struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, node, 20, &text, err,
                 "systemctl show -P ActiveState %s; systemctl show -P MainPID %s", unit,
                 unit) != 0) {
        return -1;
    }
    long pid = 0;
    *pid_r = sscanf(text, "active %ld", &pid) == 1 ? pid : 0;
    free(text);
    return 0;
}

int unit_kill(struct stage *stage, const char *node, const char *unit, int64_t limit_ms,
              int64_t *ms_r, struct cm_err *err)
{
    int64_t old = 0, now = 0;
    if (unit_pid(stage, node, unit, &old, err) != 0) {
        return -1;
    }
    if (old == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s is not running", node, unit);
    }
    int64_t start = cm_now_mono_ms();
    if (scene_sh(&stage->scene, node, 20, NULL, err, "systemctl kill -s KILL %s",
                 unit) != 0) {
        return -1;
    }
    do {
        stage_sleep_ms(100);
        if (unit_pid(stage, node, unit, &now, err) != 0) {
            return -1;
        }
        *ms_r = cm_now_mono_ms() - start;
        if (*ms_r > limit_ms) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s: %s not back after %.1f s", node,
                              unit, (double)*ms_r / 1000);
        }
    } while (now == 0 || now == old);
    return 0;
}
