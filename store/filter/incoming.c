/* Mail from elsewhere, relay-spec.md 2.9.8: for accounts that exist, encrypted where
 * the recipient wants it so, and signed by the domain of its author. */
#include "filter.h"

#include <string.h>

#include "common/log.h"

#include "blind.h"

static bool incoming_rcpt(struct transaction *t, const char *account,
                          struct decision *d)
{
    struct desk_flags flags = {0};
    struct cm_err err;
    if (account[0] != '\0' &&
        desk_accounts(t->filter->desk, &account, 1, &flags, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "accounts_unknown", &err);
        return decide_refuse(d, WHY_DATABASE, "451",
                             "4.3.0 Accounts cannot be looked up now; try again later");
    }
    return flags.known ||
           decide_refuse(d, WHY_UNKNOWN_USER, "550",
                         "5.1.1 Recipient address rejected: User unknown");
}

static void log_kind(const struct transaction *t)
{
    char who[BLIND_SIZE];
    switch (verdict_kind(&t->verdict)) {
    case VERDICT_ENCRYPTED:
    case VERDICT_SECUREJOIN:
        cm_log_text(CM_LOG_INFO, "Incoming: Filtering encrypted mail.");
        break;
    case VERDICT_REPORT:
        blind(t->verdict.from, who);
        cm_log_text(CM_LOG_INFO, "Incoming: Filtering mailer-daemon message from %s",
                    who);
        break;
    case VERDICT_SETUP:
    case VERDICT_CLEAR:
        cm_log_text(CM_LOG_INFO, "Incoming: Filtering unencrypted mail.");
        break;
    }
}

/* Only a proof that no signature can ever pass is final. */
static bool check_origin(struct transaction *t, struct decision *d)
{
    if (decide_origin_is_literal(&t->verdict)) {
        return true;
    }
    const char *reason = "";
    enum dkim_verdict verdict = dkim_end(t->dkim, t->filter->keys, &reason);
    if (verdict == DKIM_PASS) {
        return true;
    }
    cm_log(CM_LOG_INFO, "dkim_not_passed", "reason", reason, "domain",
           address_domain(t->verdict.from), NULL);
    if (verdict == DKIM_NONE) {
        return decide_refuse(d, WHY_DKIM_NONE, "554", "5.7.1 No DKIM signature found");
    }
    if (verdict == DKIM_FAIL) {
        return decide_refuse(d, WHY_DKIM_FAIL, "554",
                             "5.7.1 No valid DKIM signature found");
    }
    return decide_refuse(d, WHY_DKIM_TROUBLE, "451",
                         "4.7.5 DKIM key cannot be looked up now; try again later");
}

/* Encryption first, so that who sends cleartext is told that, and not of DKIM. */
static void incoming_end(struct transaction *t, struct decision *d)
{
    bool other;
    if (!decide_incoming_from(&t->verdict, t->sender, &other, d)) {
        return;
    }
    t->null_sender = other && t->sender[0] != '\0';
    if (!transaction_look_up(t, NULL, d)) {
        return;
    }
    log_kind(t);
    decide_incoming(&t->verdict, t->rcpts, t->count, d);
    if (d->action != DECIDE_REFUSE) {
        (void)check_origin(t, d);
    } else if (d->why == WHY_UNENCRYPTED) {
        char who[BLIND_SIZE];
        blind(t->verdict.from, who);
        cm_log_text(CM_LOG_INFO, "Rejected unencrypted mail from: %s", who);
    }
}

const struct mode mode_incoming = {.name = "incoming",
                                   .program = "chatmail-filter-in",
                                   .side = VERDICT_INCOMING,
                                   .judges = true,
                                   .rcpt = incoming_rcpt,
                                   .end = incoming_end};
