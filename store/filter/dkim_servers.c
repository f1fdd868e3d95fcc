#include "dkim_servers.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DNS_PORT "53"
#define BLANKS   " \t"

/* "ADDRESS" or "ADDRESS@PORT". getaddrinfo, because it knows "%eth0" behind fe80::. */
static bool add(struct dkim_servers *s, const char *word, size_t len)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    char text[128];
    snprintf(text, sizeof(text), "%.*s", (int)len, word);
    char *port = strrchr(text, '@');
    if (port != NULL) {
        *port++ = '\0';
    }
    if (getaddrinfo(text, port != NULL ? port : DNS_PORT, &hints, &found) != 0) {
        return false;
    }
    if (s->count < DKIM_SERVERS_MAX) {
        memcpy(&s->address[s->count], found->ai_addr, found->ai_addrlen);
        s->len[s->count++] = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return true;
}

int dkim_servers_parse(struct dkim_servers *s, const char *list, struct cm_err *err)
{
    struct dkim_servers parsed = {0};
    for (;;) {
        list += strspn(list, BLANKS);
        size_t n = strcspn(list, BLANKS);
        if (n == 0) {
            break;
        }
        if (!add(&parsed, list, n)) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "%.*s is not the address of a resolver", (int)n, list);
        }
        list += n;
    }
    if (parsed.count == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "no resolver is named");
    }
    *s = parsed;
    return 0;
}

void dkim_servers_resolv_conf(struct dkim_servers *s, const char *text)
{
    static const char key[] = "nameserver";
    *s = (struct dkim_servers){0};
    while (*text != '\0') {
        size_t n = strcspn(text, "\r\n");
        const char *value = text + sizeof(key) - 1;
        if (n >= sizeof(key) && strncmp(text, key, sizeof(key) - 1) == 0 &&
            strchr(BLANKS, *value) != NULL) {
            value += strspn(value, BLANKS);
            add(s, value, strcspn(value, " \t\r\n"));
        }
        text += n + (text[n] != '\0');
    }
    if (s->count == 0) {
        add(s, "127.0.0.1", strlen("127.0.0.1"));
    }
}
