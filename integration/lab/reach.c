/* Running programs inside a node: through the namespaces of its init, no ssh needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "node.h"
#include "state.h"
#include "topology.h"

int lab_argv_in(struct lab *lab, const char *name, const char *const *argv,
                struct lab_argv *out, struct cm_err *err)
{
    const struct topology_node *node;
    struct node_pids pids;
    if (topology_need(name, &node, err) < 0)
        return -1;
    if (!node_alive(lab, node, &pids) || pids.init == 0)
        return cm_err_set(err, CM_ERR_WORLD, "%s is off", name);
    const char *term = getenv("TERM");
    snprintf(out->pid, sizeof out->pid, "%ld", (long)pids.init);
    snprintf(out->term, sizeof out->term, "TERM=%s", term ? term : "dumb");
    const char *front[] = {
        "nsenter",
        "-t",
        out->pid,
        "-a",
        "--",
        "env",
        "-i",
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "SHELL=/bin/bash",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        out->term,
    };
    size_t n = sizeof front / sizeof *front;
    memcpy(out->words, front, sizeof front);
    for (size_t i = 0; argv[i]; i++) {
        if (n >= LAB_ARGV_MAX - 1)
            return cm_err_set(err, CM_ERR_REFUSE, "too many words for a command");
        out->words[n++] = argv[i];
    }
    out->words[n] = NULL;
    return 0;
}

int lab_exec(struct lab *lab, const char *node, const char *const *argv,
             const char *input, int64_t timeout_ms, struct cm_run_result *res,
             struct cm_err *err)
{
    struct lab_argv full;
    if (lab_argv_in(lab, node, argv, &full, err) < 0) {
        *res = (struct cm_run_result){.exit_code = 127};
        cm_buf_init(&res->out, 1);
        cm_buf_init(&res->err, 1);
        return -1;
    }
    struct cm_run run = {.argv = full.words, .input = input, .timeout_ms = timeout_ms};
    return cm_run(&run, res, err);
}

int lab_exec_ok(struct lab *lab, const char *node, const char *const *argv,
                int64_t timeout_ms, char **out_r, struct cm_err *err)
{
    struct cm_run_result res;
    int rc = lab_exec(lab, node, argv, NULL, timeout_ms, &res, err);
    if (rc == 0 && res.exit_code != 0) {
        const char *text = res.err.len ? res.err.data : res.out.data;
        size_t n = strlen(text);
        while (n && text[n - 1] == '\n')
            n--;
        size_t start = n;
        while (start && text[start - 1] != '\n')
            start--;
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s failed (exit %d): %.*s", node,
                        argv[0], res.exit_code, (int)(n - start), text + start);
    }
    if (rc == 0 && out_r)
        *out_r = cm_buf_steal(&res.out);
    cm_run_result_clear(&res);
    return rc;
}
