#include "chat.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/mem.h"

#define PACKAGE        "@deltachat/stdio-rpc-server"
#define VERSION        "2.57.0"
#define NPM_TIMEOUT_MS (5 * 60 * 1000)

char *chat_client_path(struct lab *lab)
{
    struct utsname u;
    bool arm = uname(&u) == 0 && strcmp(u.machine, "aarch64") == 0;
    char *path = state_path(
        lab, "npm/" VERSION "/node_modules/" PACKAGE "-linux-%s/deltachat-rpc-server",
        arm ? "arm64" : "x64");
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

int chat_ready(struct lab *lab, struct cm_err *err)
{
    char *path = chat_client_path(lab);
    if (path) {
        free(path);
        return 0;
    }
    int64_t began = state_begin(lab, "chat client");
    char *prefix = state_path(lab, "npm/" VERSION);
    const char *argv[] = {"npm",       "install",           "--silent",
                          "--no-save", "--no-package-lock", "--prefix",
                          prefix,      PACKAGE "@" VERSION, NULL};
    int rc = tool_argv(err, argv, NPM_TIMEOUT_MS, NULL);
    free(prefix);
    if (rc < 0)
        return cm_err_prefix(err, "chat client (npm package " PACKAGE ")");
    path = chat_client_path(lab);
    if (!path)
        return cm_err_set(err, CM_ERR_WORLD,
                          "npm installed " PACKAGE " but not its program for this "
                          "machine's architecture");
    free(path);
    state_end(lab, "chat client", began);
    return 0;
}
