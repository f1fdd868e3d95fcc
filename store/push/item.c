#include "item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/mem.h"

void item_key(const char *addr, const void *token, size_t len,
              char key_r[ITEM_KEY_LEN + 1])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cm_assert(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, addr, strlen(addr) + 1) == 1 &&
              EVP_DigestUpdate(ctx, token, len) == 1 &&
              EVP_DigestFinal_ex(ctx, md, NULL) == 1);
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; i < ITEM_KEY_LEN / 2; i++) {
        snprintf(key_r + 2 * i, 3, "%02x", md[i]);
    }
}

struct item *item_new(const char *addr, const void *token, size_t len)
{
    struct item *item = cm_calloc(1, sizeof(*item));
    item_key(addr, token, len, item->key);
    item->addr = cm_strdup(addr);
    item->token = cm_malloc(len + 1);
    memcpy(item->token, token, len);
    item->token[len] = '\0';
    item->len = len;
    return item;
}

void item_free(struct item **item)
{
    if (*item == NULL) {
        return;
    }
    cm_wipe((*item)->token, (*item)->len);
    free((*item)->token);
    free((*item)->addr);
    free(*item);
    *item = NULL;
}
