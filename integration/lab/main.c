/* lab: brings up, breaks and mends a whole Portico cluster on this machine.
 *
 *   lab up [--bare] [--snapshot NAME]   lab down            lab status
 *   lab exec NODE -- CMD...             lab stop NODE       lab start NODE
 *   lab cut NODE                        lab heal NODE       lab snapshot NAME
 *   lab restore NAME                    lab zone NAME FILE
 *
 * Nodes are real Debian 12 under systemd-nspawn; the state lies in /var/lib/portico-lab
 * ($PORTICO_LAB_DIR). It opens no socket and touches no network but its own namespaces.
 * It trusts its user, who is root. Our own packages are taken from the directory
 * "packages" beside this program ($PORTICO_PACKAGES).
 *
 * Known limits: one wall clock for all nodes; cgroup limits inside nodes are accepted
 * but not enforced on hosts with cgroup v1; delay and loss are not simulated.
 *
 * Exit: 0 done, 1 failed, 2 wrong usage; `exec` gives the command's own code. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"

#include "lab.h"

#define ZONE_FILE_MAX (1 << 20)

struct verb {
    const char *name;
    const char *arguments;
    const char *help;
    int min, max; /* words after the verb; max -1: no limit */
    int (*run)(struct lab *lab, int argc, char **argv, struct cm_err *err);
};

static int usage_error(struct cm_err *err, const char *text, const char *word)
{
    return cm_err_set(err, CM_ERR_REFUSE, "%s \"%s\"; see lab --help", text, word);
}

static int verb_up(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    struct lab_up options = {0};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--bare") == 0)
            options.bare = true;
        else if (strcmp(argv[i], "--snapshot") == 0 && i + 1 < argc)
            options.snapshot = argv[++i];
        else
            return usage_error(err, "up does not know", argv[i]);
    }
    int rc = lab_up(lab, &options, err);
    if (rc < 0)
        return -1;
    const char *origin = lab_origin(lab);
    printf("%s, from %s%s. `lab status` shows the nodes.\n",
           rc == 1 ? "The lab is up already" : "The lab is up",
           *origin ? "snapshot " : "bare Debian", origin);
    return 0;
}

static int verb_down(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc, (void)argv;
    return lab_down(lab, err);
}

static int verb_status(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc, (void)argv, (void)err;
    char *text = lab_status_text(lab);
    fputs(text, stdout);
    free(text);
    return 0;
}

static int verb_exec(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (first >= argc)
        return usage_error(err, "no command for node", argv[0]);
    struct lab_argv full;
    if (lab_argv_in(lab, argv[0], (const char *const *)(argv + first), &full, err) < 0)
        return -1;
    execvp(full.words[0], (char *const *)(uintptr_t)full.words);
    return cm_err_set(err, CM_ERR_WORLD, "%s: %s", full.words[0], strerror(errno));
}

static int verb_stop(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_stop(lab, argv[0], err);
}

static int verb_start(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_start(lab, argv[0], err);
}

static int verb_cut(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_cut(lab, argv[0], err);
}

static int verb_heal(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_heal(lab, argv[0], err);
}

static int verb_snapshot(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_snapshot(lab, argv[0], err);
}

static int verb_restore(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    return lab_restore(lab, argv[0], err);
}

static int verb_zone(struct lab *lab, int argc, char **argv, struct cm_err *err)
{
    (void)argc;
    const char *path = strcmp(argv[1], "-") == 0 ? "/dev/stdin" : argv[1];
    char *text = NULL;
    size_t len;
    int found = cm_file_read(path, ZONE_FILE_MAX, &text, &len, err);
    if (found == 0)
        cm_err_set(err, CM_ERR_REFUSE, "%s: no such file", path);
    if (found < 1)
        return -1;
    int rc = lab_zone(lab, argv[0], text, err);
    free(text);
    return rc;
}

static const struct verb verbs[] = {
    {"up", "[--bare] [--snapshot NAME]",
     "boot all nodes; from snapshot \"deployed\" when it fits", 0, 3, verb_up},
    {"down", "", "power all nodes off and clear everything away", 0, 0, verb_down},
    {"status", "", "one line per node", 0, 0, verb_status},
    {"exec", "NODE -- CMD...", "run a command inside a node", 2, -1, verb_exec},
    {"stop", "NODE", "power cut", 1, 1, verb_stop},
    {"start", "NODE", "boot a stopped node", 1, 1, verb_start},
    {"cut", "NODE", "silence on its links; it keeps running", 1, 1, verb_cut},
    {"heal", "NODE", "end of the silence", 1, 1, verb_heal},
    {"snapshot", "NAME", "keep the disks of all nodes", 1, 1, verb_snapshot},
    {"restore", "NAME", "boot all nodes from a snapshot", 1, 1, verb_restore},
    {"zone", "NAME FILE", "make FILE the content of a DNS zone (\"-\": stdin)", 2, 2,
     verb_zone},
};
#define VERBS (sizeof verbs / sizeof *verbs)

static void help(FILE *to)
{
    fputs("lab: a Portico cluster on this machine\n\n", to);
    for (size_t i = 0; i < VERBS; i++) {
        char call[64];
        snprintf(call, sizeof call, "%s %s", verbs[i].name, verbs[i].arguments);
        fprintf(to, "  lab %-33s %s\n", call, verbs[i].help);
    }
    fputs("\nNodes:", to);
    for (size_t i = 0; i < lab_node_count(); i++)
        fprintf(to, " %s", lab_node_name(i));
    fputs(
        "\nPORTICO_LAB_DIR: state, default /var/lib/portico-lab. PORTICO_PACKAGES: our "
        ".deb files,\ndefault the directory packages beside this program.\n",
        to);
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    struct cm_err err = {0};
    struct lab *lab = NULL;
    if (argc < verb->min || (verb->max >= 0 && argc > verb->max)) {
        fprintf(stderr, "usage: lab %s %s\n", verb->name, verb->arguments);
        return 2;
    }
    int rc = lab_open(NULL, NULL, &lab, &err);
    if (rc == 0)
        rc = verb->run(lab, argc, argv, &err);
    lab_close(&lab);
    if (rc < 0)
        fprintf(stderr, "lab: %s\n", err.text);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        help(stdout);
        return 0;
    }
    const struct verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;
    if (!verb) {
        help(stderr);
        return 2;
    }
    return run_verb(verb, argc - 2, argv + 2);
}
