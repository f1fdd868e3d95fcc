/* A key that is accepted must survive being escaped and parsed again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"

#include "key.h"

static void escape(struct cm_buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        if (strchr("\"'\\", *s) != NULL) {
            cm_buf_add(out, "\\", 1);
        }
        cm_buf_add(out, s, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cm_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    struct key key, again;
    struct cm_err err;
    if (key_parse(text, &key, &err) == 0) {
        struct cm_buf b;
        cm_buf_init(&b, 4 * size + 64); /* addresses are part of size */
        static const char *const kinds[] = {
            [KEY_PASSDB] = "passdb", [KEY_USERDB] = "userdb", [KEY_FAILED] = "failed"};
        cm_buf_fmt(&b, "shared/%s-from/%s/", kinds[key.kind], key.client);
        if (key.kind == KEY_PASSDB) {
            cm_buf_fmt(&b, "%s/", key.local);
        }
        if (key.kind != KEY_USERDB) {
            escape(&b, key.password);
            cm_buf_str(&b, "\"");
        }
        escape(&b, key.user);
        cm_assert(key_parse(b.data, &again, &err) == 0);
        cm_assert(again.kind == key.kind && strcmp(again.user, key.user) == 0);
        cm_assert(strcmp(again.client, key.client) == 0 &&
                  strcmp(again.local, key.local) == 0);
        cm_assert(key.kind == KEY_USERDB || strcmp(again.password, key.password) == 0);
        key_clear(&again);
        key_clear(&key);
        cm_buf_clear(&b);
    }
    free(text);
    return 0;
}
