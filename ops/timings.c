#include "timings.h"

#include <stdlib.h>

#include "common/file.h"

#define BASELINE_MAX (1 << 20)

void op_timings_add(struct op_timings *t, int64_t us)
{
    if (t->count < OP_TIMINGS_MAX) {
        t->us[t->count++] = us;
    }
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

void op_timings_sort(struct op_timings *t)
{
    qsort(t->us, t->count, sizeof(t->us[0]), by_size);
}

double op_timings_at(const struct op_timings *t, int percent)
{
    cm_assert(t->count > 0);
    size_t i = t->count * (size_t)percent / 100;

    return (double)t->us[i < t->count ? i : t->count - 1] / 1000;
}

json_t *op_timings_json(const struct op_timings *t)
{
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "n", (json_int_t)t->count, "min",
                     op_timings_at(t, 0), "median", op_timings_at(t, 50), "p90",
                     op_timings_at(t, 90), "p99", op_timings_at(t, 99), "max",
                     op_timings_at(t, 100));
}

double op_timings_ratio(const json_t *base, const char *part, const char *name,
                        const char *key, double now)
{
    const json_t *was = json_object_get(json_object_get(base, part), name);

    was = key != NULL ? json_object_get(was, key) : was;
    return json_number_value(was) > 0 ? now / json_number_value(was) : 0;
}

json_t *op_baseline_read(const char *path, struct cm_err *err)
{
    char *text = NULL;
    int rc = cm_file_read(path, BASELINE_MAX, &text, NULL, err);

    if (rc <= 0) {
        if (rc == 0) {
            cm_err_set(err, CM_ERR_REFUSE, "--baseline %s: there is no such file",
                       path);
        }
        return NULL;
    }
    json_t *base = json_loads(text, 0, NULL);
    free(text);
    if (!json_is_object(json_object_get(base, "timings"))) {
        json_decref(base);
        cm_err_set(err, CM_ERR_REFUSE,
                   "--baseline %s: not a file that chatops bench --save wrote", path);
        return NULL;
    }
    return base;
}
