#include "wgkey.h"

#include <string.h>

#include "common/file.h"
#include "common/mem.h"
#include "common/run.h"
#include "fields.h"

/* "KEY\n" to KEY. */
static int key_of(const char *text, const char *from, char out[PX_WG_KEY_TEXT],
                  struct cm_err *err)
{
    size_t len = strcspn(text, "\r\n");
    if (len != PX_WG_KEY_TEXT - 1 || strspn(text, PX_BASE64_LETTERS) != len ||
        text[len - 1] != '=') {
        return cm_err_set(err, CM_ERR_WORLD, "%s: not a WireGuard key", from);
    }
    memcpy(out, text, len);
    out[len] = 0;
    return 0;
}

int px_wgkey_load(const char *path, char private_key[PX_WG_KEY_TEXT],
                  struct cm_err *err)
{
    char *text = NULL;
    size_t len;
    int rc = cm_file_read(path, 256, &text, &len, err);
    if (rc == 1 && key_of(text, path, private_key, err) != 0) {
        rc = -1;
    }
    cm_wipe_str(&text);
    return rc;
}

static int wg(const char *verb, const char *input, char out[PX_WG_KEY_TEXT],
              struct cm_err *err)
{
    const char *const argv[] = {"wg", verb, NULL};
    struct cm_run run = {.argv = argv, .input = input, .timeout_ms = 10000};
    char *text = NULL;
    int rc = cm_run_ok(&run, &text, err);
    if (rc == 0) {
        rc = key_of(text, verb, out, err);
    }
    cm_wipe_str(&text);
    return rc;
}

int px_wgkey_make(const char *path, char public_key[PX_WG_KEY_TEXT], struct cm_err *err)
{
    char secret[PX_WG_KEY_TEXT + 1];
    int rc = px_wgkey_load(path, secret, err);
    if (rc == 0) {
        rc = wg("genkey", NULL, secret, err);
        if (rc == 0) {
            secret[PX_WG_KEY_TEXT - 1] = '\n';
            rc = cm_file_replace(path, secret, PX_WG_KEY_TEXT, 0600, err);
            secret[PX_WG_KEY_TEXT - 1] = 0;
        }
    } else if (rc == 1) {
        rc = 0;
    }
    if (rc == 0) {
        rc = wg("pubkey", secret, public_key, err);
    }
    cm_wipe(secret, sizeof(secret));
    return rc;
}
