/* tree-report DIR: what the source tree looks like, and whether it keeps its rules.
 *
 * Prints one line per directory: files, lines, functions, median and 90th percentile of
 * the functions' length, and the share of comment lines in headers and in .c files.
 * Then checks what the compiler cannot: the include directions of docs/architecture.md
 * over the text itself (tests and fuzz targets included), the format, and that every
 * header says what it is in its first line. Ends with "N passed, N failed". */
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIRS      64
#define MAX_FUNCTIONS 4096

/* Who may include whom. The first row whose `from` is a prefix of the file's path
 * decides; a directory may always include itself. */
static const struct direction {
    const char *from;
    const char *may[10];
} directions[] = {
    {"common/", {"common/"}},
    {"proxy/", {"common/", "proxy/"}},
    {"gateway/", {"common/", "proxy/"}},
    {"store/cluster/", {"common/", "proxy/", "ingress/"}},
    {"store/ingress/", {"common/", "proxy/"}},
    {"store/", {"common/"}},
    {"ops/probe/", {"common/", "probe/"}},
    {"ops/", {"common/", "proxy/", "ops/", "probe/"}},
    {"integration/",
     {"common/", "proxy/", "ops/", "lab/", "chat/", "probe/", "deploy/", "integration/",
      "ingress/"}},
    {"tools/", {NULL}},
    {"cmake/", {NULL}},
};

static const char *const rooms[] = {"common/", "proxy/", "gateway/", "store/",
                                    "ops/",    "lab/",   "chat/",    "probe/",
                                    "deploy/", "road/",  "ingress/", "integration/"};

struct dir_sum {
    char path[256];
    unsigned files;
    unsigned functions[MAX_FUNCTIONS]; /* lengths */
    unsigned function_count;
    unsigned c_lines, c_comments, h_lines, h_comments;
};

static struct dir_sum *sums[MAX_DIRS];
static unsigned sum_count;
static unsigned passed, failed, bad_includes, bad_headers;

static struct dir_sum *sum_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    int n = slash != NULL ? (int)(slash - path) : 0;
    for (unsigned i = 0; i < sum_count; i++) {
        if (strncmp(sums[i]->path, path, (size_t)n) == 0 && sums[i]->path[n] == 0) {
            return sums[i];
        }
    }
    if (sum_count == MAX_DIRS) {
        fprintf(stderr, "tree-report: more than %d directories\n", MAX_DIRS);
        exit(1);
    }
    struct dir_sum *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        abort();
    }
    snprintf(s->path, sizeof(s->path), "%.*s", n, path);
    return sums[sum_count++] = s;
}

static const struct direction *direction_of(const char *path)
{
    for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++) {
        if (strncmp(path, directions[i].from, strlen(directions[i].from)) == 0) {
            return &directions[i];
        }
    }
    return NULL;
}

static bool may_include(const struct direction *d, const char *target)
{
    for (size_t i = 0; i < sizeof(d->may) / sizeof(d->may[0]) && d->may[i] != NULL;
         i++) {
        if (strncmp(target, d->may[i], strlen(d->may[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void check_include(const char *path, unsigned line, const char *text)
{
    char target[256];
    const struct direction *d = direction_of(path);
    if (d == NULL || sscanf(text, " # include \"%255[^\"]\"", target) != 1 ||
        strncmp(target, d->from, strlen(d->from)) == 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        if (strncmp(target, rooms[i], strlen(rooms[i])) == 0 &&
            !may_include(d, target)) {
            printf("  %s:%u: %s may not include %s\n", path, line, d->from, target);
            bad_includes++;
        }
    }
    if (strstr(target, "..") != NULL) {
        printf("  %s:%u: include by a relative way up: %s\n", path, line, target);
        bad_includes++;
    }
}

struct scan {
    bool header;
    bool comment; /* inside a block comment */
    unsigned body_start;
};

static bool is_comment_line(struct scan *s, const char *text)
{
    const char *p = text + strspn(text, " \t");
    bool starts = strncmp(p, "/*", 2) == 0 || strncmp(p, "//", 2) == 0;
    bool was = s->comment;
    if (was || strncmp(p, "/*", 2) == 0) {
        s->comment = strstr(p, "*/") == NULL;
    }
    return was || starts;
}

/* With the project's clang-format a function body is what stands between a '{' and a
 * '}' in column 0. */
static void scan_line(struct scan *s, struct dir_sum *sum, unsigned line,
                      const char *text)
{
    bool comment = is_comment_line(s, text);
    if (s->header) {
        sum->h_lines++;
        sum->h_comments += comment;
        return;
    }
    sum->c_lines++;
    sum->c_comments += comment;
    if (text[0] == '{') {
        s->body_start = line;
    } else if (text[0] == '}' && text[1] == '\n' && s->body_start != 0) {
        if (sum->function_count < MAX_FUNCTIONS) {
            sum->functions[sum->function_count++] = line - s->body_start + 2;
        }
        s->body_start = 0;
    }
}

static void read_source(const char *path, const char *name)
{
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    struct dir_sum *sum = sum_of(name);
    struct scan s = {.header = strcmp(name + strlen(name) - 2, ".h") == 0};
    char *text = NULL;
    size_t cap = 0;
    sum->files++;
    for (unsigned line = 1; getline(&text, &cap, f) > 0; line++) {
        if (line == 1 && s.header && strncmp(text, "/* ", 3) != 0) {
            printf("  %s:1: a header begins by saying what it is\n", name);
            bad_headers++;
        }
        scan_line(&s, sum, line, text);
        check_include(name, line, text);
    }
    free(text);
    fclose(f);
}

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void walk(char *top)
{
    char *paths[] = {top, NULL};
    FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    for (FTSENT *e; fts != NULL && (e = fts_read(fts)) != NULL;) {
        if (e->fts_info == FTS_D && e->fts_level > 0 &&
            (e->fts_name[0] == '.' || strncmp(e->fts_name, "build", 5) == 0 ||
             strcmp(e->fts_name, "node_modules") == 0)) {
            fts_set(fts, e, FTS_SKIP);
        } else if (e->fts_info == FTS_F && is_source(e->fts_name)) {
            read_source(e->fts_path, e->fts_path + strlen(top) + 1);
        }
    }
    if (fts != NULL) {
        fts_close(fts);
    }
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

static void print_sum(struct dir_sum *s)
{
    unsigned n = s->function_count;
    qsort(s->functions, n, sizeof(s->functions[0]), by_value);
    printf("%-22s %5u %6u %5u %6u %5u %5u%% %5u%%\n", s->path, s->files,
           s->c_lines + s->h_lines, n, n ? s->functions[n / 2] : 0,
           n ? s->functions[n * 9 / 10] : 0,
           s->h_lines ? 100 * s->h_comments / s->h_lines : 0,
           s->c_lines ? 100 * s->c_comments / s->c_lines : 0);
}

static void verdict(const char *what, bool good)
{
    printf("%-30s %s\n", what, good ? "ok" : "FAILED");
    good ? passed++ : failed++;
}

static bool formatted(const char *top)
{
    char command[4096];
    snprintf(command, sizeof(command),
             "cd '%s' && find . -path './build*' -prune -o -name '*.[ch]' -print0 |"
             " xargs -0 clang-format --dry-run -Werror 2>&1 | head -20;"
             " exit $((PIPESTATUS[1] != 0))",
             top);
    setenv("PORTICO_COMMAND", command, 1);
    return system("exec bash -c \"$PORTICO_COMMAND\"") == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: tree-report DIR\n");
        return 2;
    }
    walk(argv[1]);
    printf("%-22s %5s %6s %5s %6s %5s %6s %6s\n", "directory", "files", "lines",
           "funcs", "median", "90%", ".h com", ".c com");
    for (unsigned i = 0; i < sum_count; i++) {
        print_sum(sums[i]);
    }
    verdict("include directions", bad_includes == 0 && sum_count > 0);
    verdict("headers say what they are", bad_headers == 0);
    fflush(stdout);
    verdict("clang-format", formatted(argv[1]));
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
