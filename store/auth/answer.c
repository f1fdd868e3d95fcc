#include "answer.h"

#include <stdlib.h>

#include <jansson.h>

#include "common/err.h"
#include "common/mem.h"

char *answer_json(const char *addr, const char *mailboxes_dir, const char *password)
{
    char *home = cm_asprintf("%s/%s", mailboxes_dir, addr);
    /* "s?" would be null for text that is not UTF-8; addresses and hashes are ASCII. */
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "addr", addr, "home", home,
                               "uid", "vmail", "gid", "vmail", "password", password);
    free(home);
    if (object == NULL) {
        return NULL;
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
    cm_assert(text != NULL);
    return text;
}
