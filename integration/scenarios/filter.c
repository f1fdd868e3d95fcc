/* What may leave and what may come in, as clients and strangers see it through the
 * gateways: relay-spec.md 6.8 over real SMTP, every reply with its text. Relay2 is a
 * relay of its own; that its mail arrives proves that it was signed as it left, and
 * that the key was found in the lab's DNS. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "door.h"
#include "ledger.h"
#include "letters/letters.h"
#include "mailbox.h"
#include "probe/mail.h"
#include "probe/smtp.h"
#include "send_rate.h"
#include "unit.h"

#define STEP_MS  30000
#define FIND_MS  60000
#define BACK_MS  10000
#define EHLO     "letters.client.example"
#define OUT_UNIT "chatmail-filter-out.service"
#define CLEAR    "Encryption Needed: Invalid Unencrypted Mail"

/* Who writes to whom. */
struct cast {
    struct scene_account one, two; /* of the store */
    struct scene_account far;      /* of relay2 */
    struct ledger two_has, far_has, one_has;
};

static struct smtp *enter(struct stage *stage, const char *node,
                          const struct scene_account *who, struct cm_err *err)
{
    struct door door = door_at(node, AF_INET, who != NULL ? 465 : 25, false);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    struct smtp *smtp = smtp_open(&to, EHLO, err);
    struct smtp_reply reply = {.code = 235};
    if (smtp != NULL && who != NULL &&
        (smtp_auth(smtp, who->addr, who->password, &reply, err) != 0 ||
         reply.code != 235)) {
        cm_err_set(err, CM_ERR_RETRY, "login at %s: %d", node, reply.code);
        smtp_close(&smtp);
    }
    return smtp;
}

/* Offers text and holds the answer against code and text, which may be "". ledger (may
 * be NULL): of the mailbox where it must be when it was taken, and else must not. */
static int offer(struct smtp *smtp, const char *from, const char *to, const char *text,
                 const char *id, int code, const char *words, struct ledger *ledger,
                 struct cm_err *err)
{
    struct smtp_reply reply;
    if (smtp_command(smtp, &reply, err, "RSET") != 0 ||
        smtp_send(smtp, from, to, text, &reply, err) != 0) {
        return -1;
    }
    if (reply.code != code || strncmp(reply.text, words, strlen(words)) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%d %.200s, not %d %s", reply.code,
                          reply.text, code, words);
    }
    if (ledger != NULL) {
        ledger_add(ledger, id, code == 250 ? LEDGER_ACCEPTED : LEDGER_REFUSED);
    }
    return 0;
}

static void new_id(char id[64])
{
    char name[17];
    mail_random(name, sizeof name);
    snprintf(id, 64, "%s@letters.example", name);
}

static int offer_letter(struct smtp *smtp, enum letter letter, const char *from,
                        const char *author, const char *to, int code, const char *words,
                        struct ledger *ledger, struct cm_err *err)
{
    char id[64];
    new_id(id);
    char *text = letter_text(letter, author, to, id);
    int rc = offer(smtp, from, to, text, id, code, words, ledger, err);
    free(text);
    return rc == 0 ? 0
                   : cm_err_prefix(err, "%s from <%s> by %s to %s", letter_name(letter),
                                   from, author, to);
}

/* ---- out ---- */

enum who { ONE, TWO, FAR, EVIL, NOBODY };

static const struct out_row {
    enum letter letter;
    enum who author, to;
    int code;
    const char *words;
} out_rows[] = {
    {LETTER_ENCRYPTED, ONE, TWO, 250, ""},
    {LETTER_ENCRYPTED, ONE, FAR, 250, ""},
    {LETTER_ENCRYPTED, EVIL, TWO, 500, "Invalid FROM <"},
    {LETTER_SETUP, ONE, ONE, 250, ""},
    {LETTER_SETUP, ONE, TWO, 523, CLEAR},
    {LETTER_PLAIN, ONE, TWO, 523, CLEAR},
    {LETTER_PLAIN, ONE, FAR, 523, CLEAR},
    {LETTER_MDN, ONE, TWO, 523, CLEAR},
    {LETTER_FAKE_ENCRYPTED, ONE, TWO, 523, CLEAR},
    {LETTER_LITERAL, ONE, TWO, 523, CLEAR},
    {LETTER_MAILER_DAEMON, ONE, TWO, 500, "Invalid FROM <"},
    {LETTER_SECUREJOIN, ONE, TWO, 250, ""},
    {LETTER_SECUREJOIN, ONE, FAR, 250, ""},
    {LETTER_SECUREJOIN_FAKE, ONE, FAR, 523, CLEAR},
};
#define OUT_ROWS (sizeof out_rows / sizeof out_rows[0])

static const char *address_of(const struct cast *cast, enum who who)
{
    switch (who) {
    case ONE:
        return cast->one.addr;
    case TWO:
        return cast->two.addr;
    case FAR:
        return cast->far.addr;
    case EVIL:
    case NOBODY:
        break;
    }
    return who == EVIL ? "evil@" SCENE_DOMAIN : "nobodyhere@" SCENE_DOMAIN;
}

static struct ledger *ledger_of(struct cast *cast, enum who who)
{
    return who == TWO ? &cast->two_has : who == FAR ? &cast->far_has : &cast->one_has;
}

static int foreign_sender(struct smtp *smtp, const struct cast *cast,
                          struct cm_err *err)
{
    struct smtp_reply reply;
    if (smtp_command(smtp, &reply, err, "RSET") != 0 ||
        smtp_command(smtp, &reply, err, "MAIL FROM:<%s>", cast->two.addr) != 0 ||
        smtp_command(smtp, &reply, err, "RCPT TO:<%s>", cast->far.addr) != 0) {
        return -1;
    }
    return reply.code == 553 && strncmp(reply.text, "5.7.1", 5) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "as another sender: %d %.200s",
                            reply.code, reply.text);
}

static int outgoing(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "edge1", &cast->one, err);
    int rc = smtp != NULL ? 0 : -1;
    for (size_t i = 0; i < OUT_ROWS && rc == 0; i++) {
        const struct out_row *r = &out_rows[i];
        rc = offer_letter(smtp, r->letter, cast->one.addr, address_of(cast, r->author),
                          address_of(cast, r->to), r->code, r->words,
                          ledger_of(cast, r->to), err);
    }
    if (rc == 0) {
        rc = foreign_sender(smtp, cast, err);
    }
    smtp_close(&smtp);
    return rc;
}

/* ---- the header as it arrives ---- */

struct seen {
    unsigned dots; /* "Subject: [...]" */
    char bad[200]; /* a line that should not be there */
};

static void on_header_line(const char *line, void *ctx)
{
    static const char *const gone[] = {"Received:",       "X-Mailer:",
                                       "User-Agent:",     "X-Originating",
                                       "DKIM-Signature:", "Authentication-Results:"};
    struct seen *seen = ctx;
    seen->dots += strcmp(line, "Subject: [...]") == 0;
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        if (strncasecmp(line, gone[i], strlen(gone[i])) == 0) {
            snprintf(seen->bad, sizeof seen->bad, "%.150s", line);
        }
    }
    if (strstr(line, "secret") != NULL) {
        snprintf(seen->bad, sizeof seen->bad, "%.150s", line);
    }
}

static int look_at_headers(struct stage *stage, const char *node,
                           const struct scene_account *who, struct cm_err *err)
{
    struct door door = door_at(node, AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    struct imap *imap = imap_open(&to, err);
    struct seen seen = {.dots = 0};
    enum imap_verdict verdict;
    int rc = -1;
    if (imap != NULL &&
        imap_login(imap, who->addr, who->password, &verdict, NULL, err) == 0 &&
        imap_command(imap, "SELECT INBOX", NULL, NULL, err) == 0 &&
        imap_command(imap, "UID FETCH 1:* (BODY.PEEK[HEADER])", on_header_line, &seen,
                     err) == 0) {
        rc = 0;
    }
    imap_close(&imap);
    if (rc == 0 && (seen.dots == 0 || seen.bad[0] != '\0')) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "mail at %s has \"%s\", and %u subjects",
                        node, seen.bad, seen.dots);
    }
    return rc;
}

/* Its first field too: Postfix hides that from a milter when it is its own. */
static int talkative(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "edge2", &cast->one, err);
    int rc = smtp != NULL ? 0 : -1;
    static const enum who readers[] = {TWO, FAR};
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        char id[64];
        new_id(id);
        char *good = letter_text(LETTER_ENCRYPTED, cast->one.addr,
                                 address_of(cast, readers[i]), id);
        char *dots = strstr(good, "[...]");
        char *text = cm_asprintf(
            "User-Agent: secret\r\nReceived: from secret\r\nX-Mailer: secret\r\n"
            "X-Originating-IP: secret\r\nReceived: from secret\r\n by secret\r\n"
            "%.*sa secret%s",
            (int)(dots - good), good, dots + 5);
        rc = offer(smtp, cast->one.addr, address_of(cast, readers[i]), text, id, 250,
                   "", ledger_of(cast, readers[i]), err);
        free(text);
        free(good);
    }
    smtp_close(&smtp);
    return rc;
}

/* ---- in ---- */

#define LITERAL "alice@[198.51.100.77]"
#define UNKNOWN "5.1.1 Recipient address rejected: User unknown"

static const struct in_row {
    enum letter letter;
    const char *from, *author;
    const char *before, *behind; /* of the recipient's local part */
    enum who to;
    int code;
    const char *words;
} in_rows[] = {
    {LETTER_ENCRYPTED, "x@client.example", "x@client.example", "", "", TWO, 554,
     "5.7.1 No DKIM signature found"},
    {LETTER_PLAIN, "x@client.example", "x@client.example", "", "", TWO, 523, CLEAR},
    {LETTER_PLAIN, "x@client.example", "x@client.example", "", "+a", TWO, 523, CLEAR},
    {LETTER_PLAIN, "x@client.example", "x@client.example", "\"", "\"", TWO, 523, CLEAR},
    {LETTER_FAKE_ENCRYPTED, LITERAL, LITERAL, "", "", TWO, 523, CLEAR},
    {LETTER_ENCRYPTED, LITERAL, LITERAL, "", "", TWO, 250, ""},
    {LETTER_ENCRYPTED, "", LITERAL, "", "+tag", TWO, 250, ""},
    {LETTER_ENCRYPTED, "x@client.example", LITERAL, "", "", TWO, 250, ""},
    {LETTER_SECUREJOIN, LITERAL, LITERAL, "", "", TWO, 250, ""},
    {LETTER_ENCRYPTED, LITERAL, "nobody", "", "", TWO, 500, "Invalid FROM header: "},
    {LETTER_ENCRYPTED, LITERAL, LITERAL, "", "", NOBODY, 550, UNKNOWN},
    {LETTER_ENCRYPTED, LITERAL, LITERAL, "", "+tag", NOBODY, 550, UNKNOWN},
};
#define IN_ROWS (sizeof in_rows / sizeof in_rows[0])

static int verify_tells_nothing(struct smtp *smtp, const struct cast *cast,
                                struct cm_err *err)
{
    struct smtp_reply known, unknown;
    if (smtp_command(smtp, &known, err, "VRFY %s", cast->two.addr) != 0 ||
        smtp_command(smtp, &unknown, err, "VRFY nobodyhere@" SCENE_DOMAIN) != 0) {
        return -1;
    }
    /* 252 repeats the name that was asked. */
    return known.code == 252 && unknown.code == 252
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "VRFY: %d %.100s or %d %.100s",
                            known.code, known.text, unknown.code, unknown.text);
}

static int one_in(struct smtp *smtp, const struct in_row *r, struct cast *cast,
                  struct cm_err *err)
{
    const char *addr = address_of(cast, r->to), *at = strchr(addr, '@');
    char to[160];
    snprintf(to, sizeof to, "%s%.*s%s%s", r->before, (int)(at - addr), addr, r->behind,
             at);
    return offer_letter(smtp, r->letter, r->from, r->author, to, r->code, r->words,
                        &cast->two_has, err);
}

static int strangers(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "edge2", NULL, err);
    int rc = smtp != NULL ? 0 : -1;
    for (size_t i = 0; i < IN_ROWS && rc == 0; i++) {
        rc = one_in(smtp, &in_rows[i], cast, err);
    }
    if (rc == 0) {
        rc = verify_tells_nothing(smtp, cast, err);
    }
    smtp_close(&smtp);
    return rc;
}

/* A signature whose key does not exist, over whatever was meant. */
static int no_key(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "edge1", NULL, err);
    if (smtp == NULL) {
        return -1;
    }
    char id[64];
    new_id(id);
    char *good = letter_text(LETTER_ENCRYPTED, "x@client.example", cast->two.addr, id);
    char *text =
        cm_asprintf("DKIM-Signature: v=1; a=rsa-sha256; d=client.example; s=no;"
                    " h=from; bh=AAAA; b=AAAA\r\n%s",
                    good);
    int rc = offer(smtp, "x@client.example", cast->two.addr, text, id, 554,
                   "5.7.1 No valid DKIM signature found", &cast->two_has, err);
    free(text);
    free(good);
    smtp_close(&smtp);
    return rc;
}

static int from_relay2(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "relay2", &cast->far, err);
    int rc = smtp == NULL
                 ? -1
                 : offer_letter(smtp, LETTER_ENCRYPTED, cast->far.addr, cast->far.addr,
                                cast->two.addr, 250, "", &cast->two_has, err);
    smtp_close(&smtp);
    return rc;
}

/* ---- flags ---- */

static int set_flag(struct stage *stage, const struct scene_account *who,
                    const char *what, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "runuser -u postgres -- psql -q chatmail -c \"update account set %s"
                    " where addr = '%s'\"",
                    what, who->addr);
}

/* At once: the first message after the change has it. */
static int flags(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct smtp *smtp = enter(stage, "edge2", NULL, err);
    const char *two = cast->two.addr;
    int rc =
        smtp == NULL ||
                set_flag(stage, &cast->two, "enforce_e2ee_incoming = false", err) !=
                    0 ||
                offer_letter(smtp, LETTER_PLAIN, LITERAL, LITERAL, two, 250, "",
                             &cast->two_has, err) != 0 ||
                offer_letter(smtp, LETTER_PLAIN, "x@client.example", "x@client.example",
                             two, 554, "5.7.1 No DKIM", &cast->two_has, err) != 0 ||
                set_flag(stage, &cast->two,
                         "enforce_e2ee_incoming = true, disabled = true", err) != 0 ||
                offer_letter(smtp, LETTER_ENCRYPTED, LITERAL, LITERAL, two, 250, "",
                             NULL, err) != 0 ||
                set_flag(stage, &cast->two, "disabled = false", err) != 0 ||
                offer_letter(smtp, LETTER_PLAIN, LITERAL, LITERAL, two, 523, CLEAR,
                             &cast->two_has, err) != 0
            ? -1
            : 0;
    smtp_close(&smtp);
    return rc;
}

/* ---- rate ---- */

int scenario_filter_back(struct stage *stage, struct cm_err *err)
{
    return send_rate_back(stage, err);
}

static int rate(struct stage *stage, struct cm_err *err)
{
    struct scene_account sender;
    if (account_make(stage, &sender, SCENE_DOMAIN, err) != 0 ||
        send_rate_as_people(stage, err) != 0 ||
        send_rate_holds(stage, &sender, err) != 0) {
        return -1;
    }
    return send_rate_back(stage, err);
}

/* ---- the filter dies in the middle of a message ---- */

static int killed(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    char id[64];
    struct smtp_reply reply;
    int64_t ms;
    new_id(id);
    const char *from = cast->one.addr, *to = cast->two.addr;
    char *text = mail_text(from, to, id);
    struct smtp *smtp = enter(stage, "edge1", &cast->one, err);
    int rc = smtp == NULL ||
                     smtp_command(smtp, &reply, err, "MAIL FROM:<%s>", from) != 0 ||
                     smtp_command(smtp, &reply, err, "RCPT TO:<%s>", to) != 0 ||
                     smtp_command(smtp, &reply, err, "DATA") != 0 ||
                     unit_kill(stage, "store", OUT_UNIT, BACK_MS, &ms, err) != 0 ||
                     smtp_command(smtp, &reply, err, "%s\r\n.", text) != 0
                 ? -1
                 : 0;
    smtp_close(&smtp);
    if (rc == 0 && reply.code != 451) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "killed in the middle: %d %.200s",
                        reply.code, reply.text);
    }
    if (rc == 0) {
        smtp = enter(stage, "edge1", &cast->one, err);
        rc = smtp == NULL
                 ? -1
                 : offer(smtp, from, to, text, id, 250, "", &cast->two_has, err);
        smtp_close(&smtp);
    }
    free(text);
    return rc;
}

/* ---- all of it ---- */

static int counted(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    struct door home = door_at("edge1", AF_INET, 993, true);
    struct door far = door_at("relay2", AF_INET, 993, true);
    if (mailbox_even(stage, &home, &cast->two, &cast->two_has, FIND_MS, err) != 0 ||
        mailbox_even(stage, &home, &cast->one, &cast->one_has, FIND_MS, err) != 0 ||
        mailbox_even(stage, &far, &cast->far, &cast->far_has, FIND_MS, err) != 0) {
        return -1;
    }
    stage_note(stage, "%zu taken, all there once; %zu refused",
               ledger_count(&cast->two_has, LEDGER_ACCEPTED) +
                   ledger_count(&cast->one_has, LEDGER_ACCEPTED) +
                   ledger_count(&cast->far_has, LEDGER_ACCEPTED),
               ledger_count(&cast->two_has, LEDGER_REFUSED) +
                   ledger_count(&cast->one_has, LEDGER_REFUSED) +
                   ledger_count(&cast->far_has, LEDGER_REFUSED));
    return 0;
}

static int play(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    if (account_make(stage, &cast->one, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &cast->two, SCENE_DOMAIN, err) != 0 ||
        account_make(stage, &cast->far, SCENE_RELAY2, err) != 0 ||
        talkative(stage, cast, err) != 0 || from_relay2(stage, cast, err) != 0 ||
        counted(stage, cast, err) != 0 ||
        look_at_headers(stage, "edge1", &cast->two, err) != 0 ||
        look_at_headers(stage, "relay2", &cast->far, err) != 0 ||
        outgoing(stage, cast, err) != 0 || strangers(stage, cast, err) != 0 ||
        no_key(stage, cast, err) != 0 || flags(stage, cast, err) != 0 ||
        rate(stage, err) != 0 || killed(stage, cast, err) != 0) {
        return -1;
    }
    return counted(stage, cast, err);
}

int scenario_filter(struct stage *stage, struct cm_err *err)
{
    static struct cast cast;
    ledger_init(&cast.one_has);
    ledger_init(&cast.two_has);
    ledger_init(&cast.far_has);
    int rc = play(stage, &cast, err);
    ledger_clear(&cast.one_has);
    ledger_clear(&cast.two_has);
    ledger_clear(&cast.far_has);
    return rc;
}
