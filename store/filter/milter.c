#include "milter.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#include "common/log.h"
#include "common/mem.h"

#include "blind.h"

/* Postfix waits longer (milter_content_timeout), and a session may be idle as long as
 * smtpd lets its client be. */
#define MILTER_IDLE_S 7200
/* What it may do to a message. */
#define CHANGES                                                                        \
    (SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGFROM | SMFIF_DELRCPT | SMFIF_SETSYMLIST)

static struct filter *the_filter; /* libmilter has nowhere to put it */

static const char *const hygiene_names[HYGIENES] = {
    [HYGIENE_RECEIVED] = "Received",
    [HYGIENE_ORIGIN] = "X-Originating-IP",
    [HYGIENE_MAILER] = "X-Mailer",
    [HYGIENE_AGENT] = "User-Agent",
};

/* Transactions */

static void transaction_free(struct transaction **tp)
{
    struct transaction *t = *tp;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->count; i++) {
        free(t->rcpts[i].as_given);
        free(t->rcpts[i].account);
    }
    free(t->rcpts);
    dkim_free(&t->dkim);
    seal_drop(t);
    free(t->signature);
    sample_drop(&t->sample);
    atomic_fetch_sub(&t->filter->tally.transactions, 1);
    free(t);
    *tp = NULL;
}

static struct transaction *transaction_new(struct filter *filter)
{
    struct transaction *t = cm_calloc(1, sizeof(*t));
    t->filter = filter;
    pthread_mutex_lock(&filter->lock);
    t->settings = filter->settings;
    pthread_mutex_unlock(&filter->lock);
    verdict_init(&t->verdict, filter->mode->side);
    atomic_fetch_add(&filter->tally.transactions, 1);
    return t;
}

static void add_rcpt(struct transaction *t, const char *as_given, const char *account)
{
    if (t->count == t->room) {
        t->room = t->room == 0 ? 4 : t->room * 2;
        t->rcpts = cm_realloc_array(t->rcpts, t->room, sizeof(*t->rcpts));
    }
    t->rcpts[t->count++] =
        (struct rcpt){.as_given = cm_strdup(as_given),
                      .account = account[0] != '\0' ? cm_strdup(account) : NULL};
}

/* What a session keeps between messages is this pointer alone. */
struct session {
    struct transaction *t;
};

static struct session *session_of(SMFICTX *ctx)
{
    struct session *s = smfi_getpriv(ctx);
    if (s == NULL) {
        s = cm_calloc(1, sizeof(*s));
        smfi_setpriv(ctx, s);
        atomic_fetch_add(&the_filter->tally.sessions, 1);
    }
    return s;
}

static const char *macro(SMFICTX *ctx, const char *name)
{
    char copy[32]; /* libmilter wants it writable */
    snprintf(copy, sizeof(copy), "%s", name);
    const char *value = smfi_getsymval(ctx, copy);
    return value != NULL ? value : "";
}

/* Answers */

static void log_refusal(const struct transaction *t, const struct decision *d)
{
    char who[BLIND_SIZE];
    blind(t->sender[0] != '\0' ? t->sender : t->verdict.from, who);
    cm_log(CM_LOG_INFO, d->code[0] == '4' ? "put_off" : "refused", "mode",
           t->filter->mode->name, "queue_id", t->queue_id, "why",
           decide_why_name(d->why), "code", d->code, "sender", who, "content",
           verdict_kind(&t->verdict) == VERDICT_ENCRYPTED ? "encrypted"
                                                          : verdict_reason(&t->verdict),
           NULL);
}

/* The text carries its enhanced status code, where it has one: upstream's 523 has none,
 * and one of libmilter's would stand before what clients look for. */
static sfsistat refuse(SMFICTX *ctx, const struct decision *d)
{
    char code[sizeof(d->code)], text[sizeof(d->text)];
    memcpy(code, d->code, sizeof(code));
    memcpy(text, d->text, sizeof(text));
    if (smfi_setreply(ctx, code, NULL, text) != MI_SUCCESS) {
        cm_log(CM_LOG_ERROR, "reply_not_set", "code", d->code, NULL);
        return SMFIS_TEMPFAIL;
    }
    return d->code[0] == '4' ? SMFIS_TEMPFAIL : SMFIS_REJECT;
}

/* Events before the data */

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
    struct session *s = session_of(ctx);
    transaction_free(&s->t);
    s->t = transaction_new(the_filter);
    s->t->sender_ok = address_command(argv[0], s->t->sender);
    if (!s->t->sender_ok) {
        snprintf(s->t->sender, sizeof(s->t->sender), "%.200s", argv[0]);
    }
    if (the_filter->mode == &mode_outgoing) {
        const char *login = macro(ctx, "{auth_authen}");
        if (!address_first(login, s->t->login)) {
            s->t->login[0] = '\0';
        }
    }
    return SMFIS_NOREPLY;
}

/* Postfix names the address that it resolved to: its own domain behind a bare name, the
 * percent hack undone. */
static void account_of(SMFICTX *ctx, const struct transaction *t, const char *as_given,
                       char account[ADDRESS_SIZE])
{
    char given[ADDRESS_SIZE];
    const char *resolved = macro(ctx, "{rcpt_addr}");
    if (resolved[0] == '\0' && address_command(as_given, given)) {
        resolved = given;
    }
    const char *domain;
    if (!address_account(resolved, account) ||
        (domain = address_domain(account)) == NULL ||
        (the_filter->mode == &mode_outgoing &&
         strcmp(domain, t->settings.domain) != 0)) {
        account[0] = '\0';
    }
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
    struct session *s = session_of(ctx);
    struct decision d;
    char account[ADDRESS_SIZE];
    if (s->t == NULL || s->t->count >= RECIPIENTS_MAX) {
        return SMFIS_TEMPFAIL;
    }
    account_of(ctx, s->t, argv[0], account);
    if (!the_filter->mode->rcpt(s->t, account, &d)) {
        log_refusal(s->t, &d);
        tally_count(&the_filter->tally, &d);
        return refuse(ctx, &d);
    }
    add_rcpt(s->t, argv[0], account);
    return SMFIS_CONTINUE;
}

/* The message */

static void count_hygiene(struct transaction *t, const char *name)
{
    for (size_t i = 0; i < HYGIENES; i++) {
        t->hygiene[i] += header_is(name, strlen(name), hygiene_names[i]);
    }
    t->subjects += header_is(name, strlen(name), "Subject");
}

static void begin_data(struct transaction *t)
{
    if (the_filter->mode->judges) {
        t->sample = sample_begin(the_filter->samples);
    }
    if (the_filter->mode == &mode_incoming) {
        t->dkim = dkim_new();
    }
    if (the_filter->mode->signs) {
        seal_begin(t);
    }
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    struct transaction *t = session_of(ctx)->t;
    if (t == NULL) {
        return SMFIS_NOREPLY;
    }
    if (t->verdict.header_bytes == 0) {
        begin_data(t);
    }
    size_t value_len = strlen(value);
    verdict_header(&t->verdict, name, strlen(name), value, value_len);
    count_hygiene(t, name);
    seal_header(t, name, value);
    sample_header(t->sample, name, value);
    if (t->dkim != NULL) {
        dkim_header(t->dkim, name, strlen(name), value, value_len);
    }
    return SMFIS_NOREPLY;
}

static sfsistat on_header_end(SMFICTX *ctx)
{
    struct transaction *t = session_of(ctx)->t;
    if (t == NULL) {
        return SMFIS_NOREPLY;
    }
    if (t->verdict.header_bytes == 0) {
        begin_data(t);
    }
    verdict_headers_end(&t->verdict);
    sample_add(t->sample, "\r\n", 2);
    if (t->dkim != NULL && t->verdict.from_problem != NULL) {
        dkim_free(&t->dkim);
    }
    if (t->dkim != NULL) {
        const char *domain = address_domain(t->verdict.from);
        dkim_headers_end(t->dkim, domain != NULL ? domain : "");
    }
    return SMFIS_NOREPLY;
}

/* False: the rest of the body changes nothing any more. */
static bool look_at(struct transaction *t, const unsigned char *data, size_t len)
{
    bool judges = the_filter->mode->judges;
    bool more = judges && verdict_body(&t->verdict, (const char *)data, len);
    if (judges && !more && verdict_kind(&t->verdict) == VERDICT_CLEAR) {
        seal_drop(t); /* it will be refused */
    }
    if (t->dkim != NULL) {
        dkim_body(t->dkim, data, len);
    }
    seal_body(t, data, len);
    return more || t->dkim != NULL || t->sign != NULL;
}

/* Postfix is told to keep the rest when nothing needs it any more. */
static sfsistat on_body(SMFICTX *ctx, unsigned char *data, size_t len)
{
    struct transaction *t = session_of(ctx)->t;
    if (t == NULL) {
        return SMFIS_CONTINUE;
    }
    sample_add(t->sample, data, len);
    return look_at(t, data, len) ? SMFIS_CONTINUE : SMFIS_SKIP;
}

/* From the last to the first: taking one away renumbers those behind it. The values
 * have their leading blank, for so it was negotiated. */
static bool clean_header(SMFICTX *ctx, const struct transaction *t)
{
    char subject[] = "Subject", dots[] = CLEAN_SUBJECT, name[32];
    bool ok = true;
    for (size_t i = 0; i < HYGIENES; i++) {
        snprintf(name, sizeof(name), "%s", hygiene_names[i]);
        for (unsigned n = t->hygiene[i]; n > 0 && ok; n--) {
            ok = smfi_chgheader(ctx, name, (int)n, NULL) == MI_SUCCESS;
        }
    }
    for (unsigned n = t->subjects; n > 0 && ok; n--) {
        ok = smfi_chgheader(ctx, subject, (int)n, n > 1 ? NULL : dots) == MI_SUCCESS;
    }
    return ok;
}

/* Where OpenDKIM put it: behind our own Received. */
static bool add_signature(SMFICTX *ctx, const struct transaction *t)
{
    char name[] = "DKIM-Signature";
    return t->signature == NULL ||
           smfi_insheader(ctx, 1, name, t->signature) == MI_SUCCESS;
}

static bool change_envelope(SMFICTX *ctx, const struct transaction *t)
{
    bool ok = true;
    char null_sender[] = "<>";
    if (t->null_sender) {
        ok = smfi_chgfrom(ctx, null_sender, NULL) == MI_SUCCESS;
        atomic_fetch_add(&the_filter->tally.senders_cleared, 1);
    }
    for (size_t i = 0; i < t->count && ok; i++) {
        if (t->rcpts[i].removed) {
            cm_log(CM_LOG_WARNING, "recipient_disabled", "queue_id", t->queue_id, NULL);
            ok = smfi_delrcpt(ctx, t->rcpts[i].as_given) == MI_SUCCESS;
        }
    }
    return ok;
}

static sfsistat accept_message(SMFICTX *ctx, const struct transaction *t)
{
    bool ok = change_envelope(ctx, t);
    if (ok && the_filter->mode->cleans) {
        ok = clean_header(ctx, t);
    }
    ok = ok && add_signature(ctx, t);
    if (!ok) {
        cm_log(CM_LOG_ERROR, "message_not_changed", "queue_id", t->queue_id, NULL);
    }
    return ok ? SMFIS_ACCEPT : SMFIS_TEMPFAIL;
}

static sfsistat carry_out(SMFICTX *ctx, struct transaction *t, const struct decision *d)
{
    tally_count(&the_filter->tally, d);
    switch (d->action) {
    case DECIDE_ACCEPT:
        return accept_message(ctx, t);
    case DECIDE_DROP:
        cm_log(CM_LOG_WARNING, "dropped", "mode", the_filter->mode->name, "queue_id",
               t->queue_id, "why", decide_why_name(d->why), NULL);
        return SMFIS_DISCARD;
    case DECIDE_REFUSE:
        break;
    }
    log_refusal(t, d);
    if (d->code[0] == '5' && sample_keep(&t->sample, decide_why_name(d->why))) {
        atomic_fetch_add(&the_filter->tally.samples, 1);
    }
    return refuse(ctx, d);
}

static sfsistat on_message_end(SMFICTX *ctx)
{
    struct session *s = session_of(ctx);
    struct decision d;
    if (s->t == NULL) {
        return SMFIS_TEMPFAIL;
    }
    snprintf(s->t->queue_id, sizeof(s->t->queue_id), "%s", macro(ctx, "i"));
    verdict_end(&s->t->verdict);
    the_filter->mode->end(s->t, &d);
    if (d.action == DECIDE_ACCEPT && the_filter->mode->signs) {
        (void)seal_end(s->t, &d);
    }
    sfsistat result = carry_out(ctx, s->t, &d);
    transaction_free(&s->t);
    return result;
}

static sfsistat on_abort(SMFICTX *ctx)
{
    transaction_free(&session_of(ctx)->t);
    return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
    struct session *s = smfi_getpriv(ctx);
    if (s != NULL) {
        transaction_free(&s->t);
        free(s);
        smfi_setpriv(ctx, NULL);
        atomic_fetch_sub(&the_filter->tally.sessions, 1);
    }
    return SMFIS_CONTINUE;
}

/* Only the events that are needed come, and only those that may be refused are answered
 * one by one. */
static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
                             unsigned long more, unsigned long more_still,
                             unsigned long *actions_r, unsigned long *steps_r,
                             unsigned long *more_r, unsigned long *more_still_r)
{
    (void)more;
    (void)more_still;
    const unsigned long wanted = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NODATA |
                                 SMFIP_NOUNKNOWN | SMFIP_NR_MAIL | SMFIP_NR_HDR |
                                 SMFIP_NR_EOH | SMFIP_SKIP | SMFIP_HDR_LEADSPC;
    if ((steps & wanted) != wanted || (actions & CHANGES) != CHANGES) {
        cm_log(CM_LOG_ERROR, "mta_too_old", "reason",
               "it does not offer the milter protocol of Postfix 3", NULL);
        return SMFIS_REJECT;
    }
    char login[] = "{auth_authen}", address[] = "{rcpt_addr}", queue_id[] = "i";
    if (smfi_setsymlist(ctx, SMFIM_ENVFROM, login) != MI_SUCCESS ||
        smfi_setsymlist(ctx, SMFIM_ENVRCPT, address) != MI_SUCCESS ||
        smfi_setsymlist(ctx, SMFIM_EOM, queue_id) != MI_SUCCESS) {
        return SMFIS_REJECT;
    }
    *actions_r = CHANGES;
    *steps_r = wanted;
    *more_r = *more_still_r = 0;
    return SMFIS_CONTINUE;
}

/* The socket */

/* libmilter opens its socket by name; the one that systemd holds takes its place. Tells
 * which descriptor libmilter has: the lowest that was free. */
static int open_placeholder(struct cm_err *err)
{
    char dir[] = "/tmp/chatmail-filter.XXXXXX", conn[64];
    struct sockaddr_un sun;
    socklen_t len = sizeof(sun);
    if (mkdtemp(dir) == NULL) {
        return cm_err_set(err, CM_ERR_WORLD, "/tmp: %s", strerror(errno));
    }
    snprintf(conn, sizeof(conn), "unix:%s/s", dir);
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    int rc = smfi_setconn(conn) == MI_SUCCESS ? smfi_opensocket(1) : MI_FAILURE;
    bool found = rc == MI_SUCCESS &&
                 getsockname(fd, (struct sockaddr *)&sun, &len) == 0 &&
                 sun.sun_family == AF_UNIX && strcmp(sun.sun_path, conn + 5) == 0;
    unlink(conn + 5);
    rmdir(dir);
    return found ? fd
                 : cm_err_set(err, CM_ERR_WORLD, "libmilter did not open its socket");
}

static int milter_fd = -1; /* libmilter's listening socket */

static int take_socket(int fd, struct cm_err *err)
{
    int mine = open_placeholder(err);
    if (mine < 0) {
        return -1;
    }
    if (dup3(fd, mine, O_CLOEXEC) < 0 ||
        fcntl(mine, F_SETFL, fcntl(mine, F_GETFL) & ~O_NONBLOCK) < 0) {
        return cm_err_set(err, CM_ERR_WORLD, "socket: %s", strerror(errno));
    }
    milter_fd = mine;
    return 0;
}

static void *milter_thread(void *ctx)
{
    (void)ctx;
    int rc = smfi_main();
    cm_log(CM_LOG_ERROR, "libmilter_ended", "reason",
           rc == MI_SUCCESS ? "without being asked" : "failure", NULL);
    _exit(1); /* systemd starts it again */
}

int milter_start(struct filter *filter, int fd, struct cm_err *err)
{
    static char name[] = "chatmail-filter";
    struct smfiDesc desc = {.xxfi_name = name,
                            .xxfi_version = SMFI_VERSION,
                            .xxfi_flags = CHANGES,
                            .xxfi_envfrom = on_mail,
                            .xxfi_envrcpt = on_rcpt,
                            .xxfi_header = on_header,
                            .xxfi_eoh = on_header_end,
                            .xxfi_body = on_body,
                            .xxfi_eom = on_message_end,
                            .xxfi_abort = on_abort,
                            .xxfi_close = on_close,
                            .xxfi_negotiate = on_negotiate};
    pthread_t thread;
    the_filter = filter;
    if (smfi_register(desc) != MI_SUCCESS ||
        smfi_settimeout(MILTER_IDLE_S) != MI_SUCCESS) {
        return cm_err_set(err, CM_ERR_WORLD, "libmilter does not take our callbacks");
    }
    if (take_socket(fd, err) != 0) {
        return -1;
    }
    if (pthread_create(&thread, NULL, milter_thread, NULL) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "no thread for libmilter");
    }
    pthread_detach(thread);
    return 0;
}

/* Not by smfi_stop(): with its pool of workers, as Debian builds it, libmilter then
 * cuts every session in the middle. Instead its listening socket becomes one that
 * nobody knows. */
void milter_stop(void)
{
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX}; /* any abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        bind(fd, (struct sockaddr *)&nowhere, sizeof(nowhere.sun_family)) == 0 &&
        listen(fd, 1) == 0) {
        dup3(fd, milter_fd, O_CLOEXEC);
    }
    if (fd >= 0) {
        close(fd);
    }
}
