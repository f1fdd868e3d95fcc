/* scrape: asks chatmail-web for /metrics over loopback, without blocking. */
#ifndef MONITOR_SCRAPE_H
#define MONITOR_SCRAPE_H

#include <stdint.h>

#include "common/loop.h"

#define SCRAPE_LIMIT_MS 8000
#define SCRAPE_MAX      (8u << 20)

struct scrape;

/* text: the body, NUL-terminated, valid during the call; NULL: it failed, reason says
 * why. Once per question. */
typedef void (*scrape_cb)(const char *text, const char *reason, void *ctx);

struct scrape *scrape_new(struct cm_loop *loop, uint16_t port, scrape_cb cb, void *ctx);
void scrape_free(struct scrape **scrape);
/* Another port, from the next question on. */
void scrape_port(struct scrape *scrape, uint16_t port);
/* Asks, unless a question is under way. */
void scrape_ask(struct scrape *scrape);

#endif
