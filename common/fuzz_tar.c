/* An archive from anywhere: whole and in pieces it is the same; no entry leads out of
 * the directory that it is made in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    unsigned entries, done;
    uint64_t bytes;
    int rc;
    enum cm_tar_event last;
};

static struct told tell(const char *data, size_t size, size_t step)
{
    struct told told = {.rc = 0};
    struct cm_tar tar;
    struct cm_err err = {.text = ""};
    const char *piece = NULL;
    size_t len = 0;

    cm_tar_init(&tar);
    while (size > 0 && told.rc == 0 && told.last != CM_TAR_END) {
        size_t n = size < step ? size : step, left = n;
        const char *at = data;
        do {
            told.rc = cm_tar_next(&tar, &at, &left, &told.last, &piece, &len, &err);
            told.entries += told.rc == 0 && told.last == CM_TAR_ENTRY;
            told.done += told.rc == 0 && told.last == CM_TAR_DONE;
            told.bytes += told.rc == 0 && told.last == CM_TAR_DATA ? len : 0;
            cm_assert(told.rc == 0 || err.text[0] != '\0');
            cm_assert(told.last != CM_TAR_ENTRY || told.rc != 0 ||
                      cm_tar_path_ok(tar.entry.path));
        } while (told.rc == 0 && told.last != CM_TAR_MORE && told.last != CM_TAR_END);
        data += n;
        size -= n;
    }
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told whole = tell((const char *)data, size, size + 1);
    struct told pieces = tell((const char *)data, size, 7);

    cm_assert(whole.rc == pieces.rc && whole.entries == pieces.entries &&
              whole.done == pieces.done && whole.bytes == pieces.bytes);
    return 0;
}
