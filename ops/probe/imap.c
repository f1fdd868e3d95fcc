#include "imap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#define MAX_LINES 200000

struct imap {
    struct wire *wire;
    unsigned tag;
};

enum imap_verdict imap_judge(const char *tagged)
{
    if (strncmp(tagged, "OK", 2) == 0) {
        return IMAP_IN;
    }
    if (strstr(tagged, "[UNAVAILABLE]") != NULL) {
        return IMAP_TEMPORARY;
    }
    if (strstr(tagged, "[AUTHENTICATIONFAILED]") != NULL ||
        strstr(tagged, "[AUTHORIZATIONFAILED]") != NULL) {
        return IMAP_REFUSED;
    }
    return IMAP_OTHER;
}

const char *imap_verdict_name(enum imap_verdict verdict)
{
    static const char *const names[] = {"in", "refused", "temporary", "other"};
    return names[verdict];
}

static int next_line(struct imap *imap, char line[WIRE_LINE], struct cm_err *err)
{
    int rc = wire_line(imap->wire, line, err);
    if (rc == 0) {
        return cm_err_set(err, CM_ERR_RETRY, "IMAP server closed the connection");
    }
    return rc < 0 ? -1 : 0;
}

/* Sends "TAG command" and reads to the tagged answer, whose text goes to `tagged`. */
static int exchange(struct imap *imap, const char *command,
                    void (*each)(const char *line, void *ctx), void *ctx,
                    char tagged[WIRE_LINE], struct cm_err *err)
{
    char tag[16];
    int n = snprintf(tag, sizeof tag, "a%u ", ++imap->tag);
    char *line = cm_asprintf("%s%s\r\n", tag, command);
    int rc = wire_write(imap->wire, line, err);
    cm_wipe_str(&line);
    for (int i = 0; rc == 0 && i < MAX_LINES; i++) {
        char got[WIRE_LINE];
        rc = next_line(imap, got, err);
        if (rc == 0 && strncmp(got, tag, (size_t)n) == 0) {
            snprintf(tagged, WIRE_LINE, "%s", got + n);
            return 0;
        }
        if (rc == 0 && each != NULL) {
            each(got, ctx);
        }
    }
    return rc != 0 ? -1
                   : cm_err_set(err, CM_ERR_REFUSE, "an IMAP answer without an end");
}

int imap_command(struct imap *imap, const char *command,
                 void (*each)(const char *line, void *ctx), void *ctx,
                 struct cm_err *err)
{
    char tagged[WIRE_LINE];
    if (exchange(imap, command, each, ctx, tagged, err) != 0) {
        return -1;
    }
    if (strncmp(tagged, "OK", 2) != 0) {
        return cm_err_set(err, CM_ERR_RETRY, "%.40s: %.200s", command, tagged);
    }
    return 0;
}

int imap_idle(struct imap *imap, struct cm_err *err)
{
    char line[WIRE_LINE];
    if (wire_write(imap->wire, "idle IDLE\r\n", err) != 0 ||
        next_line(imap, line, err) != 0) {
        return -1;
    }
    return line[0] == '+'
               ? 0
               : cm_err_set(err, CM_ERR_RETRY, "IDLE was answered: %.200s", line);
}

/* "* OK Still here" keeps NAT boxes awake and announces nothing. */
int imap_idle_wait(struct imap *imap, int64_t limit_ms, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + limit_ms, left;
    while ((left = until - cm_now_mono_ms()) >= 0) {
        char line[WIRE_LINE];
        if (!wire_ready(imap->wire, left)) {
            return 0;
        }
        if (next_line(imap, line, err) != 0) {
            return -1;
        }
        if (strncmp(line, "* BYE", 5) == 0 || line[0] != '*') {
            return cm_err_set(err, CM_ERR_RETRY, "IDLE ended: %.200s", line);
        }
        if (strstr(line, " EXISTS") != NULL) {
            return 1;
        }
    }
    return 0;
}

int imap_done(struct imap *imap, struct cm_err *err)
{
    char line[WIRE_LINE] = "";
    if (wire_write(imap->wire, "DONE\r\n", err) != 0) {
        return -1;
    }
    do {
        if (next_line(imap, line, err) != 0) {
            return -1;
        }
    } while (line[0] == '*');
    return strncmp(line, "idle OK", 7) == 0
               ? 0
               : cm_err_set(err, CM_ERR_RETRY, "DONE: %.200s", line);
}

static int start(struct imap *imap, int port, struct cm_err *err)
{
    char line[WIRE_LINE];
    bool wrapped = port != 143;
    if (wrapped && wire_tls(imap->wire, port == 443 ? "imap" : NULL, err) != 0) {
        return -1;
    }
    if (next_line(imap, line, err) != 0) {
        return cm_err_prefix(err, "greeting");
    }
    if (strncmp(line, "* OK", 4) != 0) {
        return cm_err_set(err, CM_ERR_RETRY, "greeting: %.200s", line);
    }
    if (wrapped) {
        return 0;
    }
    if (imap_command(imap, "STARTTLS", NULL, NULL, err) != 0) {
        return -1;
    }
    return wire_tls(imap->wire, NULL, err);
}

struct imap *imap_open(const struct wire_to *to, struct cm_err *err)
{
    struct imap *imap = cm_calloc(1, sizeof *imap);
    imap->wire = wire_open(to, err);
    if (imap->wire == NULL) {
        imap_close(&imap);
        return NULL;
    }
    if (start(imap, to->port, err) != 0) {
        cm_err_prefix(err, "%s port %d", to->host, to->port);
        imap_close(&imap);
        return NULL;
    }
    return imap;
}

void imap_close(struct imap **imap)
{
    if (*imap != NULL) {
        wire_close(&(*imap)->wire);
        free(*imap);
        *imap = NULL;
    }
}

struct wire *imap_wire(struct imap *imap)
{
    return imap->wire;
}

const char *imap_local(const struct imap *imap)
{
    return wire_local(imap->wire);
}

static void add_quoted(struct cm_buf *b, const char *s)
{
    cm_buf_str(b, " \"");
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\') {
            cm_buf_add(b, "\\", 1);
        }
        cm_buf_add(b, s, 1);
    }
    cm_buf_str(b, "\"");
}

int imap_login(struct imap *imap, const char *user, const char *password,
               enum imap_verdict *verdict_r, char *text, struct cm_err *err)
{
    struct cm_buf command;
    char tagged[WIRE_LINE];
    cm_buf_init(&command, WIRE_LINE);
    cm_buf_str(&command, "LOGIN");
    add_quoted(&command, user);
    add_quoted(&command, password);
    int rc = exchange(imap, command.data, NULL, NULL, tagged, err);
    cm_wipe(command.data, command.len);
    cm_buf_clear(&command);
    if (rc != 0) {
        return -1;
    }
    *verdict_r = imap_judge(tagged);
    if (text != NULL) {
        snprintf(text, 256, "%.255s", tagged);
    }
    return 0;
}

struct id_walk {
    void (*each)(const char *id, void *ctx);
    void *ctx;
};

static void take_id(const char *line, void *ctx)
{
    struct id_walk *walk = ctx;
    char id[256];
    if (strncasecmp(line, "Message-ID:", 11) == 0 &&
        sscanf(line + 11, " <%255[^>]>", id) == 1) {
        walk->each(id, walk->ctx);
    }
}

int imap_message_ids(struct imap *imap, void (*each)(const char *id, void *ctx),
                     void *ctx, struct cm_err *err)
{
    struct id_walk walk = {.each = each, .ctx = ctx};
    if (imap_command(imap, "SELECT INBOX", NULL, NULL, err) != 0) {
        return -1;
    }
    return imap_command(imap, "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
                        take_id, &walk, err);
}
