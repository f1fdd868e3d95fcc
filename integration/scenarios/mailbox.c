#include "mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define LOOK_MS      15000
#define BETWEEN_MS   1500
#define LATE_COPY_MS 4000

static void note_found(const char *id, void *ctx)
{
    ledger_found(ctx, id);
}

static int look(const struct stage *stage, const struct door *door,
                const struct scene_account *account, struct ledger *ledger,
                struct cm_err *err)
{
    struct wire_to to = door_wire(stage, door, LOOK_MS);
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    enum imap_verdict verdict;
    char text[256];
    int rc = imap_login(imap, account->addr, account->password, &verdict, text, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_RETRY, "login to count: %s", text);
    }
    if (rc == 0) {
        ledger_forget_found(ledger);
        rc = imap_message_ids(imap, note_found, ledger, err);
    }
    imap_close(&imap);
    return rc;
}

/* A mailbox that cannot be read just now is like one that is short. */
static enum ledger_state state_of(const struct stage *stage, const struct door *door,
                                  const struct scene_account *account,
                                  struct ledger *ledger, struct cm_err *err)
{
    return look(stage, door, account, ledger, err) == 0 ? ledger_judge(ledger, err)
                                                        : LEDGER_SHORT;
}

int mailbox_even(const struct stage *stage, const struct door *door,
                 const struct scene_account *account, struct ledger *ledger,
                 int64_t limit_ms, struct cm_err *err)
{
    int64_t start = cm_now_mono_ms();
    for (;;) {
        enum ledger_state state = state_of(stage, door, account, ledger, err);
        int64_t took = cm_now_mono_ms() - start;
        if (state == LEDGER_EVEN) {
            break;
        }
        if (state == LEDGER_WRONG || took > limit_ms) {
            return cm_err_prefix(err, "INBOX of %s after %.0f s", account->addr,
                                 (double)took / 1000);
        }
        stage_sleep_ms(BETWEEN_MS);
    }
    stage_sleep_ms(LATE_COPY_MS);
    if (look(stage, door, account, ledger, err) != 0) {
        return cm_err_prefix(err, "second look");
    }
    return ledger_judge(ledger, err) == LEDGER_EVEN ? 0 : -1;
}

static void read_numbers(const char *line, void *ctx)
{
    struct mailbox_numbers *numbers = ctx;
    const char *at = strstr(line, "MESSAGES ");
    if (at != NULL) {
        numbers->messages = strtol(at + 9, NULL, 10);
    }
    at = strstr(line, "(STORAGE ");
    if (at != NULL) {
        char *end;
        numbers->kib = strtol(at + 9, &end, 10);
        numbers->limit_kib = strtol(end, NULL, 10);
    }
}

int mailbox_look(const struct stage *stage, const struct scene_account *account,
                 struct mailbox_numbers *numbers_r, struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, LOOK_MS);
    enum imap_verdict verdict;
    char text[256];
    struct mailbox_numbers numbers = {.messages = -1, .kib = -1, .limit_kib = -1};
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return -1;
    }
    int rc = imap_login(imap, account->addr, account->password, &verdict, text, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "login: %s", text);
    }
    if (rc == 0) {
        rc = imap_command(imap, "STATUS INBOX (MESSAGES)", read_numbers, &numbers, err);
    }
    if (rc == 0) {
        rc = imap_command(imap, "GETQUOTAROOT INBOX", read_numbers, &numbers, err);
    }
    imap_close(&imap);
    if (rc == 0) {
        *numbers_r = numbers;
    }
    return rc;
}
