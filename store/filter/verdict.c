#include "verdict.h"

#include <string.h>

#include "exceptions.h"

/* How the notices of all programs begin that write one. */
#define NOTICE "This is a"

void verdict_init(struct verdict *v, enum verdict_side side)
{
    v->side = side;
    v->header_bytes = 0;
    v->ctype.name[0] = v->ctype.boundary[0] = '\0';
    v->from[0] = '\0';
    v->from_problem = "not read yet";
    v->track = VERDICT_TRACK_NONE;
    v->reason = "no body";
    fields_init(&v->fields);
}

void verdict_header(struct verdict *v, const char *name, size_t name_len,
                    const char *value, size_t value_len)
{
    v->header_bytes += name_len + value_len + 3;
    fields_add(&v->fields, name, name_len, value, value_len, false);
}

/* One From field: readers of two disagree on which counts. */
static const char *read_from(struct verdict *v)
{
    const struct field_text *from = &v->fields.field[FIELD_FROM];
    if (from->count == 0) {
        return "there is none";
    }
    if (from->count > 1) {
        return "more than one";
    }
    if (from->too_long) {
        return "too long";
    }
    return address_first(from->text, v->from) ? NULL : "no address";
}

static void fail(struct verdict *v, const char *reason)
{
    v->track = VERDICT_TRACK_NONE;
    v->reason = reason;
}

static bool plain_encoding(const struct fields *fields)
{
    const struct field_text *encoding = &fields->field[FIELD_ENCODING];
    struct decode d;
    return encoding->count <= 1 && !encoding->too_long &&
           decode_init(&d, encoding->text) && d.kind == DECODE_PLAIN;
}

static void choose_track(struct verdict *v)
{
    if (ctype_is(&v->ctype, "multipart/encrypted")) {
        v->track = VERDICT_TRACK_PGP;
    } else if (ctype_is(&v->ctype, "multipart/") && securejoin_header(&v->fields)) {
        v->track = VERDICT_TRACK_JOIN;
    } else {
        fail(v, "not multipart/encrypted");
        return;
    }
    if (v->ctype.boundary[0] == '\0') {
        fail(v, "no boundary");
    } else if (!plain_encoding(&v->fields)) {
        fail(v, "multipart in an encoding");
    } else if (v->track == VERDICT_TRACK_JOIN &&
               v->header_bytes > VERDICT_CLEAR_HEADER_MAX) {
        fail(v, "securejoin with a long header");
    }
}

void verdict_headers_end(struct verdict *v)
{
    v->from_problem = read_from(v);
    const char *type = fields_once(&v->fields, FIELD_CONTENT_TYPE);
    if (type == NULL || !ctype_parse(type, &v->ctype)) {
        v->ctype.name[0] = '\0';
        fail(v, "no Content-Type, or none that can be read");
        return;
    }
    choose_track(v);
    if (v->track != VERDICT_TRACK_NONE) {
        mime_init(&v->mime, v->ctype.boundary);
        snippet_init(&v->snippet);
    }
}

/* What part n of a track has to be. */
static const struct {
    int track;
    unsigned n;
    const char *type;
} parts[] = {
    {VERDICT_TRACK_PGP, 1, "application/pgp-encrypted"},
    {VERDICT_TRACK_PGP, 2, "application/octet-stream"},
    {VERDICT_TRACK_JOIN, 1, "text/plain"},
};

static const char *wanted_type(const struct verdict *v)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].track == (int)v->track && parts[i].n == v->mime.parts) {
            return parts[i].type;
        }
    }
    return NULL;
}

static bool notice_only(struct verdict *v)
{
    const char *text = snippet_trimmed(&v->snippet);
    return text != NULL &&
           (*text == '\0' || strncmp(text, NOTICE, strlen(NOTICE)) == 0);
}

static bool part_is(const struct verdict *v, const char *wanted)
{
    const struct fields *fields = &v->mime.fields;
    const char *type = fields_once(fields, FIELD_CONTENT_TYPE);
    struct ctype ctype;
    if (fields->field[FIELD_CONTENT_TYPE].count == 0) {
        type = "text/plain"; /* RFC 2045, 5.2 */
    }
    return type != NULL && ctype_parse(type, &ctype) && ctype_is(&ctype, wanted);
}

static void on_part(struct verdict *v)
{
    const char *wanted = wanted_type(v);
    const struct field_text *encoding = &v->mime.fields.field[FIELD_ENCODING];
    if (v->mime.parts == 1 && !notice_only(v)) {
        fail(v, "text before the first part");
    } else if (wanted == NULL) {
        fail(v, "too many parts");
    } else if (!part_is(v, wanted)) {
        fail(v, "part of another type");
    } else if (encoding->count > 1 || encoding->too_long ||
               !decode_init(&v->decode, encoding->text)) {
        fail(v, "unknown transfer encoding");
    } else {
        snippet_init(&v->snippet);
        armour_init(&v->armour, v->side == VERDICT_INCOMING);
    }
}

static void on_data(struct verdict *v)
{
    bool armour = v->track == VERDICT_TRACK_PGP && v->mime.parts == 2;
    decode_push(&v->decode, v->mime.piece, v->mime.piece_len);
    while (decode_next(&v->decode)) {
        if (!armour) {
            snippet_add(&v->snippet, v->decode.piece, v->decode.piece_len);
        } else if (!armour_feed(&v->armour, v->decode.piece, v->decode.piece_len)) {
            fail(v, "not an armoured encrypted message");
            return;
        }
    }
    if (v->decode.bad) {
        fail(v, "broken transfer encoding");
    }
}

static void on_part_end(struct verdict *v)
{
    const char *text = snippet_trimmed(&v->snippet);
    if (!decode_end(&v->decode)) {
        fail(v, "broken transfer encoding");
    } else if (v->track == VERDICT_TRACK_JOIN) {
        if (text == NULL || !securejoin_text(text)) {
            fail(v, "securejoin with another text");
        }
    } else if (v->mime.parts == 1) {
        if (text == NULL || strcmp(text, "Version: 1") != 0) {
            fail(v, "no \"Version: 1\"");
        }
    } else if (!armour_end(&v->armour)) {
        fail(v, "not a whole encrypted message");
    }
    snippet_init(&v->snippet); /* for the epilogue */
}

static void on_epilogue(struct verdict *v)
{
    for (size_t i = 0; i < v->mime.piece_len; i++) {
        if (strchr(" \t\r\n", v->mime.piece[i]) == NULL || v->mime.piece[i] == '\0') {
            fail(v, "text behind the last part");
            return;
        }
    }
}

static void on_event(struct verdict *v, enum mime_event event)
{
    switch (event) {
    case MIME_PREAMBLE:
        snippet_add(&v->snippet, v->mime.piece, v->mime.piece_len);
        break;
    case MIME_PART:
        on_part(v);
        break;
    case MIME_DATA:
        on_data(v);
        break;
    case MIME_PART_END:
        on_part_end(v);
        break;
    case MIME_EPILOGUE:
        on_epilogue(v);
        break;
    case MIME_BAD:
        fail(v, "broken multipart");
        break;
    case MIME_MORE:
        break;
    }
}

bool verdict_body(struct verdict *v, const char *data, size_t len)
{
    if (v->track == VERDICT_TRACK_NONE) {
        return false;
    }
    enum mime_event event = MIME_PART;
    mime_push(&v->mime, data, len);
    while (v->track != VERDICT_TRACK_NONE && event != MIME_MORE) {
        event = mime_next(&v->mime);
        on_event(v, event);
    }
    return v->track != VERDICT_TRACK_NONE;
}

void verdict_end(struct verdict *v)
{
    if (v->track == VERDICT_TRACK_NONE) {
        return;
    }
    mime_end(&v->mime);
    for (enum mime_event event = MIME_PART;
         v->track != VERDICT_TRACK_NONE && event != MIME_MORE;) {
        event = mime_next(&v->mime);
        on_event(v, event);
    }
    unsigned wanted = v->track == VERDICT_TRACK_PGP ? 2 : 1;
    if (v->track != VERDICT_TRACK_NONE &&
        (!mime_closed(&v->mime) || v->mime.parts != wanted)) {
        fail(v, "parts are missing");
    }
}

enum verdict_kind verdict_kind(const struct verdict *v)
{
    if (v->track == VERDICT_TRACK_PGP) {
        return VERDICT_ENCRYPTED;
    }
    if (v->track == VERDICT_TRACK_JOIN) {
        return VERDICT_SECUREJOIN;
    }
    if (v->side == VERDICT_OUTGOING && setup_message(&v->fields, &v->ctype)) {
        return VERDICT_SETUP;
    }
    if (v->side == VERDICT_INCOMING && v->from_problem == NULL &&
        mailer_daemon_report(&v->fields, &v->ctype, v->from)) {
        return VERDICT_REPORT;
    }
    return VERDICT_CLEAR;
}

const char *verdict_reason(const struct verdict *v)
{
    return v->reason;
}
