#include "sockets.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 4

/* "  12: 0100007F:C350 ...": the address as words of this machine's order. */
static size_t read_local(const char *line, uint32_t words[WORDS_MAX], unsigned *port_r)
{
    const char *colon = strchr(line, ':');
    char hex[8 * WORDS_MAX + 1] = "";
    if (colon == NULL || sscanf(colon + 1, " %32[0-9A-F]:%4X", hex, port_r) != 2) {
        return 0;
    }
    size_t n = strlen(hex) / 8;
    for (size_t i = 0; i < n; i++) {
        if (sscanf(hex + 8 * i, "%8X", &words[i]) != 1) {
            return 0;
        }
    }
    return n;
}

static bool is_ours(const uint32_t words[WORDS_MAX], size_t n,
                    const struct settings *settings)
{
    for (size_t i = 0; i < settings->address_count; i++) {
        const struct sockaddr_in *in = (const void *)&settings->addresses[i];
        const struct sockaddr_in6 *in6 = (const void *)&settings->addresses[i];
        bool v6 = in->sin_family == AF_INET6;
        if (n == (v6 ? 4 : 1) &&
            memcmp(words, v6 ? (const void *)&in6->sin6_addr : &in->sin_addr, 4 * n) ==
                0) {
            return true;
        }
    }
    return false;
}

size_t sockets_count(const char *text, const struct settings *settings)
{
    size_t count = 0;
    /* The first line names the columns. */
    for (const char *line = strchr(text, '\n'); line != NULL && line[1] != '\0';
         line = strchr(line + 1, '\n')) {
        uint32_t words[WORDS_MAX];
        unsigned port = 0;
        size_t n = read_local(line + 1, words, &port);
        count += n > 0 && (int)port >= settings->port_min &&
                 (int)port <= settings->port_max && is_ours(words, n, settings);
    }
    return count;
}
