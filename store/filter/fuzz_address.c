/* An address that was extracted is extracted again from itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#include "address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cm_strndup((const char *)data, size);
    char addr[ADDRESS_SIZE], again[ADDRESS_SIZE], angle[ADDRESS_SIZE + 2];
    if (address_first(text, addr)) {
        size_t len = strlen(addr);
        cm_assert(len > 0 && len <= ADDRESS_MAX);
        angle[0] = '<';
        memcpy(angle + 1, addr, len);
        memcpy(angle + 1 + len, ">", 2);
        cm_assert(address_first(angle, again));
        cm_assert(strcmp(addr, again) == 0);
        const char *domain = address_domain(addr);
        cm_assert(domain == NULL || (domain > addr && domain[-1] == '@'));
        if (domain != NULL) {
            address_is_literal(domain, NULL);
        }
    }
    if (address_command(text, addr) && address_account(addr, again)) {
        char third[ADDRESS_SIZE];
        cm_assert(strlen(again) <= ADDRESS_MAX && strchr(again, '@') != NULL);
        if (address_account(again, third) && strpbrk(again, "\"\\ ") == NULL) {
            cm_assert(strcmp(again, third) == 0);
        }
    }
    free(text);
    return 0;
}
