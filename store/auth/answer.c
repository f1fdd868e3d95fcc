#include "answer.h"

#include <string.h>

/* As JSON wants it between quotes. */
static bool add_escaped(struct cm_buf *out, const char *s)
{
    while (*s != '\0') {
        size_t plain = 0;
        while (s[plain] >= ' ' && s[plain] <= '~' && s[plain] != '"' &&
               s[plain] != '\\') {
            plain++;
        }
        cm_buf_add(out, s, plain);
        s += plain;
        if (*s == '"' || *s == '\\') {
            char two[2] = {'\\', *s++};
            cm_buf_add(out, two, sizeof(two));
        } else if (*s != '\0') {
            return false;
        }
    }
    return true;
}

/* By hand: this is most of what a lookup costs here, and all texts are ASCII. */
bool answer_json(struct cm_buf *out, const char *addr, const char *mailboxes_dir,
                 const char *password)
{
    cm_buf_reset(out);
    cm_buf_str(out, "{\"addr\":\"");
    bool ok = add_escaped(out, addr);
    cm_buf_str(out, "\",\"home\":\"");
    ok = ok && add_escaped(out, mailboxes_dir);
    cm_buf_str(out, "/");
    ok = ok && add_escaped(out, addr);
    cm_buf_str(out, "\",\"uid\":\"vmail\",\"gid\":\"vmail\",\"password\":\"");
    ok = ok && add_escaped(out, password);
    cm_buf_str(out, "\"}");
    return ok && !out->overflow;
}
