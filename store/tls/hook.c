#include "hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"

#define TOKEN_MAX 128
#define AUTH_MAX  512

bool hook_called(int argc, char **argv)
{
    return argc == 6 &&
           (strcmp(argv[1], "begin") == 0 || strcmp(argv[1], "done") == 0 ||
            strcmp(argv[1], "failed") == 0);
}

/* base64url, as RFC 8555 8.3 says; so no token is a path. The key authorization has one
 * dot in it. */
static bool plain(const char *text, size_t max, const char *more)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!letter && strchr(more, c) == NULL) {
            return false;
        }
    }
    return n > 0 && n <= max;
}

int hook_run(const char *dir, char **argv)
{
    const char *method = argv[1], *type = argv[2], *token = argv[4], *auth = argv[5];
    struct cm_err err;

    if (strcmp(type, "http-01") != 0 || !plain(token, TOKEN_MAX, "") ||
        !plain(auth, AUTH_MAX, ".")) {
        return 1;
    }
    char *path = cm_asprintf("%s/%s", dir, token);
    int status = 0;
    if (strcmp(method, "begin") != 0) {
        (void)unlink(path);
    } else if (cm_file_replace(path, auth, strlen(auth), 0644, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "challenge", &err);
        status = 1;
    }
    free(path);
    return status;
}
