#include "play.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster.h"

#define HEAL_LIMIT_S 420
#define WELL_MS      120000

struct part {
    int (*run)(struct stage *stage, const struct scenario *scenario,
               struct cm_err *err);
    const struct scenario *scenario;
    bool quick;
    int limit_s;
};

static int in_child(const struct part *part, char text[PLAY_TEXT])
{
    struct stage stage;
    struct cm_err err = {.text = ""};
    int rc = -1;
    if (stage_open(&stage, part->quick, &err) == 0) {
        rc = part->run(&stage, part->scenario, &err);
        stage_close(&stage);
    }
    snprintf(text, PLAY_TEXT, "%s", rc == 0 ? stage.notes : err.text);
    return rc;
}

static _Noreturn void be_child(const struct part *part, int out)
{
    char text[PLAY_TEXT];
    int rc = in_child(part, text);
    ssize_t done = write(out, text, strlen(text)); /* less than a pipe holds */
    _exit(rc == 0 && done >= 0 ? 0 : 1);
}

/* True when the process ended by itself. What a killed one had started inside nodes
 * ends with its own time limit. */
static bool await(pid_t pid, int limit_s, int *status_r)
{
    int fd = pidfd_open(pid, 0);
    cm_assert(fd >= 0);
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int rc;
    do {
        rc = poll(&poller, 1, limit_s * 1000);
    } while (rc < 0 && errno == EINTR);
    if (rc <= 0) {
        kill(pid, SIGKILL);
    }
    cm_assert(waitpid(pid, status_r, 0) == pid);
    close(fd);
    return rc > 0;
}

static int perform(const struct part *part, char text[PLAY_TEXT])
{
    int ends[2];
    cm_assert(pipe(ends) == 0);
    fflush(stdout);
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        be_child(part, ends[1]);
    }
    close(ends[1]);
    int status = 0;
    bool in_time = await(pid, part->limit_s, &status);
    ssize_t n = in_time ? read(ends[0], text, PLAY_TEXT - 1) : 0;
    close(ends[0]);
    text[n > 0 ? n : 0] = '\0';
    if (!in_time) {
        snprintf(text, PLAY_TEXT, "killed: not done after %d s", part->limit_s);
    } else if (WIFSIGNALED(status)) {
        snprintf(text, PLAY_TEXT, "died of signal %d", WTERMSIG(status));
    }
    return in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int run_it(struct stage *stage, const struct scenario *scenario,
                  struct cm_err *err)
{
    return scenario->run(stage, err);
}

static int wake_nodes(struct lab *lab, struct cm_err *err)
{
    for (size_t i = 0; i < lab_node_count(); i++) {
        const char *node = lab_node_name(i);
        enum lab_state state = lab_node_state(lab, node);
        int rc = 0;
        if (state == LAB_CUT) {
            rc = lab_heal(lab, node, err);
        } else if (state != LAB_UP) {
            rc = lab_start(lab, node, err);
        }
        if (rc != 0) {
            return cm_err_prefix(err, "node %s", node);
        }
    }
    return 0;
}

static int restore(struct stage *stage, const struct scenario *only, struct cm_err *err)
{
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        if ((only == NULL || s == only) && s->restore != NULL &&
            s->restore(stage, err) != 0) {
            return cm_err_prefix(err, "restore of %s", s->name);
        }
    }
    return 0;
}

static int heal(struct stage *stage, const struct scenario *scenario,
                struct cm_err *err)
{
    if (wake_nodes(stage->scene.lab, err) != 0 || restore(stage, scenario, err) != 0) {
        return -1;
    }
    return cluster_until_well(stage, WELL_MS, NULL, err);
}

int play_run(const struct scenario *scenario, bool quick, char text[PLAY_TEXT])
{
    struct part part = {.run = run_it,
                        .scenario = scenario,
                        .quick = quick,
                        .limit_s = scenario->limit_s};
    return perform(&part, text);
}

int play_heal(const struct scenario *scenario, bool quick, char text[PLAY_TEXT])
{
    struct part part = {
        .run = heal, .scenario = scenario, .quick = quick, .limit_s = HEAL_LIMIT_S};
    int rc = perform(&part, text);
    if (rc != 0) {
        char reason[PLAY_TEXT];
        snprintf(reason, sizeof reason, "the cluster is not well: %.900s", text);
        memcpy(text, reason, sizeof reason);
    }
    return rc;
}
