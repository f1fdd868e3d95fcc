/* item: one notification: a device token that is to be posted once. */
#ifndef PUSH_ITEM_H
#define PUSH_ITEM_H

#include <stddef.h>
#include <stdint.h>

#define ITEM_KEY_LEN 32

struct item {
    char key[ITEM_KEY_LEN + 1]; /* names (addr, token) */
    int64_t start_us; /* when its bell rang; names it among those of its key */
    unsigned tries;   /* made so far */
    char *addr;
    char *token; /* any bytes */
    size_t len;
};

/* Hex of half a SHA-256 of the address, NUL and the token. */
void item_key(const char *addr, const void *token, size_t len,
              char key_r[ITEM_KEY_LEN + 1]);

/* Copies; start and tries are 0. */
struct item *item_new(const char *addr, const void *token, size_t len);
void item_free(struct item **item); /* wiped; accepts a pointer to NULL */

#endif
