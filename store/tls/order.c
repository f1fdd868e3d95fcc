#include "order.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/buf.h"
#include "common/cert.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/run.h"
#include "due.h"
#include "hook.h"
#include "issuer.h"
#include "uacme.h"

#define NAMES       3
#define STATE_MAX   65536
#define CA_NAME_MAX 120
#define LEADS_MAX   96 /* addresses; what comes on top is not compared */
#define NONCES_MAX  10 /* tries that do not count */

struct leads {
    char items[LEADS_MAX][INET6_ADDRSTRLEN];
    size_t count;
};

struct run {
    const struct order *o;
    char *names[NAMES];
    char *work;   /* DIR/ca-NAME */
    char *csr;    /* in it */
    char *answer; /* in it */
    char *cert, *account, *state, *failed, *challenge;
    char *request; /* text */
    char *leads;   /* the names' addresses; NULL before they were asked for */
    char account_url[UACME_URL_MAX];
};

char *order_ca_name(const char *url)
{
    const char *p = strstr(url, "://");
    char *name = cm_strndup(p != NULL ? p + 3 : url, CA_NAME_MAX);

    for (char *c = name; *c != '\0'; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '.' || *c == '-';
        *c = plain ? *c : '-';
    }
    return name;
}

bool order_again(const char *type)
{
    static const char *const passing[] = {"", ":connection", ":dns", ":serverInternal",
                                          ":badNonce"};
    const char *colon = strrchr(type, ':');

    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strcmp(colon != NULL ? colon : type, passing[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- places ---- */

static void run_init(struct run *r, const struct order *o)
{
    const char *d = o->conf->mail_domain;
    char *ca = order_ca_name(o->conf->store.acme_directory);

    *r = (struct run){
        .o = o,
        .names = {cm_strdup(d), cm_asprintf("mta-sts.%s", d), cm_asprintf("www.%s", d)},
        .work = cm_asprintf("%s/ca-%s", o->dir, ca),
        .csr = cm_asprintf("%s/ca-%s/request.csr", o->dir, ca),
        .answer = cm_asprintf("%s/ca-%s/request-cert.pem", o->dir, ca),
        .cert = cm_asprintf("%s/cert.pem", o->dir),
        .account = cm_asprintf("%s/account", o->dir),
        .state = cm_asprintf("%s/state.json", o->dir),
        .failed = cm_asprintf("%s/failed", o->dir),
        .challenge = cm_asprintf("%s/challenge", o->dir),
    };
    free(ca);
}

static void run_clear(struct run *r)
{
    for (size_t i = 0; i < NAMES; i++) {
        free(r->names[i]);
    }
    free(r->work);
    free(r->csr);
    free(r->answer);
    free(r->cert);
    free(r->account);
    free(r->state);
    free(r->failed);
    free(r->challenge);
    free(r->request);
    free(r->leads);
}

static int make_places(const struct run *r, struct cm_err *err)
{
    if (cm_file_mkdirs(r->work, 0700, err) != 0 ||
        cm_file_mkdirs(r->challenge, 0755, err) != 0) {
        return -1;
    }
    /* nginx serves from there as another user; the umask does not count. */
    if (chmod(r->challenge, 0755) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "%s: %s", r->challenge, strerror(errno));
    }
    return 0;
}

/* ---- due ---- */

/* The request as chatmail-tls left it; a copy lies beside the answer. */
static int take_request(struct run *r, struct cm_err *err)
{
    char *old = NULL;
    int rc = cm_file_read(r->o->request, CM_CERT_PEM_MAX, &r->request, NULL, err);

    if (rc == 0) {
        (void)cm_err_set(err, CM_ERR_WORLD, "%s is not there; run: chatops run",
                         r->o->request);
    }
    if (rc != 1 || cm_file_read(r->csr, CM_CERT_PEM_MAX, &old, NULL, err) < 0) {
        return -1;
    }
    rc = old != NULL && strcmp(old, r->request) == 0
             ? 0
             : cm_file_replace(r->csr, r->request, strlen(r->request), 0600, err);
    free(old);
    return rc;
}

/* 1 due (why), 0 not, -1. A file that is no certificate is none. */
static int is_due(const struct run *r, const char **why_r, struct cm_err *err)
{
    char *pem = NULL;
    size_t len = 0;
    struct cm_cert *cert = NULL;
    struct cm_err ignored;

    if (cm_file_read(r->answer, CM_CERT_PEM_MAX, &pem, &len, err) < 0) {
        return -1;
    }
    if (pem != NULL && cm_cert_parse(pem, len, &cert, &ignored) != 0) {
        cert = NULL;
    }
    *why_r = due_why(cert, r->request, (const char *const *)r->names, NAMES,
                     cm_now_wall_ms() / 1000);
    cm_cert_free(&cert);
    free(pem);
    return *why_r != NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_leads(struct leads *l, const struct addrinfo *found)
{
    for (; found != NULL && l->count < LEADS_MAX; found = found->ai_next) {
        char *out = l->items[l->count];
        if (getnameinfo(found->ai_addr, found->ai_addrlen, out, INET6_ADDRSTRLEN, NULL,
                        0, NI_NUMERICHOST) == 0) {
            l->count++;
        }
    }
}

/* One a line, each once, sorted: resolvers turn them round. */
static char *leads_text(struct leads *l)
{
    struct cm_buf b;

    cm_buf_init(&b, STATE_MAX);
    qsort(l->items, l->count, sizeof(l->items[0]), by_text);
    for (size_t i = 0; i < l->count; i++) {
        if (i == 0 || strcmp(l->items[i], l->items[i - 1]) != 0) {
            cm_buf_fmt(&b, "%s\n", l->items[i]);
        }
    }
    return cm_buf_steal(&b);
}

/* Where the names lead. Nowhere: the CA would only count it as a failure of ours. */
static int check_addresses(struct run *r, struct cm_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct leads leads = {.count = 0};

    for (size_t i = 0; i < NAMES; i++) {
        int rc = getaddrinfo(r->names[i], NULL, &hints, &found);
        if (rc != 0) {
            (void)cm_err_set(
                err, CM_ERR_RETRY,
                "%s has no address yet (%s); publish what chatops dns says",
                r->names[i], gai_strerror(rc));
            return 1;
        }
        add_leads(&leads, found);
        freeaddrinfo(found);
    }
    r->leads = leads_text(&leads);
    return 0;
}

/* Of a version that did not note it: not known. */
static bool lead_elsewhere(const struct run *r)
{
    char *then = NULL;
    struct cm_err ignored;
    bool known = cm_file_read(r->failed, STATE_MAX, &then, NULL, &ignored) == 1 &&
                 then[0] != '\0';
    bool elsewhere = known && strcmp(then, r->leads) != 0;

    free(then);
    return elsewhere;
}

static int check_rest(const struct run *r, struct cm_err *err)
{
    struct stat st;
    int64_t now = cm_now_wall_ms() / 1000;

    if (stat(r->failed, &st) != 0 || now < st.st_mtime ||
        now - st.st_mtime >= ORDER_REST_S || lead_elsewhere(r)) {
        return 0;
    }
    char *old = NULL;
    if (cm_file_read(r->state, STATE_MAX, &old, NULL, err) != 1) {
        old = NULL;
    }
    json_t *o = old != NULL ? json_loads(old, 0, NULL) : NULL;
    const char *why = json_string_value(json_object_get(o, "problem"));
    (void)cm_err_set(err, CM_ERR_RETRY, "%s",
                     why != NULL && why[0] != '\0' ? why
                                                   : "refused less than an hour ago");
    json_decref(o);
    free(old);
    return 1;
}

/* ---- asking ---- */

static void keep_account(struct run *r, const char *url)
{
    char *old = NULL, *line = cm_asprintf("%s\n", url), issuer[ISSUER_MAX];
    struct cm_err err;

    snprintf(r->account_url, sizeof(r->account_url), "%s", url);
    if (cm_file_read(r->account, STATE_MAX, &old, NULL, &err) != 1 ||
        strncmp(old, line, strlen(line)) != 0) {
        issuer_ask(r->o->conf->store.acme_directory, issuer, sizeof(issuer));
        char *text = cm_asprintf("%s%s\n", line, issuer);
        if (cm_file_replace(r->account, text, strlen(text), 0644, &err) != 0) {
            cm_log_err(CM_LOG_ERROR, "account", &err);
        }
        free(text);
    }
    free(old);
    free(line);
}

/* What a run that was killed has left there. */
static void clear_challenge(const struct run *r)
{
    DIR *dir = opendir(r->challenge);
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* uacme gives up when a nonce is refused three times in a row. No CA counts that as a
 * failed proof. */
static bool only_nonce(const char *type)
{
    const char *colon = strrchr(type, ':');

    return colon != NULL && strcmp(colon, ":badNonce") == 0;
}

static int ask(struct run *r, struct cm_err *err)
{
    const char *email = r->o->conf->acme_email;
    struct uacme u = {.program = r->o->uacme,
                      .dir = r->work,
                      .url = r->o->conf->store.acme_directory,
                      .email = email[0] == '-' ? "" : email,
                      .hook = r->o->hook};
    int64_t from = cm_now_mono_ms();
    int rc = -1, nonces = 0;

    /* uacme would try for minutes, and not say why. */
    if (issuer_there(u.url, err) != 0) {
        return -1;
    }
    clear_challenge(r);
    setenv(HOOK_ENV, r->challenge, 1);
    for (int i = 0; i < ORDER_TRIES && rc != 0; i++) {
        struct uacme_said said = {.account = ""};
        if (i > 0) {
            usleep((useconds_t)(r->o->pause_ms * i * 1000));
        }
        rc = uacme_issue(&u, r->csr, &said, err);
        if (said.account[0] != '\0') {
            keep_account(r, said.account);
        }
        if (rc != 0) {
            cm_log(CM_LOG_WARNING, "certificate_denied", "type", said.type, "reason",
                   err->text, NULL);
        }
        if (rc != 0 &&
            (!order_again(said.type) || cm_now_mono_ms() - from > ORDER_TRY_MS)) {
            break;
        }
        if (rc != 0 && only_nonce(said.type) && nonces++ < NONCES_MAX) {
            i--;
        }
    }
    return rc;
}

/* uacme keeps every answer by its time. */
static void drop_old(const struct run *r)
{
    const char *argv[] = {
        "find",   r->work, "-maxdepth", "1", "-name", "request-cert-*.pem",
        "-mtime", "+200",  "-delete",   NULL};
    struct cm_err ignored;

    (void)!cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &ignored);
}

/* Where chatmail-tls looks; nothing is written when it is there already. */
static int hand_over(const struct run *r, struct cm_err *err)
{
    char *pem = NULL, *old = NULL;
    size_t len;
    int rc = cm_file_read(r->answer, CM_CERT_PEM_MAX, &pem, &len, err);

    if (rc == 1 && cm_file_read(r->cert, CM_CERT_PEM_MAX, &old, NULL, err) < 0) {
        rc = -1;
    }
    if (rc == 1 && (old == NULL || strcmp(old, pem) != 0)) {
        rc = cm_file_replace(r->cert, pem, len, 0644, err) == 0 ? 1 : -1;
    }
    free(old);
    free(pem);
    return rc == 1 ? 0 : -1;
}

static int ask_and_note(struct run *r, const char *why, struct cm_err *err)
{
    cm_log(CM_LOG_INFO, "certificate_due", "why", why, NULL);
    int rc = ask(r, err);

    if (rc != 0) {
        struct cm_err late;
        /* One that could not be asked counts nothing. */
        if (err->kind == CM_ERR_REFUSE &&
            cm_file_replace(r->failed, r->leads, strlen(r->leads), 0644, &late) != 0) {
            cm_log_err(CM_LOG_ERROR, "failed", &late);
        }
        return -1;
    }
    (void)unlink(r->failed);
    drop_old(r);
    cm_log(CM_LOG_INFO, "certificate_given", "account", r->account_url, NULL);
    return 0;
}

static int work(struct run *r, struct cm_err *err)
{
    const char *why = NULL;

    if (make_places(r, err) != 0 || take_request(r, err) != 0) {
        return -1;
    }
    int rc = is_due(r, &why, err);
    if (rc == 1) {
        rc = check_addresses(r, err);
        if (rc == 0) {
            rc = check_rest(r, err);
        }
        if (rc != 0) {
            return rc;
        }
        rc = ask_and_note(r, why, err);
    }
    return rc == 0 ? hand_over(r, err) : -1;
}

static void write_state(const struct run *r, const char *problem)
{
    json_t *o = json_object(), *said = json_string(problem);
    struct cm_err err;

    json_object_set_new(o, "at", json_integer((json_int_t)(cm_now_wall_ms() / 1000)));
    json_object_set_new(o, "problem", said != NULL ? said : json_string("unreadable"));
    char *text = json_dumps(o, JSON_COMPACT);
    if (cm_file_replace(r->state, text, strlen(text), 0644, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "state", &err);
    }
    free(text);
    json_decref(o);
}

int order_run(const struct order *order, struct cm_err *err)
{
    struct run r;

    run_init(&r, order);
    int rc = work(&r, err);
    write_state(&r, rc == 0 ? "" : err->text);
    run_clear(&r);
    return rc;
}
