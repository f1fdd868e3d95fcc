/* chatops log: the journals of all nodes, merged by time. What is filtered is filtered
 * on the nodes, so little comes over the line; what tells who somebody is is blanked
 * here. */
#include "log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "blank.h"
#include "cluster.h"
#include "common/buf.h"
#include "common/mem.h"
#include "say.h"

#define SINCE      "15m"
#define FOLLOW_MS  (24 * 3600 * 1000LL)
#define ASK_MS     120000
#define LINE_MAX_B (64 * 1024) /* of a line that is followed */

/* $1 since, $2 pattern or "", $3 unit or "", $4 "follow" or how many lines */
static const char script[] =
    "since=$1; grep=$2; unit=$3; n=$4; set --\n"
    "if [ -n \"$unit\" ]; then set -- -u \"$unit\"; else\n"
    "for u in 'chatmail-*' 'postfix*' 'dovecot*' 'nginx*' 'redis*' 'postgresql*' "
    "'coturn*' 'wg-quick*'; do set -- \"$@\" -u \"$u\"; done; fi\n"
    "[ -z \"$grep\" ] || set -- \"$@\" --grep \"$grep\"\n"
    "if [ \"$n\" = follow ]; then set -- \"$@\" -f -n 0; else\n"
    "set -- \"$@\" --since \"$since\" -n \"$n\"; fi\n"
    "exec journalctl -q --no-pager -o short-unix \"$@\"";

struct wish {
    struct op_cluster *c;
    struct op_blank blank;
    char *since;
    size_t missing; /* nodes that did not answer */
    size_t cut;     /* nodes that had more lines */
};

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
    (void)signo;
    stopped = 1;
}

/* ---- saying ---- */

static void say_line(const struct wish *w, const struct op_log_line *l)
{
    time_t seconds = (time_t)(l->time_us / 1000000);
    int ms = (int)(l->time_us / 1000 % 1000);
    char *text = w->c->cli->raw ? cm_strdup(l->text) : op_blank(&w->blank, l->text);
    char stamp[40];
    struct tm tm;

    if (w->c->cli->json) {
        gmtime_r(&seconds, &tm);
        strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
        char *when = cm_asprintf("%s.%03dZ", stamp, ms);
        op_answer_event("line", json_pack("{s:s, s:s, s:o, s:o}", "time", when, "node",
                                          l->node, "from", op_answer_text(l->ident),
                                          "text", op_answer_text(text)));
        free(when);
    } else {
        localtime_r(&seconds, &tm);
        strftime(stamp, sizeof(stamp), "%m-%d %H:%M:%S", &tm);
        for (char *p = text; *p != '\0'; p++) {
            *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
        }
        char *line =
            cm_asprintf("%s.%03d %-8s %s: %s", stamp, ms, l->node, l->ident, text);
        op_print(OP_PLAIN, line);
        free(line);
    }
    free(text);
}

/* ---- once ---- */

static bool is_wanted(const struct op_cluster *c, const struct op_node *n)
{
    const char *only = c->cli->node;

    return only != NULL ? strcmp(only, n->host.name) == 0 : !n->skipped;
}

static struct op_cmd command(const struct wish *w, const char *lines)
{
    const struct op_cli *cli = w->c->cli;

    return (struct op_cmd){.script = script,
                           .args = {w->since, cli->grep != NULL ? cli->grep : "",
                                    cli->unit != NULL ? cli->unit : "", lines},
                           .timeout_ms = ASK_MS,
                           .repeatable = true};
}

/* Did journalctl fail, and not only because there is nothing? With --grep it ends with
 * 1 then and says nothing; of a unit that the node never had it has "No data
 * available". */
static bool went_wrong(const struct cm_run_result *res)
{
    return res->exit_code != 0 && res->err.len > 0 &&
           strstr(res->err.data, "No data available") == NULL;
}

/* The text of one node. NULL when it did not answer, which is said. */
static char *ask_node(struct wish *w, struct op_node *n)
{
    char lines[16];
    struct cm_run_result res;
    struct cm_err err;
    char *text = NULL;

    snprintf(lines, sizeof(lines), "%d", OP_LOG_LINES);
    struct op_cmd cmd = command(w, lines);
    int rc = op_host_exec(&n->host, &cmd, &res, &err);
    if (rc == 0 && went_wrong(&res)) {
        char last[300];
        op_last_line(res.err.data, last, sizeof(last));
        rc = cm_err_set(&err, CM_ERR_WORLD, "%s: journalctl: %s", n->host.name, last);
    }
    if (rc == 0) {
        text = cm_strdup(res.out.len > 0 ? res.out.data : "");
    } else {
        op_warn("%s", err.text);
        w->missing++;
    }
    cm_run_result_clear(&res);
    return text;
}

static int show_once(struct wish *w)
{
    struct op_cluster *c = w->c;
    char **texts = cm_calloc(c->node_count, sizeof(*texts));
    struct op_log log = {.count = 0};
    size_t asked = 0;

    for (size_t i = 0; i < c->node_count; i++) {
        if (!is_wanted(c, &c->nodes[i])) {
            continue;
        }
        size_t before = log.count;
        asked++;
        texts[i] = ask_node(w, &c->nodes[i]);
        if (texts[i] != NULL) {
            op_log_add(&log, c->nodes[i].host.name, texts[i]);
        }
        w->cut += log.count - before >= OP_LOG_LINES;
    }
    if (w->missing > 0 && w->missing == asked) {
        op_complain("no node's journal could be read");
    }
    op_log_sort(&log);
    for (size_t i = 0; i < log.count; i++) {
        say_line(w, &log.lines[i]);
    }
    if (w->cut > 0) {
        op_warn("of %zu nodes only the last %d lines are shown; see: --since, --unit, "
                "--grep",
                w->cut, OP_LOG_LINES);
    }
    op_answer(json_pack("{s:I, s:b, s:I}", "lines", (json_int_t)log.count, "cut",
                        w->cut > 0, "missing", (json_int_t)w->missing));
    op_log_clear(&log);
    for (size_t i = 0; i < c->node_count; i++) {
        free(texts[i]);
    }
    free(texts);
    return w->missing > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

/* ---- followed ---- */

struct follower {
    struct wish *w;
    struct op_node *node;
    pthread_t thread;
    bool started;
    struct cm_buf part; /* of a line that is not whole yet */
    struct op_log_line last;
    struct cm_err err;
    int rc;
};

static pthread_mutex_t mouth = PTHREAD_MUTEX_INITIALIZER;

static void say_whole_lines(struct follower *f)
{
    char *at = f->part.data, *end;

    pthread_mutex_lock(&mouth);
    while ((end = strchr(at, '\n')) != NULL) {
        struct op_log_line line;
        *end = '\0';
        f->last.ident = "";
        op_log_split(at, f->node->host.name, &f->last, &line);
        say_line(f->w, &line);
        at = end + 1;
    }
    pthread_mutex_unlock(&mouth);
    char *rest = cm_strdup(at);
    cm_buf_clear(&f->part);
    cm_buf_init(&f->part, LINE_MAX_B);
    cm_buf_str(&f->part, rest);
    free(rest);
}

static void on_output(int fd, const char *data, size_t n, void *ctx)
{
    struct follower *f = ctx;

    if (fd == 1) {
        cm_buf_add(&f->part, data, n);
        if (f->part.overflow) {
            cm_buf_clear(&f->part);
            cm_buf_init(&f->part, LINE_MAX_B);
        } else {
            say_whole_lines(f);
        }
    }
}

static bool goes_on(int64_t elapsed_ms, void *ctx)
{
    (void)elapsed_ms;
    (void)ctx;
    return !stopped;
}

static void *follow(void *ctx)
{
    struct follower *f = ctx;
    struct cm_run_result res;
    struct op_cmd cmd = command(f->w, "follow");

    cmd.timeout_ms = FOLLOW_MS;
    cmd.repeatable = false;
    cmd.on_output = on_output;
    cmd.on_wait = goes_on;
    cmd.ctx = f;
    f->rc = op_host_exec(&f->node->host, &cmd, &res, &f->err);
    if (f->rc == 0 && went_wrong(&res)) {
        char last[300];
        op_last_line(res.err.data, last, sizeof(last));
        f->rc = cm_err_set(&f->err, CM_ERR_WORLD, "%s: journalctl: %s",
                           f->node->host.name, last);
    }
    cm_run_result_clear(&res);
    return NULL;
}

static int show_follow(struct wish *w)
{
    struct op_cluster *c = w->c;
    struct follower *all = cm_calloc(c->node_count, sizeof(*all));
    struct sigaction action = {.sa_handler = on_stop};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (size_t i = 0; i < c->node_count; i++) {
        all[i] = (struct follower){.w = w, .node = &c->nodes[i]};
        cm_buf_init(&all[i].part, LINE_MAX_B);
        /* connected here, so that the threads have nothing in common but the mouth */
        if (is_wanted(c, &c->nodes[i])) {
            if (op_host_ask(&c->nodes[i].host, "true", NULL, &all[i].err) != 0) {
                op_warn("%s", all[i].err.text);
                w->missing++;
                continue;
            }
            all[i].started = pthread_create(&all[i].thread, NULL, follow, &all[i]) == 0;
            w->missing += !all[i].started;
        }
    }
    for (size_t i = 0; i < c->node_count; i++) {
        if (all[i].started) {
            pthread_join(all[i].thread, NULL);
        }
        if (all[i].started && all[i].rc != 0 && !stopped) {
            op_warn("%s", all[i].err.text);
            w->missing++;
        }
        cm_buf_clear(&all[i].part);
    }
    free(all);
    return w->missing > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

/* ---- the verb ---- */

static void keep_own(struct wish *w, char (*words)[64], size_t *n)
{
    const struct cm_conf *conf = &w->c->conf;

    op_blank_keep(&w->blank, conf->mail_domain);
    for (size_t i = 0; i < conf->gateway_count; i++) {
        *n += cm_conf_words(conf->gateways[i].addresses, words + *n, CM_ADDRESSES_MAX);
    }
    for (size_t i = 0; i < *n; i++) {
        op_blank_keep(&w->blank, words[i]);
    }
}

static bool has_node(const struct op_cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (strcmp(c->nodes[i].host.name, c->cli->node) == 0) {
            return true;
        }
    }
    return false;
}

int op_log(const struct op_cli *cli, struct cm_err *err)
{
    char(*words)[64] = cm_calloc(CM_GATEWAYS_MAX * CM_ADDRESSES_MAX, sizeof(*words));
    struct op_cluster c;
    struct wish w = {.c = &c};
    size_t n = 0;
    int rc = -1;

    if (op_cluster_load(cli, &c, err) != 0) {
        free(words);
        return -1;
    }
    op_blank_init(&w.blank);
    keep_own(&w, words, &n);
    w.since = op_log_since(cli->since != NULL ? cli->since : SINCE, err);
    if (w.since != NULL && cli->node != NULL && !has_node(&c)) {
        cm_err_set(err, CM_ERR_REFUSE,
                   "there is no node \"%.64s\"; allowed: store, or a "
                   "gateway of %s",
                   cli->node, cli->config);
    } else if (w.since != NULL) {
        rc = cli->follow ? show_follow(&w) : show_once(&w);
    }
    free(w.since);
    free(words);
    op_cluster_clear(&c);
    return rc;
}
