#include "keygen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/mem.h"
#include "proxy/wgkey.h"

/* 1 read, 0 no such file, -1. */
static int read_key(const char *path, char secret_key[CM_SIGN_KEY_TEXT],
                    struct cm_err *err)
{
    char *text = NULL;
    size_t len = 0;
    int found = cm_file_read(path, 256, &text, &len, err);
    if (found == 1) {
        text[strcspn(text, "\r\n")] = '\0';
        if (strlen(text) == CM_SIGN_KEY_TEXT - 1) {
            memcpy(secret_key, text, CM_SIGN_KEY_TEXT);
        } else {
            found = cm_err_set(err, CM_ERR_WORLD, "%s holds no Ed25519 key", path);
        }
        cm_wipe_str(&text);
    }
    return found;
}

int keygen_load_cluster(const char *dir, char secret_key[CM_SIGN_KEY_TEXT],
                        char public_key[CM_SIGN_KEY_TEXT], struct cm_err *err)
{
    char *path = cm_asprintf("%s/cluster.key", dir);
    int found = read_key(path, secret_key, err);
    if (found == 0) {
        cm_err_set(err, CM_ERR_WORLD,
                   "%s is missing; run 'chatmail-cluster keygen', or restore it", path);
    }
    free(path);
    return found == 1 ? cm_sign_public(secret_key, public_key, err) : -1;
}

static int make_cluster_key(const char *dir, char public_key[CM_SIGN_KEY_TEXT],
                            struct cm_err *err)
{
    char *path = cm_asprintf("%s/cluster.key", dir);
    char secret_key[CM_SIGN_KEY_TEXT], line[CM_SIGN_KEY_TEXT + 1];
    int status = read_key(path, secret_key, err);
    if (status == 1) {
        status = cm_sign_public(secret_key, public_key, err);
    } else if (status == 0) {
        status = cm_sign_keygen(secret_key, public_key, err);
        if (status == 0) {
            snprintf(line, sizeof(line), "%s\n", secret_key);
            status = cm_file_replace(path, line, strlen(line), 0600, err);
            cm_wipe(line, sizeof(line));
        }
    }
    cm_wipe(secret_key, sizeof(secret_key));
    free(path);
    return status;
}

int keygen_print(const char *dir, struct cm_err *err)
{
    char cluster[CM_SIGN_KEY_TEXT], wg[PX_WG_KEY_TEXT];
    char *wg_path = cm_asprintf("%s/wg.key", dir);
    int status = cm_file_mkdirs(dir, 0755, err);
    if (status == 0) {
        status = make_cluster_key(dir, cluster, err);
    }
    if (status == 0) {
        status = px_wgkey_make(wg_path, wg, err);
    }
    free(wg_path);
    if (status == 0) {
        printf("{\"cluster\":\"%s\",\"wg\":\"%s\"}\n", cluster, wg);
    }
    return status;
}
