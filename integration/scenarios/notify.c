#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"
#include "deploy/deploy.h"
#include "notifier/control.h"

#define TRUSTED "/usr/local/share/ca-certificates/lab-notifier.crt"

static int make_ca(struct notify *s, struct cm_err *err)
{
    static const char script[] =
        "cd $1; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        " -keyout ca.key -out ca.pem -days 2 -subj /CN=lab 2>&1";
    const char *argv[] = {"sh", "-ec", script, "sh", s->dir, NULL};
    return cm_run_ok(&(struct cm_run){.argv = argv}, NULL, err);
}

static _Noreturn void become(const struct stage *stage, const struct notify *s)
{
    char key[96];
    snprintf(key, sizeof key, "%s/ca.key", s->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int net = open(stage->netns, O_RDONLY | O_CLOEXEC);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (net < 0 || setns(net, CLONE_NEWNET) != 0 || dup2(null, STDOUT_FILENO) < 0) {
        _exit(126);
    }
    execl(NOTIFIER, NOTIFIER, "--host", DEPLOY_NOTIFIER_HOST, "--port",
          DEPLOY_NOTIFIER_PORT, "--control", s->control, "--ca-cert", s->ca, "--ca-key",
          key, "--name", DEPLOY_NOTIFIER_HOST, (char *)NULL);
    _exit(127);
}

static int ask(const struct notify *s, const char *line, struct cm_buf *out,
               struct cm_err *err)
{
    cm_buf_init(out, 4u << 20);
    return control_ask(s->control, line, out, err);
}

int notify_tell(const struct notify *s, const char *line, struct cm_err *err)
{
    struct cm_buf out;
    int rc = ask(s, line, &out, err);
    cm_buf_clear(&out);
    return rc;
}

/* Its certificate is known to the store as an operator's own would be. */
static int trust(struct stage *stage, const struct notify *s, struct cm_err *err)
{
    char *pem = NULL, *said = NULL;
    if (cm_file_read(s->ca, 65536, &pem, NULL, err) != 1) {
        return -1;
    }
    int rc = stage_ask(stage, "store", pem, &said, err,
                       "cat >" TRUSTED " && update-ca-certificates >/dev/null &&"
                       " systemctl restart chatmail-push");
    if (rc > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "update-ca-certificates: %.200s", said);
    }
    free(said);
    free(pem);
    return rc;
}

int notify_distrust(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "if rm " TRUSTED
                    " 2>/dev/null; then update-ca-certificates --fresh "
                    ">/dev/null && systemctl restart chatmail-push; fi");
}

int notify_start(struct stage *stage, struct notify *s, struct cm_err *err)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/scenario-push-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", s->dir, strerror(errno));
    }
    snprintf(s->control, sizeof s->control, "%s/control", s->dir);
    snprintf(s->ca, sizeof s->ca, "%s/ca.pem", s->dir);
    if (make_ca(s, err) != 0) {
        return -1;
    }
    s->pid = fork();
    if (s->pid == 0) {
        become(stage, s);
    }
    for (int i = 0; i < 100; i++) {
        stage_sleep_ms(50);
        if (notify_tell(s, "calm", err) == 0) {
            return trust(stage, s, err);
        }
    }
    return cm_err_prefix(err, "the notifier");
}

void notify_stop(struct notify *s)
{
    const char *argv[] = {"rm", "-rf", s->dir, NULL};
    struct cm_err ignored;
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        waitpid(s->pid, NULL, 0);
    }
    if (s->dir[0] != '\0') {
        (void)!cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &ignored);
    }
}

int notify_posts(const struct notify *s, const char *token, int *count_r,
                 int64_t *at_ms_r, struct cm_err *err)
{
    struct cm_buf out;
    char *save = NULL;
    int rc = ask(s, "list", &out, err);
    *count_r = 0;
    for (char *l = strtok_r(out.data, "\n", &save); rc == 0 && l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        if (strcmp(strrchr(l, ' ') + 1, token) == 0) {
            (*count_r)++;
            *at_ms_r = strtoll(l, NULL, 10);
        }
    }
    cm_buf_clear(&out);
    return rc;
}

int notify_comes(const struct notify *s, const char *token, int count, int64_t limit_ms,
                 int64_t *at_ms_r, struct cm_err *err)
{
    int64_t end = cm_now_mono_ms() + limit_ms;
    int have;
    do {
        stage_sleep_ms(20);
        if (notify_posts(s, token, &have, at_ms_r, err) != 0) {
            return -1;
        }
    } while (have < count && cm_now_mono_ms() < end);
    return have == count
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%d posts, not %d", have, count);
}

int notify_fresh(const struct notify *s, const char *mood, struct cm_err *err)
{
    char line[64];
    snprintf(line, sizeof line, "mood %s", mood);
    return notify_tell(s, "forget", err) != 0 || notify_tell(s, line, err) != 0 ? -1
                                                                                : 0;
}
