/* chatops bench: upstream's seven timings, logins of a crowd, memory of the store's
 * services, and how they stand to an earlier run. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "common/clock.h"
#include "common/file.h"
#include "interrupt.h"
#include "say.h"

#define ROUNDS       5
#define QUICK_ROUNDS 2
#define CROWD_NAME   "login_10_at_once"

struct report {
    struct op_bench b;
    json_t *base; /* NULL: none */
    json_t *timings;
    json_t *memory;
    size_t failed;
};

/* ---- one row ---- */

static void say_ratio(double ratio, char out[16])
{
    if (ratio > 0) {
        snprintf(out, 16, "%6.2fx", ratio);
    } else {
        snprintf(out, 16, "%7s", "-");
    }
}

static void say_timings(const struct report *r, const char *name,
                        const struct op_timings *t)
{
    char ratio[16];

    say_ratio(
        op_timings_ratio(r->base, "timings", name, "median", op_timings_at(t, 50)),
        ratio);
    op_say(OP_PLAIN, "  %-26s %3zu %8.1f %8.1f %8.1f %8.1f %s", name, t->count,
           op_timings_at(t, 50), op_timings_at(t, 90), op_timings_at(t, 99),
           op_timings_at(t, 100), ratio);
}

static void take(struct report *r, const char *name, struct op_timings *t, bool well)
{
    if (!well || t->count == 0) {
        r->failed++;
        op_complain("%s: %s", name, r->b.said);
        json_object_set_new(r->timings, name, json_null());
        return;
    }
    op_timings_sort(t);
    json_object_set_new(r->timings, name, op_timings_json(t));
    if (!op_answer_json()) {
        say_timings(r, name, t);
    }
}

static void run_row(struct report *r, const struct op_bench_row *row)
{
    struct op_timings t = {.count = 0};
    size_t n = r->b.c->cli->quick ? row->quick_n : row->n;
    int rc = 0;

    op_busy("  %-26s ", row->name);
    for (size_t i = 0; i < n && rc == 0 && !op_interrupted(); i++) {
        rc = row->prepare != NULL ? row->prepare(&r->b) : 0;
        int64_t from = cm_now_mono_us();
        rc = rc == 0 ? row->turn(&r->b) : rc;
        op_timings_add(&t, cm_now_mono_us() - from);
    }
    if (row->done != NULL) {
        row->done(&r->b);
    }
    op_busy_end();
    if (op_interrupted()) {
        return;
    }
    take(r, row->name, &t, rc == 0);
}

static void run_crowd(struct report *r)
{
    struct op_timings t = {.count = 0};
    int rounds = r->b.c->cli->quick ? QUICK_ROUNDS : ROUNDS, rc = 0;

    op_busy("  %-26s ", CROWD_NAME);
    for (int i = 0; i < rounds && rc == 0 && !op_interrupted(); i++) {
        rc = op_bench_crowd(&r->b, &t);
    }
    op_busy_end();
    if (op_interrupted()) {
        return;
    }
    take(r, CROWD_NAME, &t, rc == 0);
}

/* ---- memory ---- */

/* Proportional shares of all processes of a unit, so that what they share counts once.
 */
static const char memory_script[] =
    "tree() { echo \"$1\"; for c in $(cat /proc/$1/task/*/children 2>/dev/null); do"
    " tree \"$c\"; done; }\n"
    "for u in $(systemctl list-units --plain --no-legend --state=active"
    " 'chatmail-*.service' 'postfix@-.service' dovecot.service nginx.service"
    " 'postgresql@*.service' redis-server.service 'coturn*.service' | cut -d' ' -f1); "
    "do\n"
    "p=$(systemctl show -P MainPID \"$u\"); [ \"${p:-0}\" -gt 0 ] || continue; k=0\n"
    "for q in $(tree \"$p\"); do"
    " v=$(sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$q/smaps_rollup 2>/dev/null);"
    " k=$((k + ${v:-0})); done\n"
    "echo \"$u $((k * 1024))\"; done";

static void run_memory(struct report *r)
{
    char *said = NULL, *save = NULL, ratio[16];
    struct cm_err err;
    double all = 0;

    if (op_host_ask(&r->b.c->nodes[0].host, memory_script, &said, &err) != 0) {
        op_warn("memory of the store's services: %s", err.text);
        return;
    }
    for (char *l = strtok_r(said, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        char *blank = strchr(l, ' ');
        if (blank == NULL) {
            continue;
        }
        *blank = '\0';
        double bytes = (double)strtoll(blank + 1, NULL, 10);
        json_object_set_new(r->memory, l, json_integer((json_int_t)bytes));
        all += bytes;
        if (!op_answer_json()) {
            say_ratio(op_timings_ratio(r->base, "memory", l, NULL, bytes), ratio);
            op_say(OP_PLAIN, "  %-38.38s %27.1f %s", l, bytes / (1 << 20), ratio);
        }
    }
    free(said);
    if (!op_answer_json()) {
        op_say(OP_PLAIN, "  %-38s %27.1f", "together", all / (1 << 20));
    }
}

/* ---- all ---- */

static int save(const struct report *r, const json_t *data, struct cm_err *err)
{
    const char *path = r->b.c->cli->save;

    if (path == NULL) {
        return 0;
    }
    char *text = json_dumps(data, JSON_INDENT(1));
    cm_assert(text != NULL);
    int rc = cm_file_replace(path, text, strlen(text), 0644, err);
    free(text);
    return rc;
}

static void run_all(struct report *r)
{
    struct op_bench *b = &r->b;

    for (const struct op_bench_row *row = op_bench_rows;
         row->name != NULL && !op_interrupted(); row++) {
        run_row(r, row);
    }
    if (b->crowd_count == OP_BENCH_CROWD) {
        run_crowd(r);
    }
    if (!op_interrupted()) {
        if (!op_answer_json()) {
            op_say(OP_PLAIN, "memory on the store, MiB");
        }
        run_memory(r);
    }
}

static int measure(struct report *r, struct cm_err *err)
{
    struct op_bench *b = &r->b;

    if (!op_answer_json()) {
        op_say(OP_PLAIN, "through %s %s, milliseconds", b->at.gateway, b->at.address);
        op_say(OP_PLAIN, "  %-26s %3s %8s %8s %8s %8s %7s", "", "n", "median", "p90",
               "p99", "max", "ratio");
    }
    run_all(r);
    op_people_close(&b->people);
    if (op_interrupted()) {
        return OP_EXIT_INT;
    }
    json_t *data =
        json_pack("{s:s, s:s, s:s, s:b, s:O, s:O}", "domain", b->c->conf.mail_domain,
                  "gateway", b->at.gateway, "address", b->at.address, "quick",
                  b->c->cli->quick, "timings", r->timings, "memory", r->memory);
    int rc = save(r, data, err);
    if (r->base != NULL) {
        json_object_set(data, "baseline", r->base);
    }
    op_answer(data);
    return rc != 0 ? -1 : r->failed > 0 ? OP_EXIT_FAILED : OP_EXIT_OK;
}

int op_bench(const struct op_cli *cli, struct cm_err *err)
{
    struct op_entrance entrances[OP_ENTRANCES_MAX];
    struct op_cluster c;
    struct report r = {.b = {.c = &c}};
    size_t n;
    int rc = -1;

    if (cli->baseline != NULL &&
        (r.base = op_baseline_read(cli->baseline, err)) == NULL) {
        return -1;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        json_decref(r.base);
        return -1;
    }
    r.timings = json_object();
    r.memory = json_object();
    if (op_entrances(&c, entrances, &n, err) == 0 &&
        op_people_open(&r.b.people, &c, OP_PEOPLE_MAX, err) == 0) {
        r.b.at = entrances[0];
        rc = measure(&r, err);
    }
    json_decref(r.timings);
    json_decref(r.memory);
    json_decref(r.base);
    op_cluster_clear(&c);
    return rc;
}
