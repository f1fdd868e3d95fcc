/* A request to /mxdeliv as it comes from nginx, played through to an SMTP server that
 * accepts everything and reads as carelessly as any: a bare LF ends a line, CR or not.
 * Whatever the headers and the body hold, that server must see one transaction with the
 * recipients that were taken, and not a command more. */
#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"

#include "dialog.h"
#include "request.h"

struct server {
    bool in_data;
    unsigned mails, rcpts, datas, messages, quits;
    struct cm_buf line;
};

struct play {
    struct request request;
    struct envelope envelope;
    struct dialog dialog;
    bool talking;
    bool refused; /* a header was: nothing is sent */
    struct server server;
};

static const char *command(struct server *s)
{
    const char *line = s->line.data;
    if (strncmp(line, "EHLO ", 5) == 0) {
        return "250-x\r\n250-SIZE\r\n250 8BITMIME\r\n";
    }
    if (strncmp(line, "MAIL FROM:<", 11) == 0) {
        s->mails++;
    } else if (strncmp(line, "RCPT TO:<", 9) == 0) {
        s->rcpts++;
        cm_assert(line[strlen(line) - 1] == '>' && strchr(line, ' ') == line + 4);
    } else if (strcmp(line, "DATA") == 0) {
        s->datas++;
        s->in_data = true;
        return "354 go\r\n";
    } else {
        cm_assert(strcmp(line, "QUIT") == 0);
        s->quits++;
    }
    return "250 ok\r\n";
}

/* One byte for the server; what it answers. */
static const char *serve(struct server *s, char c)
{
    if (c != '\n') {
        cm_buf_add(&s->line, &c, 1);
        return "";
    }
    size_t n = s->line.len;
    if (n > 0 && s->line.data[n - 1] == '\r') {
        s->line.data[--s->line.len] = '\0';
    }
    const char *answer = "";
    if (!s->in_data) {
        answer = command(s);
    } else if (strcmp(s->line.data, ".") == 0 && s->line.len == 1) {
        s->in_data = false;
        s->messages++;
        answer = "250 queued\r\n";
    }
    cm_buf_reset(&s->line);
    return answer;
}

static void pump(struct play *p)
{
    while (p->dialog.out.len > 0) {
        const char *answer = serve(&p->server, p->dialog.out.data[0]);
        cm_buf_consume(&p->dialog.out, 1);
        dialog_heard(&p->dialog, answer, strlen(answer));
    }
}

static void on_field(struct play *p, const struct request_event *e)
{
    struct cm_err err;
    if (strcmp(e->name, "x-mail-from") == 0) {
        p->refused |= envelope_from(&p->envelope, e->value, &err) != 0;
    } else if (strcmp(e->name, "x-mail-to") == 0) {
        p->refused |= envelope_to(&p->envelope, e->value, &err) != 0;
    }
}

static void on_event(struct play *p, const struct request_event *e)
{
    if (e->type == REQUEST_FIELD) {
        on_field(p, e);
    } else if (e->type == REQUEST_HEAD && !p->refused && p->envelope.count > 0) {
        dialog_init(&p->dialog, &p->envelope, p->request.length);
        p->talking = true;
        dialog_heard(&p->dialog, "220 x\r\n", 7);
        pump(p);
        cm_assert(p->dialog.state == DIALOG_BODY);
    } else if (p->talking && p->dialog.state == DIALOG_BODY) {
        if (e->type == REQUEST_BODY) {
            dialog_body(&p->dialog, e->data, e->len);
        } else if (e->type == REQUEST_END) {
            dialog_end(&p->dialog);
        }
        pump(p);
    }
}

static void check(const struct play *p)
{
    const struct server *s = &p->server;
    cm_assert(s->mails <= 1 && s->datas <= 1 && s->messages <= 1);
    cm_assert(!p->talking || s->rcpts == p->envelope.count);
    cm_assert(p->talking || s->mails == 0);
    cm_assert(s->messages == (p->talking && p->dialog.accepted ? 1 : 0));
    cm_assert(s->quits == s->messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play p = {.talking = false};
    const char *bytes = (const char *)data;
    request_init(&p.request);
    envelope_init(&p.envelope);
    cm_buf_init(&p.server.line, 1u << 20);
    /* The first byte says in what pieces the rest comes. */
    size_t step = size > 0 ? 1 + data[0] : 1;
    struct request_event e = {.type = REQUEST_MORE};
    for (size_t at = 1; at < size && e.type < REQUEST_END;) {
        size_t piece = size - at < step ? size - at : step, used;
        do {
            request_next(&p.request, bytes + at, piece, &used, &e);
            at += used;
            piece -= used;
            on_event(&p, &e);
        } while (e.type != REQUEST_MORE && e.type < REQUEST_END);
    }
    check(&p);
    if (p.talking) {
        dialog_clear(&p.dialog);
    }
    request_clear(&p.request);
    envelope_clear(&p.envelope);
    cm_buf_clear(&p.server.line);
    return 0;
}
