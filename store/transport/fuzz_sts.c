/* Any bytes as an MTA-STS record and as a policy. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sts_policy policy;
    struct cm_err err;
    char id[STS_ID_MAX];
    char *text = cm_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (sts_record_parse(text, id)) {
        cm_assert(id[0] != '\0' && strpbrk(id, " ;=") == NULL);
    }
    if (sts_policy_parse((const char *)data, size, &policy, &err) == 0) {
        cm_assert(policy.max_age_s >= 0 && policy.max_age_s <= STS_AGE_MAX_S);
        cm_assert(policy.mode == STS_NONE || policy.mx_count > 0);
        for (size_t i = 0; i < policy.mx_count; i++) {
            /* It is kept as words of a line. */
            cm_assert(policy.mx[i][0] != '\0' && strpbrk(policy.mx[i], " \n") == NULL);
            (void)sts_pattern_matches(policy.mx[i], text);
        }
    }
    free(text);
    return 0;
}
