#include "raw.h"

#include <crypt.h>
#include <pthread.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "common/clock.h"
#include "common/mem.h"

#include "house.h"

#define THREADS_MAX 64

static int select_many(PGconn *link, int64_t ms, double *rate_r)
{
    char addr[HOUSE_ACCOUNT_SIZE];
    const char *values[] = {addr};
    int64_t start = cm_now_mono_ms(), now = start;
    unsigned n = 0;
    while (now - start < ms) {
        house_account(addr, n * 7919 % HOUSE_ACCOUNTS);
        PGresult *res = PQexecPrepared(link, "look", 1, values, NULL, NULL, 0);
        int rows = PQntuples(res);
        PQclear(res);
        if (rows != 1) {
            return -1;
        }
        n++;
        now = cm_now_mono_ms();
    }
    *rate_r = n * 1000.0 / (double)(now - start);
    return 0;
}

int raw_select_rate(const char *conninfo, int64_t ms, double *rate_r,
                    struct cm_err *err)
{
    PGconn *link = PQconnectdb(conninfo);
    PQclear(PQprepare(link, "look", "select password from account where addr = $1", 1,
                      NULL));
    int rc = select_many(link, ms, rate_r);
    if (rc != 0) {
        cm_err_set(err, CM_ERR_WORLD, "PostgreSQL: %s", PQerrorMessage(link));
    }
    PQfinish(link);
    return rc;
}

struct crypter {
    pthread_t thread;
    int64_t end;
    unsigned done;
};

static void *crypt_many(void *arg)
{
    struct crypter *c = arg;
    struct crypt_data *data = cm_calloc(1, sizeof(*data));
    while (cm_now_mono_ms() < c->end && crypt_rn(HOUSE_PASSWORD, "$6$saltsaltsaltsalt",
                                                 data, sizeof(*data)) != NULL) {
        c->done++;
    }
    free(data);
    return NULL;
}

int raw_crypt_rate(unsigned threads, int64_t ms, double *rate_r, struct cm_err *err)
{
    struct crypter crypters[THREADS_MAX] = {0};
    int64_t start = cm_now_mono_ms();
    unsigned done = 0;
    cm_assert(threads > 0 && threads <= THREADS_MAX);
    for (unsigned i = 0; i < threads; i++) {
        struct crypter *c = &crypters[i];
        c->end = start + ms;
        cm_assert(pthread_create(&c->thread, NULL, crypt_many, c) == 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(crypters[i].thread, NULL);
        done += crypters[i].done;
    }
    if (done == 0) {
        return cm_err_set(err, CM_ERR_WORLD, "crypt(3) has no SHA512-CRYPT");
    }
    *rate_r = done * 1000.0 / (double)(cm_now_mono_ms() - start);
    return 0;
}
