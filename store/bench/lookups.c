#include "lookups.h"

#include <stdio.h>

#include "house.h"

const char LOOKUPS_ANSWER[] =
    "O{\"addr\":\"u000000@" HOUSE_DOMAIN "\",\"home\":\"/tmp/bench-store-XXXXXX/"
    "u000000@" HOUSE_DOMAIN "\",\"uid\":\"vmail\",\"gid\":\"vmail\",\"password\":\""
    "{SHA512-CRYPT}$6$xxxxxxxxxxxxxxxx$"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"}\n";

size_t lookups_known(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    char addr[HOUSE_ACCOUNT_SIZE];
    house_account(addr, (unsigned)(i * 7919 % HOUSE_ACCOUNTS));
    int n = snprintf(out, LOAD_REQUEST_MAX, "Lshared/%sdb/%s%s\t\n",
                     i % 2 == 0 ? "pass" : "user",
                     i % 2 == 0 ? HOUSE_PASSWORD "\"" : "", addr);
    return (size_t)n;
}

size_t lookups_new(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    const char *word = ctx;
    int n = snprintf(out, LOAD_REQUEST_MAX,
                     "Lshared/passdb/" HOUSE_PASSWORD "\"%s%08llu@" HOUSE_DOMAIN "\t\n",
                     word, (unsigned long long)i);
    return (size_t)n;
}
