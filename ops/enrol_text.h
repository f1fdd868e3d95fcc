/* enrol_text: what an invite of a gateway consists of, as text: the script that the new
 * machine runs, the line that fetches it, a cloud-init document around the line. Pure.
 *
 * The line has the SHA-256 of the script, the script those of the packages, and both
 * the hash of the store's TLS key: a web server in the middle can withhold, but neither
 * put in anything nor learn the token. */
#ifndef OP_ENROL_TEXT_H
#define OP_ENROL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"
#include "stack.h"

#define OP_ARCHES_MAX 4

struct op_invited_package {
    char arch[16];
    char hash[65]; /* SHA-256 of the .deb */
};

struct op_invitation {
    const struct cm_conf *conf;
    const char *name;
    int64_t number;
    const char *cluster_key;  /* public */
    const char *store_wg_key; /* public */
    const char *pin;          /* SHA-256 of the store's TLS key, base64 */
    /* Public addresses of gateways that serve: by them the machine reaches the store.
     */
    char doors[CM_ADDRESSES_MAX][46];
    size_t door_count;
    struct op_invited_package packages[OP_ARCHES_MAX];
    size_t package_count;
};

/* Caller frees all three. */
CM_MUSTUSE int op_enrol_script(const struct op_invitation *inv, char **script_r,
                               struct cm_err *err);
/* One line for a root shell; script_hash of the script. */
char *op_enrol_line(const struct op_invitation *inv, const char *token,
                    const char *script_hash);
char *op_enrol_cloud_init(const char *line);

/* "30m", "12h", "7d", or seconds; NULL: a day. -1: not between a minute and 30 days. */
CM_MUSTUSE int op_invite_time(const char *text, int64_t *seconds_r, struct cm_err *err);

/* Forgets what is over and never came, then makes or makes anew the invite of `name`;
 * answers with its end as text. Caller frees. */
char *op_enrol_sql(const char *name, int64_t number, const char *token_hash,
                   int64_t seconds, const char *script);

#endif
