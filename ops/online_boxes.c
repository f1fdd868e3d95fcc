/* Who is let in, and what a mailbox tells. */
#include <inttypes.h>
#include <pthread.h>
#include <sys/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "online.h"
#include "probe/relay.h"

#define SERVER    "/shared/vendor/deltachat/"
#define SAID_MAX  (64 * 1024)
#define TURN_PORT 3478
#define RACERS    10

struct imap *op_online_imap(const struct op_online *o, const struct op_entrance *at,
                            int port, const struct op_person *who, char *said)
{
    struct wire_to to = op_online_to(o, at, port);
    char text[256] = "";
    enum imap_verdict verdict;
    struct cm_err err;
    struct imap *imap = imap_open(&to, &err);

    if (imap == NULL) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
    } else if (imap_login(imap, who->addr, who->password, &verdict, text, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "login: %.200s", err.text);
        imap_close(&imap);
    } else if (verdict != IMAP_IN) {
        snprintf(said, OP_ONLINE_SAID, "login: %.200s", text);
        imap_close(&imap);
    }
    return imap;
}

static enum op_verdict_online login(struct op_online *o, const struct op_entrance *at,
                                    int port, char *said)
{
    struct imap *imap = op_online_imap(o, at, port, &o->one, said);
    enum op_verdict_online v = imap != NULL ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;

    imap_close(&imap);
    return v;
}

enum op_verdict_online op_online_imaps(struct op_online *o,
                                       const struct op_entrance *at, char *said)
{
    return login(o, at, 993, said);
}

enum op_verdict_online op_online_imap_starttls(struct op_online *o,
                                               const struct op_entrance *at, char *said)
{
    return login(o, at, 143, said);
}

enum op_verdict_online op_online_imap_alpn(struct op_online *o,
                                           const struct op_entrance *at, char *said)
{
    return login(o, at, 443, said);
}

enum op_verdict_online op_online_imap_refused(struct op_online *o,
                                              const struct op_entrance *at, char *said)
{
    struct wire_to to = op_online_to(o, at, 993);
    enum imap_verdict verdict = IMAP_OTHER;
    char text[256] = "";
    struct cm_err err;
    struct imap *imap = imap_open(&to, &err);
    int rc = imap == NULL ? -1
                          : imap_login(imap, o->one.addr, "not-the-password", &verdict,
                                       text, &err);

    imap_close(&imap);
    snprintf(said, OP_ONLINE_SAID, "%.230s", rc != 0 ? err.text : text);
    return rc == 0 && verdict == IMAP_REFUSED ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* ---- what is told ---- */

static void collect(const char *line, void *ctx)
{
    cm_buf_fmt(ctx, "%s\n", line);
}

/* Asks, and gives all lines of the answer. NULL with the reason in said. */
static char *ask(struct imap *imap, const char *command, char *said)
{
    struct cm_buf lines;
    struct cm_err err;

    cm_buf_init(&lines, SAID_MAX);
    if (imap_command(imap, command, collect, &lines, &err) != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        cm_buf_clear(&lines);
        return NULL;
    }
    return cm_buf_steal(&lines);
}

enum op_verdict_online op_online_capabilities(struct op_online *o,
                                              const struct op_entrance *at, char *said)
{
    struct wire_to to = op_online_to(o, at, 993);
    struct cm_err err;
    struct imap *imap = imap_open(&to, &err);

    if (imap == NULL) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
        return OP_ONLINE_WRONG;
    }
    char *lines = ask(imap, "CAPABILITY", said);
    imap_close(&imap);
    if (lines == NULL) {
        return OP_ONLINE_WRONG;
    }
    bool good =
        strstr(lines, " XCHATMAIL") != NULL && strstr(lines, " XDELTAPUSH") != NULL;
    if (!good) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", lines);
    }
    free(lines);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* The answer to one command of `one`, over 993. */
static char *ask_logged_in(struct op_online *o, const struct op_entrance *at,
                           const char *command, char *said)
{
    struct imap *imap = op_online_imap(o, at, 993, &o->one, said);
    char *lines = imap != NULL ? ask(imap, command, said) : NULL;

    imap_close(&imap);
    return lines;
}

enum op_verdict_online op_online_metadata(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    char *lines =
        ask_logged_in(o, at, "GETMETADATA \"\" (" SERVER "maxsmtprecipients)", said);
    bool good = lines != NULL && strstr(lines, "1000") != NULL;

    if (lines != NULL && !good) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", lines);
    }
    free(lines);
    return good ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

enum op_verdict_online op_online_quota(struct op_online *o,
                                       const struct op_entrance *at, char *said)
{
    char *lines = ask_logged_in(o, at, "GETQUOTAROOT INBOX", said), *at_storage;
    int64_t used, limit, wanted = o->conf->max_mailbox_size_mib * 1024;

    if (lines == NULL) {
        return OP_ONLINE_WRONG;
    }
    at_storage = strstr(lines, "(STORAGE ");
    bool read = at_storage != NULL &&
                sscanf(at_storage, "(STORAGE %" SCNd64 " %" SCNd64, &used, &limit) == 2;
    if (!read) {
        snprintf(said, OP_ONLINE_SAID, "no quota in: %.200s", lines);
    } else {
        snprintf(said, OP_ONLINE_SAID, "%" PRId64 " of %" PRId64 " KiB%s", used, limit,
                 limit == wanted ? "" : ", not what chatmail.ini says");
    }
    free(lines);
    return read && limit == wanted ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* ---- calls ---- */

enum op_verdict_online op_online_turn(struct op_online *o, const struct op_entrance *at,
                                      char *said)
{
    char user[24] = "", password[64] = "", begin[300], *lines, *value;
    struct relay_to to = {
        .server = {.port = TURN_PORT}, .user = user, .password = password};
    struct relay_end relayed;
    struct cm_err err;
    int code = -1;

    if (!o->conf->store.turn) {
        snprintf(said, OP_ONLINE_SAID, "turn = no");
        return OP_ONLINE_SKIPPED;
    }
    lines = ask_logged_in(o, at, "GETMETADATA \"\" " SERVER "turn", said);
    if (lines == NULL) {
        return OP_ONLINE_WRONG;
    }
    snprintf(begin, sizeof(begin), "%s:%d:", o->conf->domain, TURN_PORT);
    value = strstr(lines, begin);
    bool told = value != NULL && sscanf(value + strlen(begin), "%23[0-9]:%63[^)\r\n]",
                                        user, password) == 2;
    free(lines);
    if (!told) {
        snprintf(said, OP_ONLINE_SAID, "no credentials for calls in METADATA");
        return OP_ONLINE_WRONG;
    }
    snprintf(to.server.host, sizeof(to.server.host), "%.45s", at->address);
    struct relay *relay = relay_open(&to, &err);
    int rc = relay == NULL
                 ? -1
                 : relay_allocate(relay,
                                  strchr(at->address, ':') != NULL ? AF_INET6 : AF_INET,
                                  &relayed, &code, &err);
    relay_close(&relay);
    if (rc != 0) {
        snprintf(said, OP_ONLINE_SAID, "%.230s", err.text);
    } else if (code != 0) {
        snprintf(said, OP_ONLINE_SAID, "no relayed address: error %d", code);
    }
    return rc == 0 && code == 0 ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}

/* ---- ten at once ---- */

struct racer {
    const struct op_online *o;
    const struct op_entrance *at;
    const struct op_person *who;
    char said[OP_ONLINE_SAID];
    bool in;
};

static void *race(void *ctx)
{
    struct racer *r = ctx;
    struct imap *imap = op_online_imap(r->o, r->at, 993, r->who, r->said);

    r->in = imap != NULL;
    imap_close(&imap);
    return NULL;
}

enum op_verdict_online op_online_parallel(struct op_online *o,
                                          const struct op_entrance *at, char *said)
{
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    size_t started = 0, in = 0;

    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.o = o, .at = at, .who = &o->busy};
        if (pthread_create(&threads[i], NULL, race, &racers[i]) != 0) {
            break;
        }
        started++;
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        in += racers[i].in;
        if (!racers[i].in) {
            snprintf(said, OP_ONLINE_SAID, "%.200s", racers[i].said);
        }
    }
    return in == RACERS ? OP_ONLINE_GOOD : OP_ONLINE_WRONG;
}
