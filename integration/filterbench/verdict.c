/* The verdict alone, on one core: messages a second, megabytes a second, and what fifty
 * at a time hold. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/mem.h"
#include "filtercore/judge.h"
#include "letters/letters.h"

#define FROM  "one@example.org"
#define TO    "two@example.net"
#define CHUNK 65535

static struct verdict verdict;

static void feed(struct verdict *v, const struct letter_plan *plan)
{
    size_t len = strlen(plan->head),
           at = (size_t)(strstr(plan->head, "\r\n\r\n") + 4 - plan->head);
    judge_message(v, VERDICT_OUTGOING, plan->head, at, CHUNK);
    /* judge_message ended it; the header stays, the body begins anew. */
    verdict_headers_end(v);
    verdict_body(v, plan->head + at, len - at);
}

static void judge_plan(struct verdict *v, const struct letter_plan *plan)
{
    feed(v, plan);
    for (size_t i = 0; i < plan->blocks; i++) {
        verdict_body(v, plan->block, plan->block_len);
    }
    verdict_body(v, plan->tail, strlen(plan->tail));
    verdict_end(v);
}

/* What nobody can do without: a copy, and OpenSSL's base64 decoding of it. */
static double copy_and_decode(const char *block, size_t len, size_t times)
{
    char *copy = cm_malloc(len);
    unsigned char *out = cm_malloc(len + 64);
    double begun = bench_cpu();
    for (size_t i = 0; i < times; i++) {
        EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
        int n = 0;
        memcpy(copy, block, len);
        EVP_DecodeInit(ctx);
        cm_assert(EVP_DecodeUpdate(ctx, out, &n, (unsigned char *)copy, (int)len) >= 0);
        EVP_ENCODE_CTX_free(ctx);
    }
    double took = bench_cpu() - begun;
    free(copy);
    free(out);
    return took;
}

static void row_of(struct rows *rows, const char *name, double value, const char *unit,
                   double least, double other)
{
    struct row *row = rows_add(rows, name, value, unit);
    row->compared_with = "copy + OpenSSL base64";
    row->ratio = value / other;
    row->ok = value >= least;
    snprintf(row->goal, sizeof(row->goal), ">= %.0f", least);
}

static int small(bool quick, struct rows *rows, struct cm_err *err)
{
    const int times = quick ? 10000 : 100000;
    char *text = letter_of_size(FROM, TO, "x@y", 10000);
    size_t len = strlen(text);
    double begun = bench_cpu();
    for (int i = 0; i < times; i++) {
        judge_message(&verdict, VERDICT_OUTGOING, text, len, CHUNK);
        if (verdict_kind(&verdict) != VERDICT_ENCRYPTED) {
            free(text);
            return cm_err_set(err, CM_ERR_WORLD, "not encrypted: %s",
                              verdict_reason(&verdict));
        }
    }
    double took = bench_cpu() - begun;
    struct letter_plan plan;
    plan_letter(&plan, FROM, TO, len);
    double other = copy_and_decode(plan.block, len / 66 * 66, (size_t)times);
    row_of(rows, "verdict_10k", times / took, "1/s", 30000, times / other);
    plan_clear(&plan);
    free(text);
    return 0;
}

static int large(bool quick, struct rows *rows, struct cm_err *err)
{
    const size_t times = quick ? 2 : 20;
    struct letter_plan plan;
    plan_letter(&plan, FROM, TO, BENCH_LARGE);
    double begun = bench_cpu();
    for (size_t i = 0; i < times; i++) {
        judge_plan(&verdict, &plan);
    }
    double took = bench_cpu() - begun;
    double other = copy_and_decode(plan.block, plan.block_len, plan.blocks * times);
    double mb = (double)plan.bytes * (double)times / 1e6;
    bool ok = verdict_kind(&verdict) == VERDICT_ENCRYPTED;
    plan_clear(&plan);
    if (!ok) {
        return cm_err_set(err, CM_ERR_WORLD, "not encrypted: %s",
                          verdict_reason(&verdict));
    }
    row_of(rows, "verdict_30m", mb / took, "MB/s", 400, mb / other);
    return 0;
}

/* In a process of its own, block by block in turn; exits with the megabytes it held. */
static _Noreturn void hold_fifty(void)
{
    struct letter_plan plan;
    struct verdict *all = cm_calloc(BENCH_PARALLEL, sizeof(*all));
    struct rusage usage;
    plan_letter(&plan, FROM, TO, BENCH_LARGE);
    for (int i = 0; i < BENCH_PARALLEL; i++) {
        feed(&all[i], &plan);
    }
    for (size_t b = 0; b < plan.blocks; b++) {
        for (int i = 0; i < BENCH_PARALLEL; i++) {
            verdict_body(&all[i], plan.block, plan.block_len);
        }
    }
    int good = 0;
    for (int i = 0; i < BENCH_PARALLEL; i++) {
        verdict_body(&all[i], plan.tail, strlen(plan.tail));
        verdict_end(&all[i]);
        good += verdict_kind(&all[i]) == VERDICT_ENCRYPTED;
    }
    getrusage(RUSAGE_SELF, &usage);
    _exit(good == BENCH_PARALLEL ? (int)(usage.ru_maxrss / 1000) + 1 : 255);
}

static int held(struct rows *rows, struct cm_err *err)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        hold_fifty();
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) == 255) {
        return cm_err_set(err, CM_ERR_WORLD, "fifty at a time did not end well");
    }
    struct row *row = rows_add(rows, "verdict_rss_50x30m", WEXITSTATUS(status), "MB");
    row->ok = row->value < 16;
    row->compared_with = "bytes in flight";
    row->ratio = row->value / ((double)BENCH_PARALLEL * BENCH_LARGE / 1e6);
    snprintf(row->goal, sizeof(row->goal), "< 16");
    return 0;
}

int bench_verdict(bool quick, struct rows *rows, struct cm_err *err)
{
    return held(rows, err) != 0 || small(quick, rows, err) != 0 ||
                   large(quick, rows, err) != 0
               ? -1
               : 0;
}
