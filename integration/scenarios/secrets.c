#include "secrets.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "common/buf.h"

/* As it travels in AUTH PLAIN, which a log could hold as well. */
static void as_auth_plain(const struct scene_account *account, char out[400])
{
    unsigned char plain[200];
    int n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, account->addr, 0,
                     account->password);
    EVP_EncodeBlock((unsigned char *)out, plain, n);
}

/* Everything any log of the store holds, against each secret, given on stdin. */
int secrets_unlogged(struct stage *stage, int64_t since_ms,
                     const struct scene_account *const *accounts, size_t n,
                     struct cm_err *err)
{
    struct cm_buf secrets;
    char *said = NULL;
    cm_buf_init(&secrets, 65536);
    for (size_t i = 0; i < n; i++) {
        char coded[400];
        as_auth_plain(accounts[i], coded);
        cm_buf_fmt(&secrets, "%s\n%s\n", accounts[i]->password, coded);
    }
    int rc = stage_ask(stage, "store", secrets.data, &said, err,
                       "journalctl --sync; cat >/run/scenario-secrets; "
                       "{ journalctl -q --no-pager -a -o export --since @%lld;"
                       " find /var/log -type f -exec cat {} +; } |"
                       " grep -a -c -F -f /run/scenario-secrets;"
                       " rm -f /run/scenario-secrets",
                       (long long)(since_ms / 1000));
    if (rc == 0 && strtol(said, NULL, 10) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%ld log lines hold a password",
                        strtol(said, NULL, 10));
    } else if (rc > 0 || (rc == 0 && said[0] != '0')) {
        rc = cm_err_set(err, CM_ERR_WORLD, "the logs could not be searched: %.200s",
                        said);
    }
    free(said);
    cm_buf_clear(&secrets);
    return rc;
}
