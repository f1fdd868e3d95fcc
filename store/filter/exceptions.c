#include "exceptions.h"

#include <string.h>
#include <strings.h>

bool securejoin_header(const struct fields *fields)
{
    const char *value = fields_once(fields, FIELD_SECURE_JOIN);
    return value != NULL &&
           (strcmp(value, "vc-request") == 0 || strcmp(value, "vg-request") == 0);
}

bool securejoin_text(const char *text)
{
    return strcasecmp(text, "secure-join: vc-request") == 0 ||
           strcasecmp(text, "secure-join: vg-request") == 0;
}

bool setup_message(const struct fields *fields, const struct ctype *ctype)
{
    const char *subject = fields_once(fields, FIELD_SUBJECT);
    return subject != NULL && strcmp(subject, "Autocrypt Setup Message") == 0 &&
           ctype_is(ctype, "multipart/mixed");
}

bool mailer_daemon_report(const struct fields *fields, const struct ctype *ctype,
                          const char *from)
{
    static const char daemon[] = "mailer-daemon@";
    const struct field_text *submitted = &fields->field[FIELD_AUTO_SUBMITTED];
    return submitted->count > 0 && submitted->text[0] != '\0' &&
           strncasecmp(from, daemon, sizeof(daemon) - 1) == 0 &&
           ctype_is(ctype, "multipart/report");
}
