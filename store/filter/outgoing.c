/* Mail of logged-in users, relay-spec.md 2.9.4: login, MAIL FROM and From are one
 * address, the message is encrypted, and there are not too many of them. */
#include "filter.h"

#include <string.h>

#include "common/log.h"

#include "blind.h"

static bool check_sender(const struct transaction *t, struct decision *d)
{
    if (!t->sender_ok || (t->sender[0] != '\0' && address_domain(t->sender) == NULL)) {
        return decide_refuse(d, WHY_ADDRESS, "500", "Invalid from address <%s>",
                             t->sender);
    }
    if (t->login[0] == '\0') { /* a mistake in Postfix' settings, not the sender's */
        return decide_refuse(d, WHY_LOGIN, "451",
                             "4.7.0 Nobody is logged in here; try again later");
    }
    if (t->sender[0] != '\0' && strcmp(t->sender, t->login) != 0) {
        return decide_refuse(
            d, WHY_LOGIN, "553",
            "5.7.1 <%s>: Sender address rejected: not owned by user %s", t->sender,
            t->login);
    }
    return true;
}

/* One message counts once, whatever the number of its recipients, and also when it is
 * refused in the end; it is counted when it has its first recipient. */
static bool outgoing_rcpt(struct transaction *t, const char *account,
                          struct decision *d)
{
    (void)account;
    if (!check_sender(t, d)) {
        return false;
    }
    if (!t->rate_asked) {
        t->rate_asked = true;
        t->rate_ok = rate_take(t->filter->rate, &t->settings.gcra, t->login);
    }
    return t->rate_ok ||
           decide_refuse(d, WHY_RATE, "450", "4.7.1: Too much mail from %s", t->login);
}

/* The texts that counters match (relay-spec.md 3.9). */
static void log_kind(const struct transaction *t)
{
    enum verdict_kind kind = verdict_kind(&t->verdict);
    bool encrypted = kind == VERDICT_ENCRYPTED || kind == VERDICT_SECUREJOIN;
    cm_log_text(CM_LOG_INFO, "Outgoing: Filtering %s mail.",
                encrypted ? "encrypted" : "unencrypted");
}

static void outgoing_end(struct transaction *t, struct decision *d)
{
    struct rcpt sender = {.account = t->login};
    bool go_on = decide_outgoing_content(&t->verdict, t->sender, d);
    if (go_on || d->why == WHY_UNENCRYPTED) {
        log_kind(t);
    }
    if (go_on && transaction_look_up(t, &sender, d)) {
        decide_outgoing(&t->verdict, &sender, t->rcpts, t->count, d);
    }
    if (d->why == WHY_UNENCRYPTED) {
        char who[BLIND_SIZE];
        blind(t->verdict.from, who);
        cm_log_text(CM_LOG_INFO, "Rejected unencrypted mail from: %s", who);
    }
}

const struct mode mode_outgoing = {.name = "outgoing",
                                   .program = "chatmail-filter-out",
                                   .side = VERDICT_OUTGOING,
                                   .judges = true,
                                   .cleans = true,
                                   .signs = true,
                                   .rcpt = outgoing_rcpt,
                                   .end = outgoing_end};
