#include "common/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define OPTIONS_MAX 16
#define HELP_WIDTH  78

enum { OPT_HELP = 256, OPT_VERSION, OPT_FIRST }; /* beyond getopt's '?' */

static size_t count_of(const struct cm_option *options)
{
    size_t n = 0;
    while (options[n].name != NULL) {
        n++;
    }
    cm_assert(n <= OPTIONS_MAX);
    return n;
}

static int widest(const struct cm_option *options)
{
    size_t most = strlen("version");
    for (const struct cm_option *o = options; o->name != NULL; o++) {
        size_t len = strlen(o->name) + 1 + strlen(o->value);
        most = len > most ? len : most;
    }
    return (int)most;
}

/* The default gets a line of its own where it would not fit behind the help. */
static void print_option(const struct cm_option *o, int width)
{
    char left[80];
    snprintf(left, sizeof(left), "%s %s", o->name, o->value);
    int used = printf("  --%-*s  %s", width, left, o->help);
    const char *initial = *o->field;
    if (initial == NULL || initial[0] == '\0') {
        printf("\n");
    } else if (used + 3 + (int)strlen(initial) <= HELP_WIDTH) {
        printf(" [%s]\n", initial);
    } else {
        printf("\n  %*s  [%s]\n", width + 2, "", initial);
    }
}

static void print_help(const char *program, const char *about,
                       const struct cm_option *options)
{
    int width = widest(options);
    printf("usage: %s [options]\n%sSee %s(8).\n\n", program, about, program);
    for (const struct cm_option *o = options; o->name != NULL; o++) {
        print_option(o, width);
    }
    printf("  --%-*s  this text\n", width, "help");
    printf("  --%-*s  the version\n", width, "version");
}

static int wrong(const char *program, const char *what, const char *subject)
{
    fprintf(stderr, "%s: %s%s; try %s --help\n", program, what, subject, program);
    return 2;
}

static int take(const char *program, const struct cm_option *option)
{
    if (option->max > 0 && strlen(optarg) > option->max) {
        fprintf(stderr, "%s: --%s is too long; at most %zu bytes fit\n", program,
                option->name, option->max);
        return 2;
    }
    *option->field = optarg;
    return -1;
}

int cm_options_parse(const char *program, const char *version, const char *about,
                     const struct cm_option *options, int argc, char **argv)
{
    size_t n = count_of(options);
    struct option longs[OPTIONS_MAX + 3] = {
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION}};
    for (size_t i = 0; i < n; i++) {
        longs[i + 2] = (struct option){options[i].name, required_argument, NULL,
                                       OPT_FIRST + (int)i};
    }
    int status = -1, opt;
    optind = 1;
    while (status < 0 && (opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (opt == OPT_HELP) {
            print_help(program, about, options);
            return 0;
        }
        if (opt == OPT_VERSION) {
            printf("%s %s\n", program, version != NULL ? version : "");
            return 0;
        }
        if (opt < OPT_FIRST) { /* getopt has said which */
            fprintf(stderr, "try %s --help\n", program);
            return 2;
        }
        status = take(program, &options[opt - OPT_FIRST]);
    }
    if (status < 0 && optind < argc) {
        return wrong(program, "not an option: ", argv[optind]);
    }
    return status;
}
