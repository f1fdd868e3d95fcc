/* boot: what a gateway knows before anybody tells it anything:
 * /etc/chatmail/gateway.conf and its WireGuard key. Nothing else is on its disk. */
#ifndef GW_BOOT_H
#define GW_BOOT_H

#include <stddef.h>

#include "common/err.h"
#include "common/sign.h"
#include "proxy/state.h"
#include "proxy/wgkey.h"

struct gw_boot {
    char name[33];
    int number;
    int wg_port;
    int bus_port;
    char cluster_key[CM_SIGN_KEY_TEXT]; /* pinned: whose documents are obeyed */
    char store_wg_key[PX_WG_KEY_TEXT];
};

/* Section [gateway]; every key is required, none other is allowed. `file` is for
 * messages. */
CM_MUSTUSE int gw_boot_parse(const char *file, const char *text, size_t len,
                             struct gw_boot *boot_r, struct cm_err *err);
CM_MUSTUSE int gw_boot_load(const char *path, struct gw_boot *boot_r,
                            struct cm_err *err);

/* A state of epoch 0 with this gateway alone, mode off and no public address: enough to
 * bring the tunnel up and to keep everything else shut. */
void gw_boot_state(const struct gw_boot *boot, struct px_state *state_r);

#endif
