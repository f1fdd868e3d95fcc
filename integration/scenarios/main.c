/* scenario: plays scenarios in the running, deployed lab and says which promises held.
 *
 *   scenario NAME...|all|--list [--quick]
 *
 * "all" leaves out those that are played by name only; --list marks them.
 *
 * One line per scenario, at the end "N passed, N failed"; exit 0 all held, 1 not, 2
 * usage. Each runs in a process of its own that is killed when its time is over. Before
 * the first and after each one the cluster is healed: nodes that are off or cut come
 * back, what the scenario broke is restored, both gateways must report to be well. A
 * scenario after which that fails has failed. --quick shortens waits. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "play.h"
#include "scenario.h"

static int usage(void)
{
    fprintf(stderr, "usage: scenario NAME...|all|--list [--quick]\n");
    return 2;
}

static bool by_name_only(const struct scenario *scenario)
{
    for (const char *const *name = scenarios_by_name; *name != NULL; name++) {
        if (strcmp(*name, scenario->name) == 0) {
            return true;
        }
    }
    return false;
}

static int list(void)
{
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        printf("%-20s %s%s\n", s->name, s->shows, by_name_only(s) ? " (by name)" : "");
    }
    return 0;
}

static const struct scenario *find(const char *name)
{
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        if (strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

/* Runs one; returns whether it passed. *well: whether the cluster is fit for another.
 */
static bool play(const struct scenario *s, bool quick, bool *well)
{
    char text[PLAY_TEXT];
    char trouble[PLAY_TEXT] = "";
    int64_t start = cm_now_mono_ms();
    printf("%s ... ", s->name);
    fflush(stdout);
    if (!*well && play_heal(NULL, quick, text) != 0) {
        printf("FAILED not started: %s\n", text);
        return false;
    }
    bool passed = play_run(s, quick, text) == 0;
    double took = (double)(cm_now_mono_ms() - start) / 1000;
    *well = play_heal(s, quick, trouble) == 0;
    if (passed && *well) {
        printf("ok %.1f s%s%s%s\n", took, text[0] != '\0' ? "  (" : "", text,
               text[0] != '\0' ? ")" : "");
    } else {
        printf("FAILED %.1f s  %s%s%s\n", took, passed ? "" : text,
               passed || *well ? "" : "; ", trouble);
    }
    fflush(stdout);
    return passed && *well;
}

/* True when `scenario` is among the words, or all are asked for. */
static bool wanted(const struct scenario *scenario, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if ((strcmp(argv[i], "all") == 0 && !by_name_only(scenario)) ||
            strcmp(argv[i], scenario->name) == 0) {
            return true;
        }
    }
    return false;
}

static void say_left_out(int argc, char **argv)
{
    const char *sep = "by name only: ";
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        if (by_name_only(s) && !wanted(s, argc, argv)) {
            printf("%s%s", sep, s->name);
            sep = " ";
        }
    }
    printf("%s", *sep == ' ' ? "\n" : "");
}

/* Returns 0 when every word is known. *names_r: how many name something to play. */
static int check_words(int argc, char **argv, bool *quick_r, int *names_r)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            *quick_r = true;
        } else if (strcmp(argv[i], "all") == 0 || find(argv[i]) != NULL) {
            ++*names_r;
        } else {
            fprintf(stderr, "scenario: no scenario '%s'; --list shows all\n", argv[i]);
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    bool quick = false, well = false;
    int names = 0;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    if (check_words(argc, argv, &quick, &names) != 0 || names == 0) {
        return usage();
    }
    for (const struct scenario *s = scenarios; s->name != NULL; s++) {
        if (wanted(s, argc, argv)) {
            *(play(s, quick, &well) ? &passed : &failed) += 1;
        }
    }
    say_left_out(argc, argv);
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
