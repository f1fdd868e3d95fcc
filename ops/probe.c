#include "probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/clock.h"
#include "common/mem.h"
#include "say.h"
#include "talk.h"

uint16_t op_probe_smtp_port = 465, op_probe_imap_port = 993;
int64_t op_probe_step_ms = 5000;
int64_t op_probe_wait_ms = 15000;

/* One PKESK (version 3, key id 0) and one SEIPD (version 1) of nonsense. */
static const char armour[] =
    "-----BEGIN PGP MESSAGE-----\r\n\r\n"
    "wQ0DAAAAAAAAAAABAAj/0hkBAAECAwQFBgcICQoLDA0ODxAREhMUFRYX\r\n"
    "=bMn1\r\n"
    "-----END PGP MESSAGE-----\r\n";

char *op_probe_text(const char *addr, const char *id)
{
    char date[64];
    time_t now = (time_t)(cm_now_wall_ms() / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return cm_asprintf("From: <%s>\r\nTo: <%s>\r\nSubject: [...]\r\nDate: %s\r\n"
                       "Message-ID: <%s>\r\nChat-Version: 1.0\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: multipart/encrypted; boundary=\"b\";\r\n"
                       " protocol=\"application/pgp-encrypted\"\r\n\r\n"
                       "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n"
                       "Version: 1\r\n\r\n"
                       "--b\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n"
                       "--b--\r\n",
                       addr, addr, date, id, armour);
}

/* ---- both ends of a pair ---- */

struct ends {
    struct op_pair *pair;
    const char *domain;
    const struct op_probe_account *account;
    char id[340];
    struct op_talk *read, *send;
    struct cm_err err;
};

/* Ends the pair at this stage, with what was said. */
static int stop(struct ends *e, enum op_stage stage, const char *said)
{
    e->pair->stage = stage;
    snprintf(e->pair->said, sizeof(e->pair->said), "%.299s", said);
    op_plain_text(e->pair->said);
    return -1;
}

static int stop_err(struct ends *e, enum op_stage stage, int rc)
{
    return stop(e, stage, rc == 0 ? "no answer" : e->err.text);
}

/* IMAP: reads until the line of that tag, or "+", or one that holds `untagged`. 1 OK or
 * found, 0 another answer. */
static int imap_until(struct ends *e, const char *tag, const char *untagged,
                      char line[OP_TALK_LINE])
{
    size_t n = strlen(tag);
    int rc;

    while ((rc = op_talk_hear(e->read, op_probe_step_ms, line, &e->err)) == 1) {
        if (untagged != NULL && strstr(line, untagged) != NULL) {
            return 1;
        }
        if (strncmp(line, tag, n) == 0) {
            return tag[0] == '+' || strncmp(line + n, " OK", 3) == 0;
        }
    }
    snprintf(line, OP_TALK_LINE, "%s", rc == 0 ? "no answer" : e->err.text);
    return 0;
}

static int imap_do(struct ends *e, const char *tag, const char *command,
                   const char *until)
{
    char line[OP_TALK_LINE];

    if (op_talk_say(e->read, command, &e->err) != 0) {
        return stop_err(e, OP_STAGE_READ_LOGIN, -1);
    }
    return imap_until(e, until != NULL ? until : tag, NULL, line) == 1
               ? 0
               : stop(e, OP_STAGE_READ_LOGIN, line);
}

static int open_reader(struct ends *e)
{
    char line[OP_TALK_LINE], login[400];
    const struct op_probe_account *a = e->account;

    e->read = op_talk_open(e->pair->out_address, op_probe_imap_port, e->domain,
                           op_probe_step_ms, &e->pair->reach, &e->err);
    if (e->read == NULL) {
        return stop_err(e, OP_STAGE_READ_OPEN, -1);
    }
    e->pair->cert_end_s[1] = op_talk_cert_end_s(e->read);
    if (imap_until(e, "* OK", "* OK", line) != 1) {
        return stop(e, OP_STAGE_READ_OPEN, line);
    }
    snprintf(login, sizeof(login), "a LOGIN \"%s\" \"%s\"\r\n", a->addr, a->password);
    return imap_do(e, "a", login, NULL) != 0 ||
                   imap_do(e, "b", "b SELECT INBOX\r\n", NULL) != 0 ||
                   imap_do(e, "c", "c IDLE\r\n", "+") != 0
               ? -1
               : 0;
}

/* SMTP: the last line of an answer; 0 when its code begins with `want`. */
static int smtp_hear(struct ends *e, enum op_stage stage, int64_t limit_ms, char want)
{
    char line[OP_TALK_LINE];
    int rc;

    while ((rc = op_talk_hear(e->send, limit_ms, line, &e->err)) == 1 &&
           strlen(line) > 3 && line[3] == '-') {
    }
    if (rc != 1) {
        return stop_err(e, stage, rc);
    }
    return line[0] == want ? 0 : stop(e, stage, line);
}

static int smtp_do(struct ends *e, enum op_stage stage, char want, const char *command)
{
    if (op_talk_say(e->send, command, &e->err) != 0) {
        return stop_err(e, stage, -1);
    }
    return smtp_hear(e, stage, op_probe_wait_ms, want);
}

/* Base64 of NUL addr NUL password. */
static char *plain_word(const struct op_probe_account *a)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t na = strlen(a->addr), np = strlen(a->password), n = na + np + 2, at = 0;
    unsigned char *in = cm_calloc(n + 3, 1);
    char *out = cm_calloc(4 * (n / 3 + 1) + 1, 1);

    memcpy(in + 1, a->addr, na);
    memcpy(in + na + 2, a->password, np);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
        out[at++] = set[v >> 18 & 63];
        out[at++] = set[v >> 12 & 63];
        out[at++] = i + 1 < n ? set[v >> 6 & 63] : '=';
        out[at++] = i + 2 < n ? set[v & 63] : '=';
    }
    free(in);
    return out;
}

static int open_sender(struct ends *e)
{
    enum op_stage open = OP_STAGE_SEND_OPEN;

    e->send = op_talk_open(e->pair->in_address, op_probe_smtp_port, e->domain,
                           op_probe_step_ms, &e->pair->reach, &e->err);
    if (e->send == NULL) {
        return stop_err(e, open, -1);
    }
    e->pair->cert_end_s[0] = op_talk_cert_end_s(e->send);
    if (smtp_hear(e, open, op_probe_step_ms, '2') != 0 ||
        smtp_do(e, open, '2', "EHLO probe.invalid\r\n") != 0) {
        return -1;
    }
    char *word = plain_word(e->account), *line = cm_asprintf("AUTH PLAIN %s\r\n", word);
    int rc = smtp_do(e, OP_STAGE_SEND_LOGIN, '2', line);
    cm_wipe_str(&word);
    cm_wipe_str(&line);
    return rc;
}

static int send_it(struct ends *e)
{
    const char *addr = e->account->addr;
    char *from = cm_asprintf("MAIL FROM:<%s>\r\n", addr);
    char *to = cm_asprintf("RCPT TO:<%s>\r\n", addr);
    char *text = op_probe_text(addr, e->id), *all = cm_asprintf("%s.\r\n", text);
    int64_t began = cm_now_mono_ms();
    int rc = smtp_do(e, OP_STAGE_SEND, '2', from) != 0 ||
                     smtp_do(e, OP_STAGE_SEND, '2', to) != 0 ||
                     smtp_do(e, OP_STAGE_SEND, '3', "DATA\r\n") != 0 ||
                     smtp_do(e, OP_STAGE_SEND, '2', all) != 0
                 ? -1
                 : 0;

    e->pair->accepted_ms = rc == 0 ? cm_now_mono_ms() - began : -1;
    free(from);
    free(to);
    free(text);
    free(all);
    return rc;
}

/* Is the newest message ours? One of an earlier round may have been late. */
static int is_ours(struct ends *e)
{
    char line[OP_TALK_LINE];
    bool found = false;

    if (op_talk_say(e->read,
                    "DONE\r\nd UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]\r\n",
                    &e->err) != 0) {
        return -1;
    }
    for (;;) {
        if (op_talk_hear(e->read, op_probe_step_ms, line, &e->err) != 1) {
            return -1;
        }
        found = found || strstr(line, e->id) != NULL;
        if (strncmp(line, "d ", 2) == 0) {
            break;
        }
    }
    return found ? 1 : imap_do(e, "e", "e IDLE\r\n", "+");
}

/* It may be announced before it is answered. */
static int await(struct ends *e, int64_t began)
{
    int64_t until = began + op_probe_wait_ms, left, at;
    char line[OP_TALK_LINE];

    while ((left = until - cm_now_mono_ms()) > 0) {
        int rc = op_talk_hear(e->read, left, line, &e->err);
        if (rc < 0) {
            return stop_err(e, OP_STAGE_ARRIVE, -1);
        }
        if (rc == 0 || strstr(line, " EXISTS") == NULL) {
            continue;
        }
        at = cm_now_mono_ms();
        rc = is_ours(e);
        if (rc < 0) {
            return stop_err(e, OP_STAGE_ARRIVE, -1);
        }
        if (rc == 1) {
            e->pair->ms = at - began;
            return 0;
        }
    }
    char said[80];
    snprintf(said, sizeof(said), "accepted, but not announced in %.0f s",
             (double)op_probe_wait_ms / 1000);
    return stop(e, OP_STAGE_ARRIVE, said);
}

/* Nothing is kept: a mailbox that grows would slow the next round. */
static void tidy(struct ends *e)
{
    char line[OP_TALK_LINE];

    if (op_talk_say(e->read,
                    "f UID STORE 1:* +FLAGS.SILENT (\\Deleted)\r\n"
                    "g EXPUNGE\r\nh LOGOUT\r\n",
                    &e->err) == 0) {
        (void)imap_until(e, "h", NULL, line);
    }
    if (op_talk_say(e->send, "QUIT\r\n", &e->err) == 0) {
        (void)!op_talk_hear(e->send, op_probe_step_ms, line, &e->err);
    }
}

void op_probe_pair(struct op_pair *pair, const char *domain,
                   const struct op_probe_account *account)
{
    uint64_t word = 0;
    struct ends e = {.pair = pair, .domain = domain, .account = account};

    (void)!getrandom(&word, sizeof(word), 0);
    snprintf(e.id, sizeof(e.id), "%016" PRIx64 "@%.300s", word, domain);
    pair->ms = pair->accepted_ms = pair->cert_end_s[0] = pair->cert_end_s[1] = -1;
    pair->said[0] = '\0';
    if (open_reader(&e) == 0 && open_sender(&e) == 0) {
        int64_t began = cm_now_mono_ms();
        if (send_it(&e) == 0 && await(&e, began) == 0) {
            pair->stage = OP_STAGE_DONE;
            tidy(&e);
        }
    }
    op_talk_close(&e.read);
    op_talk_close(&e.send);
}
