#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#define DEFAULT_DIR "/var/lib/portico-lab"
#define TOOL_WORDS  64
#define STATE_MAX   (64 * 1024)

char *state_path(const struct lab *lab, const char *fmt, ...)
{
    va_list ap;
    struct cm_buf b;
    cm_buf_init(&b, 4096);
    cm_buf_fmt(&b, "%s/", lab->dir);
    va_start(ap, fmt);
    cm_buf_vfmt(&b, fmt, ap);
    va_end(ap);
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

static char *default_packages(void)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return cm_strdup("packages");
    self[n] = 0;
    char *slash = strrchr(self, '/');
    return cm_asprintf("%.*s/packages", (int)(slash ? slash - self : 0), self);
}

/* Two labs with different directories do not meet: their namespaces have other names.
 */
static char *tag_of(const char *dir)
{
    if (strcmp(dir, DEFAULT_DIR) == 0)
        return cm_strdup("plab");
    char hex[65];
    state_hash(dir, strlen(dir), hex);
    return cm_asprintf("plab%.4s", hex);
}

int lab_open(const char *dir, const char *packages, struct lab **lab_r,
             struct cm_err *err)
{
    if (!dir || !*dir)
        dir = getenv("PORTICO_LAB_DIR");
    if (!dir || !*dir)
        dir = DEFAULT_DIR;
    if (dir[0] != '/')
        return cm_err_set(err, CM_ERR_REFUSE,
                          "%s: the lab's directory must be absolute", dir);
    if (geteuid() != 0)
        return cm_err_set(err, CM_ERR_WORLD, "the lab needs root: run it with sudo");
    if (!packages || !*packages)
        packages = getenv("PORTICO_PACKAGES");
    /* Nodes read what lies here with other users than root. */
    if (cm_file_mkdirs(dir, 0755, err) < 0)
        return -1;
    struct lab *lab = cm_calloc(1, sizeof *lab);
    lab->dir = cm_strdup(dir);
    lab->packages = packages && *packages ? cm_strdup(packages) : default_packages();
    lab->tag = tag_of(dir);
    lab->lock_fd = -1;
    *lab_r = lab;
    return 0;
}

void lab_close(struct lab **lab)
{
    if (!*lab)
        return;
    if ((*lab)->lock_fd >= 0)
        close((*lab)->lock_fd);
    free((*lab)->dir);
    free((*lab)->packages);
    free((*lab)->tag);
    free((*lab)->origin);
    free(*lab);
    *lab = NULL;
}

void lab_quiet(struct lab *lab, bool quiet)
{
    lab->quiet = quiet;
}

const char *lab_dir(const struct lab *lab)
{
    return lab->dir;
}

int state_lock(struct lab *lab, struct cm_err *err)
{
    if (lab->lock_depth++ > 0)
        return 0;
    char *path = state_path(lab, "lock");
    lab->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    free(path);
    if (lab->lock_fd >= 0 && flock(lab->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (lab->lock_fd >= 0 && errno == EWOULDBLOCK) {
        state_say(lab, "another lab command is at work; waiting for it");
        if (flock(lab->lock_fd, LOCK_EX) == 0)
            return 0;
    }
    int reason = errno;
    state_unlock(lab);
    return cm_err_set(err, CM_ERR_WORLD, "%s/lock: %s", lab->dir, strerror(reason));
}

void state_unlock(struct lab *lab)
{
    cm_assert(lab->lock_depth > 0);
    if (--lab->lock_depth > 0)
        return;
    if (lab->lock_fd >= 0)
        close(lab->lock_fd);
    lab->lock_fd = -1;
}

char *state_field(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; *p;) {
        size_t line = strcspn(p, "\n");
        if (line > n && strncmp(p, key, n) == 0 && p[n] == ' ')
            return cm_strndup(p + n + 1, line - n - 1);
        p += line + (p[line] == '\n');
    }
    return NULL;
}

static char *field_or_empty(const char *text, const char *key)
{
    char *value = state_field(text, key);
    return value ? value : cm_strdup("");
}

int state_read(struct lab *lab, struct state_stack *stack_r, struct cm_err *err)
{
    char *path = state_path(lab, "up");
    char *text = NULL;
    size_t len;
    int found = cm_file_read(path, STATE_MAX, &text, &len, err);
    free(path);
    if (found < 1)
        return found;
    stack_r->snapshot = field_or_empty(text, "snapshot");
    stack_r->image = field_or_empty(text, "image");
    stack_r->layers = field_or_empty(text, "layers");
    char *ready = field_or_empty(text, "ready");
    stack_r->ready = strcmp(ready, "yes") == 0;
    free(ready);
    free(text);
    return 1;
}

int state_write(struct lab *lab, const struct state_stack *stack, struct cm_err *err)
{
    char *path = state_path(lab, "up");
    char *text =
        cm_asprintf("snapshot %s\nimage %s\nlayers %s\nready %s\n", stack->snapshot,
                    stack->image, stack->layers, stack->ready ? "yes" : "no");
    int rc = cm_file_replace(path, text, strlen(text), 0644, err);
    free(text);
    free(path);
    return rc;
}

void state_stack_clear(struct state_stack *stack)
{
    free(stack->snapshot);
    free(stack->image);
    free(stack->layers);
    *stack = (struct state_stack){0};
}

int64_t state_begin(struct lab *lab, const char *what)
{
    if (!lab->quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "%-28s ...\r", what);
    return cm_now_mono_ms();
}

void state_end(struct lab *lab, const char *what, int64_t started_ms)
{
    int64_t ms = cm_now_mono_ms() - started_ms;
    if (lab->quiet)
        return;
    if (ms >= 1000)
        fprintf(stderr, "%-28s %6.1f s\n", what, (double)ms / 1000.0);
    else if (isatty(STDERR_FILENO))
        fprintf(stderr, "\033[K");
}

void state_say(struct lab *lab, const char *fmt, ...)
{
    if (lab->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* Collects the words of a sentinel call; they are borrowed. */
static void collect(const char **argv, const char *program, va_list ap)
{
    size_t n = 0;
    argv[n++] = program;
    const char *word;
    while ((word = va_arg(ap, const char *))) {
        cm_assert(n < TOOL_WORDS - 1);
        argv[n++] = word;
    }
    argv[n] = NULL;
}

int tool(struct cm_err *err, const char *program, ...)
{
    const char *argv[TOOL_WORDS];
    va_list ap;
    va_start(ap, program);
    collect(argv, program, ap);
    va_end(ap);
    return tool_argv(err, argv, 0, NULL);
}

int tool_with(struct cm_err *err, const char *input, const char *program, ...)
{
    const char *argv[TOOL_WORDS];
    va_list ap;
    va_start(ap, program);
    collect(argv, program, ap);
    va_end(ap);
    struct cm_run run = {.argv = argv, .input = input};
    return cm_run_ok(&run, NULL, err);
}

int tool_argv(struct cm_err *err, const char *const *argv, int64_t timeout_ms,
              char **out_r)
{
    struct cm_run run = {.argv = argv, .timeout_ms = timeout_ms};
    return cm_run_ok(&run, out_r, err);
}

void tool_quietly(const char *program, ...)
{
    const char *argv[TOOL_WORDS];
    struct cm_err ignored;
    va_list ap;
    va_start(ap, program);
    collect(argv, program, ap);
    va_end(ap);
    if (tool_argv(&ignored, argv, 0, NULL) < 0)
        return;
}

static void to_hex(const unsigned char *digest, char hex[65])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void state_hash(const void *data, size_t len, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    cm_assert(EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) == 1);
    to_hex(digest, hex);
}

int state_hash_file(const char *path, char hex[65], struct cm_err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", path, strerror(errno));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cm_assert(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0)
        EVP_DigestUpdate(ctx, block, n);
    bool bad = ferror(f);
    fclose(f);
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    if (bad)
        return cm_err_set(err, CM_ERR_WORLD, "%s: cannot be read", path);
    to_hex(digest, hex);
    return 0;
}
