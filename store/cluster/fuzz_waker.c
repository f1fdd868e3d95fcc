/* What ss and doveadm print: addresses and names of strangers. The two texts stand one
 * behind the other, with a NUL between. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "waker.h"

#define MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char peers[MAX][16];
    char *accounts[MAX];
    char *text = cm_calloc(1, size + 2);
    memcpy(text, data, size);
    size_t n = waker_peers(text, peers, MAX);
    size_t m =
        waker_accounts(text + strlen(text) + 1, (const unsigned char(*)[16])peers, n,
                       size % 2 == 0, accounts, MAX);
    cm_assert(n <= MAX && m <= MAX);
    for (size_t i = 0; i < m; i++) {
        free(accounts[i]);
    }
    free(text);
    return 0;
}
