/* deploy: has chatops set up both relays in the running lab and keeps the result as
 * snapshot "deployed", from which the next `lab up` starts in seconds. Already standing
 * on that snapshot: says so and does nothing. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "deploy.h"

static int deploy(struct lab *lab, struct cm_err *err)
{
    if (!lab_is_up(lab)) {
        return cm_err_set(err, CM_ERR_WORLD, "the lab is down; run 'lab up' first");
    }
    if (strcmp(lab_origin(lab), "deployed") == 0) {
        printf("already deployed (snapshot)\n");
        return 0;
    }
    int64_t start = cm_now_mono_ms();
    if (deploy_all(lab, err) != 0) {
        return -1;
    }
    printf("deployed in %.1f s\n", (double)(cm_now_mono_ms() - start) / 1000);
    fflush(stdout);
    return lab_snapshot(lab, "deployed", err);
}

int main(int argc, char **argv)
{
    if (argc != 1) {
        fprintf(stderr, "usage: deploy\n"
                        "Deploys both relays into the running lab with chatops.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    struct cm_err err = {0};
    struct lab *lab = NULL;
    int status =
        lab_open(NULL, NULL, &lab, &err) == 0 && deploy(lab, &err) == 0 ? 0 : 1;
    if (status != 0) {
        fprintf(stderr, "deploy: %s\n", err.text);
    }
    lab_close(&lab);
    return status;
}
