#include "server.h"

#include <unistd.h>

#include "process.h"

#define READY_TRIES 500
#define READY_MS    20

int server_wait(const struct server *server, const struct load *load,
                struct cm_err *err)
{
    struct load one = *load;
    struct load_result res;
    one.path = server->path;
    one.lanes = 1;
    one.pace = 1; /* so that exactly one is sent */
    one.ms = 1;
    for (int i = 0; i < READY_TRIES; i++) {
        if (load_run(&one, &res, err) != 0) {
            return -1;
        }
        bool good = res.answered == 1 && res.bad == 0;
        load_clear(&res);
        if (good) {
            return 0;
        }
        usleep(READY_MS * 1000);
    }
    return cm_err_set(err, CM_ERR_WORLD, "%s gives no good answer", server->path);
}

int server_turn(struct server *server, const struct load *load,
                struct load_result *result_r, struct cm_err *err)
{
    struct load one = *load;
    struct load_result res;
    double before = process_cpu_seconds(server->pid);
    one.path = server->path;
    if (load_run(&one, &res, err) != 0) {
        return -1;
    }
    double used = process_cpu_seconds(server->pid) - before;
    if (res.bad > 0 || res.answered == 0) {
        cm_err_set(err, CM_ERR_WORLD, "%llu of %llu answers of %s are bad",
                   (unsigned long long)res.bad, (unsigned long long)res.answered,
                   server->path);
        load_clear(&res);
        return -1;
    }
    if (load_rate(&res) > server->best) {
        server->best = load_rate(&res);
        server->cpu_us = used / (double)res.answered * 1e6;
    }
    if (result_r != NULL) {
        *result_r = res;
    } else {
        load_clear(&res);
    }
    return 0;
}

int server_contest(struct server *ours, struct server *other, const struct load *load,
                   int turns, struct cm_err *err)
{
    ours->best = other->best = 0;
    for (int i = 0; i < turns; i++) {
        if (server_turn(other, load, NULL, err) != 0 ||
            server_turn(ours, load, NULL, err) != 0) {
            return -1;
        }
    }
    return 0;
}
