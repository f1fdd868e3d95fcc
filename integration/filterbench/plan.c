#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/mem.h"
#include "letters/letters.h"

#define LINE  66 /* 64 characters of armour and a line end: 48 bytes */
#define LINES 930
#define BLOCK                                                                          \
    ((size_t)LINE * LINES) /* as much as a packet of the milter protocol has */
#define INSIDE ((size_t)48 * LINES)

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double bench_cpu(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static const char *block(void)
{
    static char text[LINE * LINES + 1];
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; text[0] == '\0' || i < BLOCK; i++) {
        text[i] = i % LINE == 64 ? '\r' : i % LINE == 65 ? '\n' : set[i * 7 % 64];
    }
    return text;
}

/* SKESK of 40 bytes and a SEIPD that fills the blocks: a line of 48 bytes. */
static char *first_line(size_t body)
{
    unsigned char raw[48] = {0xc3, 40, 4};
    raw[42] = 0xd2;
    raw[43] = 255;
    for (int i = 0; i < 4; i++) {
        raw[44 + i] = (unsigned char)(body >> (24 - 8 * i));
    }
    return letter_armour(raw, sizeof(raw), NULL);
}

void plan_letter(struct letter_plan *plan, const char *from, const char *to,
                 size_t bytes)
{
    plan->blocks = bytes / BLOCK + 1;
    char *armour = first_line(plan->blocks * INSIDE);
    char *text = letter_around(from, to, "large@letters.example", armour);
    char *end = strstr(text, "-----END PGP");
    cm_assert(end != NULL);
    plan->tail = cm_strdup(end);
    plan->head = cm_strndup(text, (size_t)(end - text));
    plan->block = block();
    plan->block_len = BLOCK;
    plan->bytes = strlen(text) + plan->blocks * BLOCK;
    free(text);
    free(armour);
}

void plan_clear(struct letter_plan *plan)
{
    free(plan->head);
    free(plan->tail);
}
