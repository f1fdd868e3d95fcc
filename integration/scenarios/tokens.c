#include "tokens.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

#include "door.h"

#define STEP_MS 15000
#define TOKEN   "/private/devicetoken"

struct imap *tokens_log_in(struct stage *stage, const struct scene_account *account,
                           struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 993, true);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    enum imap_verdict verdict;
    char text[256];
    struct imap *imap = imap_open(&to, err);
    if (imap == NULL) {
        return NULL;
    }
    int rc = imap_login(imap, account->addr, account->password, &verdict, text, err);
    if (rc == 0 && verdict != IMAP_IN) {
        rc = cm_err_set(err, CM_ERR_RETRY, "login: %s", text);
    }
    if (rc != 0) {
        imap_close(&imap);
    }
    return imap;
}

static void collect(const char *line, void *ctx)
{
    cm_buf_str(ctx, line);
    cm_buf_str(ctx, "\n");
}

/* The untagged lines must hold `want`. */
int tokens_hold(struct imap *imap, const char *command, const char *want,
                struct cm_err *err)
{
    struct cm_buf got;
    cm_buf_init(&got, 65536);
    int rc = imap_command(imap, command, collect, &got, err);
    if (rc == 0 && strstr(got.data, want) == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%.80s: '%.200s', not '%.200s'", command,
                        got.data, want);
    }
    cm_buf_clear(&got);
    return rc;
}

/* Dovecot answers a value as a literal. */
int tokens_are(struct imap *imap, const char *value, struct cm_err *err)
{
    char *want = cm_asprintf("(" TOKEN " {%zu}\n%s)", strlen(value), value);
    int rc = tokens_hold(imap, "GETMETADATA \"INBOX\" " TOKEN, want, err);
    free(want);
    return rc;
}

int tokens_add(struct imap *imap, const char *value, struct cm_err *err)
{
    char *command = cm_asprintf("SETMETADATA \"INBOX\" (" TOKEN " {%zu+}\r\n%s)",
                                strlen(value), value);
    int rc = imap_command(imap, command, NULL, NULL, err);
    free(command);
    return rc;
}
