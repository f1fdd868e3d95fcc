#include "relay443.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "inet portico_test443"

int relay443_set(struct stage *stage, enum relay443 state, struct cm_err *err)
{
    static const char *const rules[] = {[RELAY443_OPEN] = "",
                                        [RELAY443_SILENT] = "tcp dport 443 drop",
                                        [RELAY443_REFUSED] =
                                            "tcp dport 443 reject with tcp reset"};
    return scene_sh(
        &stage->scene, "relay2", 0, NULL, err,
        "nft delete table " TABLE " 2>/dev/null; nft -f - <<'E'\n"
        "table " TABLE " {\n"
        "  counter home { }\n"
        "  chain arrive { type filter hook input priority -10; policy accept;\n"
        "    ip saddr " SCENE_HOME_PUBLIC " tcp dport { 25, 443 } counter name home\n"
        "    %s\n"
        "  }\n"
        "  chain leave { type filter hook output priority -10; policy accept;\n"
        "    %s\n"
        "  }\n"
        "}\nE",
        rules[state], rules[state]);
}

int relay443_back(struct stage *stage, struct cm_err *err)
{
    static const char *const nodes[] = {"store", "relay2"};
    if (scene_sh(&stage->scene, "relay2", 0, NULL, err,
                 "nft delete table " TABLE " 2>/dev/null || true") != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        if (scene_sh(&stage->scene, nodes[i], 0, NULL, err,
                     "systemctl restart chatmail-transport") != 0) {
            return -1;
        }
    }
    return 0;
}

int relay443_home_unseen(struct stage *stage, struct cm_err *err)
{
    char *text = NULL;
    if (scene_sh(&stage->scene, "relay2", 0, &text, err,
                 "nft list counter " TABLE " home") != 0) {
        return -1;
    }
    bool unseen = strstr(text, "packets 0 ") != NULL;
    free(text);
    return unseen
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "relay2 saw the home line's address");
}
