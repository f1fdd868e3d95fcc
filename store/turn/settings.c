#include "settings.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int add_address(struct settings *s, const char *text, struct cm_err *err)
{
    if (s->address_count == SETTINGS_ADDRESSES_MAX) {
        return cm_err_set(err, CM_ERR_WORLD, "more than %d listening-ip",
                          SETTINGS_ADDRESSES_MAX);
    }
    struct sockaddr_storage *a = &s->addresses[s->address_count];
    struct sockaddr_in *in = (void *)a;
    struct sockaddr_in6 *in6 = (void *)a;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        a->ss_family = AF_INET;
    } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        a->ss_family = AF_INET6;
    } else {
        return cm_err_set(err, CM_ERR_WORLD, "listening-ip=%.60s is no address", text);
    }
    if (s->address_count > 0 && s->addresses[0].ss_family == a->ss_family) {
        return cm_err_set(err, CM_ERR_WORLD, "two listening-ip of one family");
    }
    s->address_count++;
    return 0;
}

static int read_port(const char *name, const char *text, int *port_r,
                     struct cm_err *err)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 1 || n > 65535) {
        return cm_err_set(err, CM_ERR_WORLD, "%s=%.20s is no port", name, text);
    }
    *port_r = (int)n;
    return 0;
}

static void set_port(struct settings *s, int port)
{
    for (size_t i = 0; i < s->address_count; i++) {
        struct sockaddr_in *in = (void *)&s->addresses[i];
        struct sockaddr_in6 *in6 = (void *)&s->addresses[i];
        if (in->sin_family == AF_INET) {
            in->sin_port = htons((uint16_t)port);
        } else {
            in6->sin6_port = htons((uint16_t)port);
        }
    }
}

int settings_parse(char *text, struct settings *settings_r, struct cm_err *err)
{
    struct settings s = {.address_count = 0};
    int port = 0, rc = 0;
    const struct {
        const char *name;
        int *field;
    } ports[] = {{"listening-port", &port},
                 {"min-port", &s.port_min},
                 {"max-port", &s.port_max}};
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL && rc == 0;
         line = strtok_r(NULL, "\n", &save)) {
        char *value = strchr(line, '=');
        if (value == NULL) {
            continue;
        }
        *value++ = '\0';
        if (strcmp(line, "listening-ip") == 0) {
            rc = add_address(&s, value, err);
        }
        for (size_t i = 0; rc == 0 && i < sizeof(ports) / sizeof(ports[0]); i++) {
            if (strcmp(line, ports[i].name) == 0) {
                rc = read_port(ports[i].name, value, ports[i].field, err);
            }
        }
    }
    if (rc == 0 && (s.address_count == 0 || port == 0 || s.port_min == 0 ||
                    s.port_max < s.port_min)) {
        rc = cm_err_set(err, CM_ERR_WORLD,
                        "no listening-ip, listening-port, min-port and max-port");
    }
    if (rc == 0) {
        set_port(&s, port);
        *settings_r = s;
    }
    return rc;
}
