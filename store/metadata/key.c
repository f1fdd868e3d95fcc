#include "key.h"

#include <stddef.h>
#include <string.h>

#define SERVER "vendor/vendor.dovecot/pvt/server/vendor/deltachat/"

static const struct {
    const char *space;
    const char *name;
    enum key key;
} keys[] = {
    {"priv/", "devicetoken", KEY_TOKEN},
    {"priv/", "messagenew", KEY_NEW_MESSAGE},
    {"shared/", SERVER "irohrelay", KEY_IROH_RELAY},
    {"shared/", SERVER "turn", KEY_TURN},
    {"shared/", SERVER "maxsmtprecipients", KEY_MAX_RECIPIENTS},
    {"shared/", SERVER "appversions", KEY_APP_VERSIONS},
};

enum key key_parse(const char *text)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t len = strlen(keys[i].space);
        if (strncmp(text, keys[i].space, len) != 0) {
            continue;
        }
        const char *slash = strchr(text + len, '/');
        if (slash != NULL && strcmp(slash + 1, keys[i].name) == 0) {
            return keys[i].key;
        }
    }
    return KEY_OTHER;
}
