#include "lookups.h"

#include <stdio.h>

#include "house.h"

const char LOOKUPS_ANSWER[] =
    "O{\"addr\":\"u000000@" HOUSE_DOMAIN "\",\"home\":\"/tmp/bench-store-XXXXXX/"
    "u000000@" HOUSE_DOMAIN "\",\"uid\":\"vmail\",\"gid\":\"vmail\",\"password\":\""
    "{SHA512-CRYPT}$6$xxxxxxxxxxxxxxxx$"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"}\n";

#define LOOKUPS_FROM_SIZE 40

/* A client of one of 65536 networks, by one of four gateways. */
static void lookups_from(char out[LOOKUPS_FROM_SIZE], uint64_t i)
{
    snprintf(out, LOOKUPS_FROM_SIZE, "100.%u.%u.7/10.77.%u.2", (unsigned)(i >> 8 & 255),
             (unsigned)(i & 255), (unsigned)(i % 4 + 1));
}

size_t lookups_known(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    (void)ctx;
    char addr[HOUSE_ACCOUNT_SIZE], from[LOOKUPS_FROM_SIZE];
    house_account(addr, (unsigned)(i * 7919 % HOUSE_ACCOUNTS));
    lookups_from(from, i);
    int n = i % 2 == 0 ? snprintf(out, LOAD_REQUEST_MAX,
                                  "Lshared/passdb-from/%s/" HOUSE_PASSWORD "\"%s\t\n",
                                  from, addr)
                       : snprintf(out, LOAD_REQUEST_MAX, "Lshared/userdb/%s\t\n", addr);
    return (size_t)n;
}

size_t lookups_new(char out[LOAD_REQUEST_MAX], uint64_t i, void *ctx)
{
    const char *word = ctx;
    char from[LOOKUPS_FROM_SIZE];
    lookups_from(from, i);
    int n = snprintf(out, LOAD_REQUEST_MAX,
                     "Lshared/passdb-from/%s/" HOUSE_PASSWORD "\"%s%08llu@" HOUSE_DOMAIN
                     "\t\n",
                     from, word, (unsigned long long)i);
    return (size_t)n;
}
