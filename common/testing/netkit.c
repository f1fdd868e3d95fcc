#include "netkit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINK_TRIES 100 /* of 50 ms */

int netkit_begin(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return -1;
    }
    mkdir("/run/wireguard", 0700);
    return mount("tmpfs", "/run/wireguard", "tmpfs", 0, NULL);
}

pid_t netkit_host(void)
{
    int ready[2];
    char byte;

    cm_assert(pipe2(ready, O_CLOEXEC) == 0);
    pid_t pid = fork();
    cm_assert(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "x", 1) != 1) {
            _exit(99);
        }
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    cm_assert(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return pid;
}

pid_t netkit_fork(pid_t host)
{
    pid_t pid = fork();

    cm_assert(pid >= 0);
    if (pid == 0) {
        char path[64];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)host);
        int fd = host > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (host > 0 && (fd < 0 || setns(fd, CLONE_NEWNET) != 0)) {
            _exit(99);
        }
        close(fd);
    }
    return pid;
}

static int shell(pid_t host, const char *command)
{
    pid_t pid = netkit_fork(host);
    int status = 0;

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(98);
    }
    cm_assert(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int netkit_sh(pid_t host, const char *fmt, ...)
{
    char command[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    return shell(host, command);
}

void netkit_must(pid_t host, const char *fmt, ...)
{
    char command[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    int status = shell(host, command);
    if (status != 0) {
        fprintf(stderr, "netkit: status %d: %s\n", status, command);
        abort();
    }
}

void netkit_stop(pid_t *pid, int signal)
{
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

void netkit_wire(pid_t a, const char *name_a, pid_t b, const char *name_b)
{
    /* Made inside a: names need not be free on this machine. */
    netkit_must(a, "ip link add %s type veth peer name %s netns %d", name_a, name_b,
                (int)b);
    netkit_must(a, "ip link set lo up; ip link set %s up", name_a);
    netkit_must(b, "ip link set lo up; ip link set %s up", name_b);
}

void netkit_tunnel(pid_t host, const char *name, pid_t *pid)
{
    if (netkit_sh(host, "ip link add %s type wireguard 2>/dev/null", name) == 0) {
        return;
    }
    *pid = netkit_fork(host);
    if (*pid == 0) {
        execlp("wireguard-go", "wireguard-go", "-f", name, (char *)NULL);
        _exit(94);
    }
    for (int i = 0; netkit_sh(host, "ip link show %s >/dev/null 2>&1", name) != 0;
         i++) {
        cm_assert(i < LINK_TRIES);
        usleep(50000);
    }
}
