#include "queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/redis.h"

#include "script.h"

#define PIPELINE_MAX 16384 /* commands without an answer */
#define NUMBER_MAX   24

enum script {
    SCRIPT_ADD,
    SCRIPT_TAKE,
    SCRIPT_SENT,
    SCRIPT_FAILED,
    SCRIPT_GONE,
    SCRIPT_FORGET,
    SCRIPT_HURRY,
    SCRIPT_FIGURES,
    SCRIPTS
};

static const char *const sources[SCRIPTS] = {
    script_add,  script_take,   script_sent,  script_failed,
    script_gone, script_forget, script_hurry, script_figures};
static const char *const lanes[QUEUE_LANES] = {"push:first", "push:again"};

struct queue {
    struct cm_redis *redis;
    struct cm_redis_script scripts[SCRIPTS];
    int64_t wall_us; /* at mono_ms */
    int64_t mono_ms;
    int64_t last_us;
};

struct queue *queue_new(struct cm_loop *loop, const char *path,
                        void (*on_state)(bool up, void *ctx), void *ctx)
{
    struct queue *queue = cm_calloc(1, sizeof(*queue));
    struct cm_redis_options options = {
        .path = path, .max_queue = PIPELINE_MAX, .on_state = on_state, .ctx = ctx};
    for (int i = 0; i < SCRIPTS; i++) {
        queue->scripts[i].source = sources[i];
    }
    queue->wall_us = cm_now_wall_ms() * 1000;
    queue->mono_ms = cm_now_mono_ms();
    queue->redis = cm_redis_new(loop, &options);
    return queue;
}

void queue_free(struct queue **queue)
{
    if (*queue == NULL) {
        return;
    }
    cm_redis_free(&(*queue)->redis);
    free(*queue);
    *queue = NULL;
}

bool queue_up(const struct queue *queue)
{
    return cm_redis_up(queue->redis);
}

const char *queue_last_error(const struct queue *queue)
{
    return cm_redis_last_error(queue->redis);
}

int64_t queue_now_us(struct queue *queue)
{
    int64_t now = queue->wall_us + (cm_now_mono_ms() - queue->mono_ms) * 1000;
    queue->last_us = now > queue->last_us ? now : queue->last_us + 1;
    return queue->last_us;
}

/* Arguments */

/* Bytes are borrowed, numbers kept as text. */
struct args {
    struct cm_redis_arg items[4 + 4 * QUEUE_TOKENS_MAX];
    char numbers[4 + 2 * QUEUE_TOKENS_MAX][NUMBER_MAX];
    size_t count, number_count;
};

static void arg_bytes(struct args *args, const void *data, size_t len)
{
    args->items[args->count++] = (struct cm_redis_arg){data, len};
}

static void arg_text(struct args *args, const char *text)
{
    arg_bytes(args, text, strlen(text));
}

static void arg_number(struct args *args, int64_t n)
{
    char *text = args->numbers[args->number_count++];
    snprintf(text, NUMBER_MAX, "%" PRId64, n);
    arg_text(args, text);
}

static void eval(struct queue *queue, enum script script, const struct args *args,
                 cm_redis_cb cb, void *ctx)
{
    cm_redis_eval(queue->redis, &queue->scripts[script], NULL, 0, args->items,
                  args->count, cb, ctx);
}

/* Steps that answer nothing */

struct step {
    queue_done_cb cb;
    void *ctx;
};

static struct step *step_new(queue_done_cb cb, void *ctx)
{
    struct step *step = cm_calloc(1, sizeof(*step));
    *step = (struct step){cb, ctx};
    return step;
}

static void on_step(const struct cm_redis_value *value, const struct cm_err *err,
                    void *ctx)
{
    struct step step = *(struct step *)ctx;
    struct cm_err none = {.kind = CM_ERR_NONE};
    free(ctx);
    step.cb(value != NULL ? &none : err, step.ctx);
}

void queue_add(struct queue *queue, const struct queue_add *add, queue_done_cb cb,
               void *ctx)
{
    static struct args args;
    char keys[QUEUE_TOKENS_MAX][ITEM_KEY_LEN + 1];
    cm_assert(add->count <= QUEUE_TOKENS_MAX);
    args.count = args.number_count = 0;
    arg_text(&args, add->addr);
    arg_number(&args, QUEUE_KEY_MAX);
    if (add->complete) {
        arg_text(&args, "");
    } else {
        arg_number(&args, queue_now_us(queue));
    }
    for (size_t i = 0; i < add->count; i++) {
        const struct queue_token *token = &add->tokens[i];
        item_key(add->addr, token->data, token->len, keys[i]);
        arg_text(&args, keys[i]);
        arg_bytes(&args, token->data, token->len);
        arg_number(&args, queue_now_us(queue));
        arg_number(&args, token->flying_us);
    }
    eval(queue, SCRIPT_ADD, &args, on_step, step_new(cb, ctx));
}

void queue_forget(struct queue *queue, const char *addr, queue_done_cb cb, void *ctx)
{
    struct args args = {.count = 0};
    arg_text(&args, addr);
    eval(queue, SCRIPT_FORGET, &args, on_step, step_new(cb, ctx));
}

void queue_sent(struct queue *queue, const struct item *item, queue_done_cb cb,
                void *ctx)
{
    struct args args = {.count = 0};
    arg_text(&args, item->key);
    arg_number(&args, item->start_us);
    arg_number(&args, queue_now_us(queue));
    eval(queue, SCRIPT_SENT, &args, on_step, step_new(cb, ctx));
}

void queue_failed(struct queue *queue, const struct item *item, unsigned tries,
                  int64_t due_us, queue_done_cb cb, void *ctx)
{
    struct args args = {.count = 0};
    arg_text(&args, item->key);
    arg_number(&args, item->start_us);
    arg_number(&args, tries);
    arg_number(&args, due_us);
    arg_number(&args, queue_now_us(queue));
    eval(queue, SCRIPT_FAILED, &args, on_step, step_new(cb, ctx));
}

void queue_gone(struct queue *queue, const struct item *item, queue_done_cb cb,
                void *ctx)
{
    struct args args = {.count = 0};
    arg_text(&args, item->key);
    arg_number(&args, item->start_us);
    eval(queue, SCRIPT_GONE, &args, on_step, step_new(cb, ctx));
}

void queue_note_success(struct queue *queue, int64_t wall_ms)
{
    char number[NUMBER_MAX];
    snprintf(number, sizeof(number), "%" PRId64, wall_ms);
    const char *words[] = {"SET", "push:last", number, NULL};
    cm_redis_words(queue->redis, words, NULL, NULL);
}

/* Answers. A number comes as such or as text. */

static int64_t number_of(const struct cm_redis_value *value)
{
    if (value->type == CM_REDIS_INT) {
        return value->integer;
    }
    return value->type == CM_REDIS_TEXT ? strtoll(value->text, NULL, 10) : 0;
}

static bool is_list(const struct cm_redis_value *value, size_t len)
{
    return value->type == CM_REDIS_LIST && value->len == len;
}

struct taking {
    queue_take_cb cb;
    void *ctx;
};

static struct item *item_of(const struct cm_redis_value *f)
{
    struct item *item = item_new(f[2].text, f[3].text, f[3].len);
    snprintf(item->key, sizeof(item->key), "%s", f[0].text);
    item->start_us = number_of(&f[4]);
    item->tries = (unsigned)number_of(&f[5]);
    return item;
}

static bool is_item(const struct cm_redis_value *value)
{
    if (!is_list(value, 6)) {
        return false;
    }
    for (size_t i = 0; i < 6; i++) {
        if (value->items[i].type != CM_REDIS_TEXT) {
            return false;
        }
    }
    return true;
}

static void on_taken(const struct cm_redis_value *value, const struct cm_err *err,
                     void *ctx)
{
    struct taking taking = *(struct taking *)ctx;
    struct queue_taken taken = {.count = 0};
    free(ctx);
    if (value == NULL) {
        taking.cb(NULL, err, taking.ctx);
        return;
    }
    cm_assert(value->type == CM_REDIS_LIST && value->len > 0 &&
              is_list(&value->items[0], 2));
    taken.next_us = number_of(&value->items[0].items[0]);
    taken.last_us = number_of(&value->items[0].items[1]);
    taken.items = cm_calloc(value->len, sizeof(struct item *));
    for (size_t i = 1; i < value->len; i++) {
        if (is_item(&value->items[i])) {
            taken.items[taken.count++] = item_of(value->items[i].items);
        }
    }
    taking.cb(&taken, err, taking.ctx);
    free(taken.items);
}

void queue_take(struct queue *queue, enum queue_lane lane, int64_t after_us,
                size_t limit, queue_take_cb cb, void *ctx)
{
    struct taking *taking = cm_calloc(1, sizeof(*taking));
    struct args args = {.count = 0};
    *taking = (struct taking){cb, ctx};
    arg_text(&args, lanes[lane]);
    arg_number(&args, after_us);
    arg_number(&args, queue_now_us(queue));
    arg_number(&args, (int64_t)limit);
    eval(queue, SCRIPT_TAKE, &args, on_taken, taking);
}

/* After a start */

struct hurry {
    struct queue *queue;
    enum queue_lane lane;
    int64_t limit_us;
};

static void hurry_lane(struct hurry *hurry);

static void on_hurry(const struct cm_redis_value *value, const struct cm_err *err,
                     void *ctx)
{
    (void)err;
    if (value != NULL && number_of(value) > 0) {
        hurry_lane(ctx);
    } else {
        free(ctx);
    }
}

static void hurry_lane(struct hurry *hurry)
{
    struct args args = {.count = 0};
    arg_text(&args, lanes[hurry->lane]);
    arg_number(&args, hurry->limit_us);
    arg_number(&args, queue_now_us(hurry->queue));
    eval(hurry->queue, SCRIPT_HURRY, &args, on_hurry, hurry);
}

void queue_hurry(struct queue *queue, int64_t longest_us)
{
    for (int lane = 0; lane < QUEUE_LANES; lane++) {
        struct hurry *hurry = cm_calloc(1, sizeof(*hurry));
        int64_t limit = queue_now_us(queue) + (lane == QUEUE_FIRST ? 0 : longest_us);
        *hurry = (struct hurry){queue, (enum queue_lane)lane, limit};
        hurry_lane(hurry);
    }
}

/* Lookups */

struct asking {
    queue_lookups_cb cb;
    void *ctx;
};

static void on_lookups(const struct cm_redis_value *value, const struct cm_err *err,
                       void *ctx)
{
    struct asking asking = *(struct asking *)ctx;
    struct queue_lookup lookups[QUEUE_LOOKUPS_MAX];
    size_t count = 0;
    (void)err;
    free(ctx);
    if (value == NULL || value->type != CM_REDIS_LIST) {
        asking.cb(NULL, 0, asking.ctx);
        return;
    }
    for (size_t i = 0; i + 1 < value->len && count < QUEUE_LOOKUPS_MAX; i += 2) {
        if (value->items[i].type == CM_REDIS_TEXT) {
            lookups[count++] = (struct queue_lookup){value->items[i].text,
                                                     number_of(&value->items[i + 1])};
        }
    }
    asking.cb(lookups, count, asking.ctx);
}

void queue_lookups(struct queue *queue, queue_lookups_cb cb, void *ctx)
{
    struct asking *asking = cm_calloc(1, sizeof(*asking));
    char last[NUMBER_MAX];
    *asking = (struct asking){cb, ctx};
    snprintf(last, sizeof(last), "%d", QUEUE_LOOKUPS_MAX - 1);
    const char *words[] = {"ZRANGE", "push:lookup", "0", last, "WITHSCORES", NULL};
    cm_redis_words(queue->redis, words, on_lookups, asking);
}

/* Figures */

struct counting {
    queue_figures_cb cb;
    void *ctx;
};

static void on_figures(const struct cm_redis_value *value, const struct cm_err *err,
                       void *ctx)
{
    struct counting counting = *(struct counting *)ctx;
    (void)err;
    free(ctx);
    if (value == NULL || !is_list(value, 4)) {
        counting.cb(NULL, counting.ctx);
        return;
    }
    struct queue_figures figures = {.waiting = number_of(&value->items[0]),
                                    .oldest_us = number_of(&value->items[1]),
                                    .lookups = number_of(&value->items[2]),
                                    .last_ms = number_of(&value->items[3])};
    counting.cb(&figures, counting.ctx);
}

void queue_figures(struct queue *queue, queue_figures_cb cb, void *ctx)
{
    struct counting *counting = cm_calloc(1, sizeof(*counting));
    struct args args = {.count = 0};
    *counting = (struct counting){cb, ctx};
    arg_number(&args, cm_now_wall_ms());
    eval(queue, SCRIPT_FIGURES, &args, on_figures, counting);
}
