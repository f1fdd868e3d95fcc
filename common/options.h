/* options: the command line of a daemon, as one table that is parser and help.
 *
 * Only long options, each with a value: --NAME VALUE. --help and --version are added to
 * every table. */
#ifndef CM_OPTIONS_H
#define CM_OPTIONS_H

#include <stddef.h>

struct cm_option {
    const char *name;  /* "config"; NULL ends the table */
    const char *value; /* what stands for it in the help: "FILE" */
    const char *help;
    const char **field; /* holds the default, shown in the help; set to the argument */
    size_t max;         /* longest argument; 0: any. Unix socket: CM_OPTION_PATH_MAX */
};

#define CM_OPTION_PATH_MAX 107 /* what fits into sockaddr_un */

/* about: a sentence or two, wrapped at 78 columns, ends in a line feed.
 * Returns -1 to go on, else the exit status for main(): 0 after help and version, 2
 * when used wrongly (said on stderr). version may be NULL in tests. */
int cm_options_parse(const char *program, const char *version, const char *about,
                     const struct cm_option *options, int argc, char **argv);

#endif
