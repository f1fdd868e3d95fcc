#include "stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"

#define MAX_COMMAND 8192
#define ASK_MS      300000

int stage_open(struct stage *stage_r, bool quick, struct cm_err *err)
{
    *stage_r = (struct stage){.quick = quick};
    if (scene_open(&stage_r->scene, err) != 0) {
        return -1;
    }
    /* A client that is off is started by the healing between two scenarios. */
    struct cm_err ignored;
    if (scene_netns(&stage_r->scene, "client", stage_r->netns, &ignored) != 0) {
        stage_r->netns[0] = '\0';
    }
    return 0;
}

void stage_close(struct stage *stage)
{
    scene_close(&stage->scene);
}

void stage_note(struct stage *stage, const char *fmt, ...)
{
    size_t used = strlen(stage->notes);
    if (used > 0 && used + 3 < sizeof stage->notes) {
        memcpy(stage->notes + used, "; ", 3);
        used += 2;
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(stage->notes + used, sizeof stage->notes - used, fmt, ap);
    va_end(ap);
}

static int ask(struct stage *stage, const char *node, const char *input,
               const char *command, char **out_r, struct cm_err *err)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    struct cm_run_result res;
    *out_r = NULL;
    int rc = lab_exec(stage->scene.lab, node, argv, input, ASK_MS, &res, err);
    if (rc != 0) {
        cm_err_prefix(err, "%s: %.120s", node, command);
    } else {
        rc = res.exit_code;
        cm_buf_str(&res.out, res.err.data);
        *out_r = cm_buf_steal(&res.out);
    }
    cm_run_result_clear(&res);
    return rc;
}

int stage_ask(struct stage *stage, const char *node, const char *input, char **out_r,
              struct cm_err *err, const char *fmt, ...)
{
    struct cm_buf command;
    cm_buf_init(&command, MAX_COMMAND);
    va_list ap;
    va_start(ap, fmt);
    cm_buf_vfmt(&command, fmt, ap);
    va_end(ap);
    cm_assert(!command.overflow);
    int rc = ask(stage, node, input, command.data, out_r, err);
    cm_buf_clear(&command);
    return rc;
}

void stage_sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}
