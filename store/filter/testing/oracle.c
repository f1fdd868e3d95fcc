#include "oracle.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include <opendkim/dkim.h>

#include "common/mem.h"

/* Every function of it that is used: member, and symbol dkim_<member>. */
#define FUNCTIONS(X)                                                                   \
    X(init)                                                                            \
    X(close)                                                                           \
    X(options)                                                                         \
    X(set_key_lookup)                                                                  \
    X(set_user_context)                                                                \
    X(get_user_context)                                                                \
    X(verify)                                                                          \
    X(sign)                                                                            \
    X(header)                                                                          \
    X(eoh)                                                                             \
    X(body)                                                                            \
    X(eom)                                                                             \
    X(getsiglist)                                                                      \
    X(getsighdr_d)                                                                     \
    X(sig_getflags)                                                                    \
    X(sig_getbh)                                                                       \
    X(sig_getdomain)                                                                   \
    X(sig_geterror)                                                                    \
    X(sig_geterrorstr)                                                                 \
    X(getresultstr)                                                                    \
    X(free)

struct or_lib {
    void *handle;
    DKIM_LIB *lib;
#define MEMBER(name) __typeof__(dkim_##name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
};

static struct or_lib *current; /* the key callback gets no context of its own */

static DKIM_CBSTAT find_key(DKIM *dkim, DKIM_SIGINFO *sig, unsigned char *buf,
                            size_t len)
{
    const char *record = current->get_user_context(dkim);
    if (strcasecmp((char *)current->sig_getdomain(sig), "example.org") != 0) {
        return DKIM_CBSTAT_NOTFOUND;
    }
    snprintf((char *)buf, len, "%s", record);
    return DKIM_CBSTAT_CONTINUE;
}

struct or_lib *or_open(const char *path)
{
    struct or_lib *o = cm_calloc(1, sizeof(*o));
    o->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (o->handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        abort();
    }
#define LOAD(name)                                                                     \
    *(void **)&o->name = dlsym(o->handle, "dkim_" #name);                              \
    cm_assert(o->name != NULL);
    FUNCTIONS(LOAD)
#undef LOAD
    o->lib = o->init(NULL, NULL);
    cm_assert(o->lib != NULL);
    cm_assert(o->set_key_lookup(o->lib, find_key) == DKIM_STAT_OK);
    uint64_t drift = 300;
    cm_assert(o->options(o->lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift,
                         sizeof(drift)) == DKIM_STAT_OK);
    current = o;
    return o;
}

void or_close(struct or_lib **op)
{
    struct or_lib *o = *op;
    o->close(o->lib);
    dlclose(o->handle);
    free(o);
    *op = NULL;
    current = NULL;
}

static unsigned char *bytes(const char *p)
{
    return (unsigned char *)(uintptr_t)p;
}

/* Hands the message over; false when it did not take it. */
static bool feed(struct or_lib *o, DKIM *d, const struct or_field *field,
                 unsigned count, const char *body, size_t body_len, const char **why)
{
    DKIM_STAT stat = DKIM_STAT_OK;
    for (unsigned i = 0; i < count && stat == DKIM_STAT_OK; i++) {
        stat = o->header(d, bytes(field[i].p), field[i].len);
    }
    stat = stat == DKIM_STAT_OK ? o->eoh(d) : stat;
    if (stat == DKIM_STAT_OK && body_len > 0) {
        stat = o->body(d, bytes(body), body_len);
    }
    *why = o->getresultstr(stat);
    return stat == DKIM_STAT_OK;
}

bool or_verify(struct or_lib *o, const struct or_field *field, unsigned count,
               const char *body, size_t body_len, const char *domain,
               const char *record, const char **why)
{
    DKIM_STAT stat;
    DKIM_SIGINFO **sigs = NULL;
    int sig_count = 0;
    bool pass = false;
    DKIM *d = o->verify(o->lib, bytes("test"), NULL, &stat);
    cm_assert(d != NULL);
    o->set_user_context(d, (void *)(uintptr_t)record);
    if (feed(o, d, field, count, body, body_len, why)) {
        o->eom(d, NULL);
        o->getsiglist(d, &sigs, &sig_count);
    }
    for (int i = 0; i < sig_count; i++) {
        if ((o->sig_getflags(sigs[i]) & DKIM_SIGFLAG_PASSED) != 0 &&
            o->sig_getbh(sigs[i]) == DKIM_SIGBH_MATCH &&
            strcasecmp((char *)o->sig_getdomain(sigs[i]), domain) == 0) {
            pass = true;
        } else {
            *why = o->sig_geterrorstr(o->sig_geterror(sigs[i]));
        }
    }
    *why = *why != NULL ? *why : "-";
    o->free(d);
    return pass;
}

char *or_sign(struct or_lib *o, const struct or_field *field, unsigned count,
              const char *body, size_t body_len, const char *pem, const char *selector,
              const char *domain, bool relaxed_header, bool relaxed_body, long length)
{
    DKIM_STAT stat;
    unsigned char *value;
    size_t len;
    const char *why;
    DKIM *d =
        o->sign(o->lib, bytes("test"), NULL, bytes(pem), bytes(selector), bytes(domain),
                relaxed_header ? DKIM_CANON_RELAXED : DKIM_CANON_SIMPLE,
                relaxed_body ? DKIM_CANON_RELAXED : DKIM_CANON_SIMPLE,
                DKIM_SIGN_RSASHA256, length, &stat);
    cm_assert(d != NULL);
    char *out = NULL;
    if (feed(o, d, field, count, body, body_len, &why) &&
        o->eom(d, NULL) == DKIM_STAT_OK &&
        o->getsighdr_d(d, strlen("DKIM-Signature: "), &value, &len) == DKIM_STAT_OK) {
        /* It gives the value without the blank behind the colon, lines ending in CRLF.
         */
        out = cm_asprintf(" %.*s", (int)len, (char *)value);
    }
    o->free(d);
    return out;
}
