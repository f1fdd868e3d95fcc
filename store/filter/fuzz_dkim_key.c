/* Any bytes as a key record. Blanks and quotes between them change nothing; a key that
 * was accepted can be used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#include "dkim_key.h"

static void spaced_is(const char *p, size_t len, enum dkim_flaw flaw)
{
    static const char fill[] = " \t\r\n\"";
    char *text = cm_malloc(2 * len);
    struct dkim_key k;
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = p[i];
        text[2 * i + 1] = fill[i % 5];
    }
    dkim_key_read(&k, text, 2 * len);
    cm_assert(k.flaw == flaw);
    dkim_key_clear(&k);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char hash[DKIM_HASH_SIZE], sig[DKIM_SIG_SIZE_MAX] = {1};
    struct dkim_key k;
    dkim_key_read(&k, (const char *)data, size);
    cm_assert((k.pubkey != NULL) == (k.flaw == DKIM_FLAW_NONE));
    if (k.flaw == DKIM_FLAW_NONE && size < 512) { /* a key of 8192 bits is slow */
        cm_assert(!dkim_pubkey_fits(k.pubkey, hash, sig, 1 + size));
    }
    if (2 * size <= DKIM_RECORD_MAX) {
        spaced_is((const char *)data, size, k.flaw);
    }
    dkim_key_clear(&k);
    return 0;
}
