/* deploy: deploys both relays of the lab by chatops and keeps the snapshot "deployed".
 *
 *   deploy [--packages DIR] [--no-snapshot]
 *
 * DIR (default: "packages" beside this program) holds portico-chatops_*.deb. The lab
 * must be up and bare ("lab up --bare"). Exit 0 done, 1 failed, 2 usage. */
#include <stdio.h>
#include <string.h>

#include "deploy.h"

static int deploy(const char *packages, const struct deploy_options *options,
                  struct cm_err *err)
{
    struct lab *lab = NULL;
    int rc = lab_open(NULL, packages, &lab, err);
    if (rc == 0 && !lab_is_up(lab)) {
        rc = cm_err_set(err, CM_ERR_WORLD, "the lab is not up; run \"lab up --bare\"");
    }
    if (rc == 0) {
        rc = deploy_all(lab, options, err);
    }
    lab_close(&lab);
    return rc;
}

int main(int argc, char **argv)
{
    struct deploy_options options = {0};
    struct cm_err err;
    const char *packages = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-snapshot") == 0) {
            options.no_snapshot = true;
        } else if (strcmp(argv[i], "--packages") == 0 && i + 1 < argc) {
            packages = argv[++i];
        } else {
            fprintf(stderr, "usage: deploy [--packages DIR] [--no-snapshot]\n");
            return 2;
        }
    }
    int rc = deploy(packages, &options, &err);
    if (rc != 0) {
        fprintf(stderr, "deploy: %s\n", err.text);
    }
    return rc == 0 ? 0 : 1;
}
