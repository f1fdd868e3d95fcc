#include "hash.h"

#include <crypt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "common/mem.h"

#define SALT_LEN    16
#define NICE_LOWEST 19
#define HASH_SIZE   128 /* "{SHA512-CRYPT}$6$", 16, "$", 86, NUL */

unsigned hash_threads(void)
{
    cpu_set_t cpus;
    int n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return n < HASH_THREADS_MAX ? (unsigned)n : HASH_THREADS_MAX;
}

static int make_setting(char out[SALT_LEN + 4])
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char bytes[SALT_LEN];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        return -1;
    }
    memcpy(out, "$6$", 3);
    for (size_t i = 0; i < SALT_LEN; i++) {
        out[3 + i] = alphabet[bytes[i] % 64];
    }
    out[3 + SALT_LEN] = '\0';
    return 0;
}

/* Per thread, for it is 32 KiB: not for a stack. */
static int hash_into(const char *password, char out[HASH_SIZE])
{
    static _Thread_local struct crypt_data data;
    char setting[SALT_LEN + 4];
    if (make_setting(setting) != 0) {
        return -1;
    }
    const char *hash = crypt_rn(password, setting, &data, sizeof(data));
    int n = hash != NULL ? snprintf(out, HASH_SIZE, "{SHA512-CRYPT}%s", hash) : -1;
    cm_wipe(&data, sizeof(data));
    return n > 0 && n < HASH_SIZE ? 0 : -1;
}

char *hash_password(const char *password)
{
    char hash[HASH_SIZE];
    return hash_into(password, hash) == 0 ? cm_strdup(hash) : NULL;
}

struct job {
    char *password;
    char hash[HASH_SIZE]; /* "": failed */
    hash_cb cb;
    void *ctx;
};

/* A thread of the lowest priority must not hold a lock that the loop wants, such as the
 * allocator's, so here is no malloc and no free. */
static void run(void *arg)
{
    struct job *job = arg;
    static _Thread_local bool humble;
    if (!humble) {
        /* Of this thread alone: Linux knows no other. Refused, it works all the same.
         */
        (void)setpriority(PRIO_PROCESS, 0, NICE_LOWEST);
        humble = true;
    }
    if (hash_into(job->password, job->hash) != 0) {
        job->hash[0] = '\0';
    }
    cm_wipe(job->password, strlen(job->password));
}

static void done(void *arg)
{
    struct job *job = arg;
    free(job->password);
    job->cb(job->hash[0] != '\0' ? job->hash : NULL, job->ctx);
    free(job);
}

int hash_submit(struct cm_work *work, const char *password, hash_cb cb, void *ctx,
                struct cm_err *err)
{
    struct job *job = cm_calloc(1, sizeof(*job));
    job->password = cm_strdup(password);
    job->cb = cb;
    job->ctx = ctx;
    if (cm_work_submit(work, run, done, job, err) != 0) {
        cm_wipe_str(&job->password);
        free(job);
        return -1;
    }
    return 0;
}
