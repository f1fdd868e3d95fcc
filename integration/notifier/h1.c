#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"

#include "talk.h"

#define IN_MAX (TALK_HEADER_MAX + TALK_BODY_MAX)

struct h1 {
    struct talk talk;
    struct cm_buf in, out;
    int32_t stream;
    bool asked; /* an answer is owed; nothing is read until it is given */
    bool last;  /* the peer wants the connection closed after this one */
    bool over;
};

static struct h1 *h1_of(struct talk *talk)
{
    return (struct h1 *)(void *)talk;
}

struct head {
    bool post, notify, close;
    long body_len;
};

/* Cuts the head into lines; anything but the three fields we know is not looked at. */
static void parse_head(char *text, struct head *head)
{
    char *save = NULL, *line = strtok_r(text, "\r\n", &save);

    *head = (struct head){.post = line != NULL && strncmp(line, "POST ", 5) == 0};
    head->notify = head->post && strncmp(line + 5, "/notify ", 8) == 0;
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL) {
        char *value = strchr(line, ':');
        if (value == NULL)
            continue;
        *value++ = '\0';
        value += strspn(value, " \t");
        if (strcasecmp(line, "content-length") == 0)
            head->body_len = strtol(value, NULL, 10);
        else if (strcasecmp(line, "connection") == 0)
            head->close = strcasecmp(value, "close") == 0;
    }
}

/* One request out of what came. Returns 1, 0 when it is not whole yet, -1 when it never
 * will be. */
static int take_request(struct h1 *h1)
{
    char *end = strstr(h1->in.data, "\r\n\r\n");
    struct head head;

    if (end == NULL)
        return h1->in.len > TALK_HEADER_MAX ? -1 : 0;
    size_t head_len = (size_t)(end - h1->in.data) + 4;
    char *text = cm_strndup(h1->in.data, head_len);
    parse_head(text, &head);
    free(text);
    if (head.body_len < 0 || head.body_len > TALK_BODY_MAX)
        return -1;
    size_t body_len = (size_t)head.body_len;
    if (h1->in.len < head_len + body_len)
        return 0;
    h1->asked = true;
    h1->last = head.close;
    h1->stream++;
    h1->talk.request(h1->talk.ctx, h1->stream, head.notify, h1->in.data + head_len,
                     body_len);
    cm_buf_consume(&h1->in, head_len + body_len);
    return 1;
}

static int take_requests(struct h1 *h1)
{
    int rc = 0;

    while (!h1->asked && !h1->over && (rc = take_request(h1)) == 1)
        ;
    return rc < 0 ? -1 : 0;
}

static int input(struct talk *talk, const void *data, size_t len)
{
    struct h1 *h1 = h1_of(talk);

    cm_buf_add(&h1->in, data, len);
    return h1->in.overflow ? -1 : take_requests(h1);
}

static void answer(struct talk *talk, int32_t stream, int status)
{
    struct h1 *h1 = h1_of(talk);

    if (!h1->asked || stream != h1->stream)
        return;
    cm_buf_fmt(&h1->out, "HTTP/1.1 %d -\r\nContent-Length: 0\r\n%s\r\n", status,
               h1->last ? "Connection: close\r\n" : "");
    h1->asked = false;
    h1->over = h1->last;
}

static void output(struct talk *talk, struct cm_buf *out)
{
    struct h1 *h1 = h1_of(talk);

    if (take_requests(h1) != 0) /* those that waited for an answer to another */
        h1->over = true;
    cm_buf_add(out, h1->out.data, h1->out.len);
    cm_buf_reset(&h1->out);
}

static bool is_over(struct talk *talk)
{
    return h1_of(talk)->over;
}

static void free_talk(struct talk *talk)
{
    struct h1 *h1 = h1_of(talk);

    cm_buf_clear(&h1->in);
    cm_buf_clear(&h1->out);
    free(h1);
}

static const struct talk_ops ops = {.input = input,
                                    .answer = answer,
                                    .output = output,
                                    .is_over = is_over,
                                    .free = free_talk};

struct talk *talk_h1_new(talk_request_cb request, void *ctx)
{
    struct h1 *h1 = cm_calloc(1, sizeof(*h1));

    h1->talk = (struct talk){.ops = &ops, .request = request, .ctx = ctx};
    cm_buf_init(&h1->in, IN_MAX);
    cm_buf_init(&h1->out, IN_MAX);
    return &h1->talk;
}
