/* deploy: deploys both relays of the lab by chatops and keeps the snapshot "deployed".
 *
 *   deploy [--packages DIR] [--no-snapshot]
 *
 * DIR (default: "packages" beside this program) holds portico-chatops_*.deb. The lab
 * must be up and bare ("lab up --bare"). Exit 0 done, 1 failed, 2 usage. */
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "deploy.h"

static char *default_packages(void)
{
    char path[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    return cm_asprintf("%s/packages", n > 0 ? dirname(path) : ".");
}

/* NULL when there is not exactly one. */
static char *find_deb(const char *dir)
{
    glob_t found = {0};
    char *pattern = cm_asprintf("%s/portico-chatops_*.deb", dir);
    char *deb = NULL;
    if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1) {
        deb = cm_strdup(found.gl_pathv[0]);
    }
    globfree(&found);
    free(pattern);
    return deb;
}

static int deploy(const char *dir, struct deploy_options *options, struct cm_err *err)
{
    struct lab *lab = NULL;
    char *deb = find_deb(dir);
    if (deb == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "%s: not exactly one portico-chatops_*.deb", dir);
    }
    options->chatops_deb = deb;
    int rc = lab_open(NULL, dir, &lab, err);
    if (rc == 0 && !lab_is_up(lab)) {
        rc = cm_err_set(err, CM_ERR_WORLD, "the lab is not up; run \"lab up --bare\"");
    }
    if (rc == 0) {
        rc = deploy_all(lab, options, err);
    }
    lab_close(&lab);
    free(deb);
    return rc;
}

int main(int argc, char **argv)
{
    struct deploy_options options = {0};
    struct cm_err err;
    char *dir = default_packages();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-snapshot") == 0) {
            options.no_snapshot = true;
        } else if (strcmp(argv[i], "--packages") == 0 && i + 1 < argc) {
            free(dir);
            dir = cm_strdup(argv[++i]);
        } else {
            fprintf(stderr, "usage: deploy [--packages DIR] [--no-snapshot]\n");
            free(dir);
            return 2;
        }
    }
    int rc = deploy(dir, &options, &err);
    if (rc != 0) {
        fprintf(stderr, "deploy: %s\n", err.text);
    }
    free(dir);
    return rc == 0 ? 0 : 1;
}
