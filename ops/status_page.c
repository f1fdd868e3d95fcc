/* chatops status --page: the store's status page, brought here by SSH. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "say.h"
#include "status.h"

#define PAGE_SOCKET "/run/chatmail-monitor/page.sock"
#define PAGE_PORT   "7903"
#define PAGE_URL    "http://localhost:" PAGE_PORT "/"

static volatile sig_atomic_t stopped;
static volatile pid_t ssh;

/* On a terminal ssh has heard it too. */
static void on_stop(int signo)
{
    stopped = 1;
    if (ssh > 0) {
        kill(ssh, signo);
    }
}

/* Until Ctrl-C, which is how it ends well. */
static int forward_page(char *const argv[], struct cm_err *err)
{
    struct sigaction action = {.sa_handler = on_stop};
    int status = 0;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    fflush(stdout);
    ssh = fork();
    if (ssh == 0) {
        signal(SIGINT, SIG_DFL); /* also below a shell that had it ignored */
        execvp(argv[0], argv);
        _exit(127);
    }
    if (ssh < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "ssh cannot be started: %m");
    }
    while (waitpid(ssh, &status, 0) < 0 && errno == EINTR) {
    }
    if (stopped) {
        return OP_EXIT_OK;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      WIFEXITED(status) && WEXITSTATUS(status) == 127
                          ? "ssh cannot be started"
                          : "the forward to the status page ended, see above");
}

int op_status_page(struct op_cluster *c, struct cm_err *err)
{
    const struct op_host *store = &c->nodes[0].host;

    if (store->target[0] == '\0') {
        return cm_err_set(err, CM_ERR_WORLD,
                          "this machine is the store; run where your browser is: ssh "
                          "-N -L " PAGE_PORT ":" PAGE_SOCKET " root@STORE");
    }
    char *forward = cm_asprintf("localhost:" PAGE_PORT ":" PAGE_SOCKET);
    char *known = cm_asprintf("UserKnownHostsFile=\"%s\"", store->known_hosts);
    op_say(OP_GREEN, "%s", PAGE_URL);
    op_say(OP_PLAIN, "by: ssh -N -L %s %s", forward, store->target);
    op_say(OP_PLAIN, "Ctrl-C ends it");
    char *target = cm_strdup(store->target);
    char words[][40] = {"ssh", "-N",
                        "-o",  "StrictHostKeyChecking=accept-new",
                        "-o",  "ExitOnForwardFailure=yes",
                        "-o",  "ServerAliveInterval=5",
                        "-o",  "-L"};
    char *const argv[] = {words[0], words[1], words[2], words[3], words[4],
                          words[5], words[6], words[7], words[8], known,
                          words[9], forward,  target,   NULL};
    int rc = forward_page(argv, err);
    free(forward);
    free(known);
    free(target);
    return rc;
}
