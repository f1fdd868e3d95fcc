#include "shift.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "common/file.h"
#include "common/mem.h"

#define LIBRARY "/usr/local/lib/clockshift.so"
#define FILE_IN "/var/lib/clockshift"
#define DROPIN  "clockshift.conf"

int shift_library(char **text_r, struct cm_err *err)
{
    char *data = NULL;
    size_t len;
    int rc = cm_file_read(CLOCKSHIFT_LIBRARY, 1u << 20, &data, &len, err);
    if (rc != 1) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_WORLD, "%s is not built",
                                   CLOCKSHIFT_LIBRARY);
    }
    union {
        char *chars;
        unsigned char *bytes;
    } from = {.chars = data}, to = {.chars = cm_malloc(len / 3 * 4 + 8)};
    EVP_EncodeBlock(to.bytes, from.bytes, (int)len);
    free(data);
    *text_r = to.chars;
    return 0;
}

int shift_on(struct stage *stage, const char *node, const char *units,
             struct cm_err *err)
{
    char *text = NULL, *out = NULL;
    if (shift_library(&text, err) != 0) {
        return -1;
    }
    int rc =
        stage_ask(stage, node, text, &out, err,
                  "set -e; base64 -d >" LIBRARY "; head -c 8 /dev/zero >" FILE_IN
                  "; for u in %s; do d=/run/systemd/system/$u.service.d;"
                  " mkdir -p $d; printf '[Service]\\nEnvironment=LD_PRELOAD=" LIBRARY
                  "\\n' >$d/" DROPIN "; done; systemctl daemon-reload;"
                  " for u in %s; do systemctl try-restart $u;"
                  " p=$(systemctl show -P MainPID $u);"
                  " test $p = 0 || grep -q clockshift /proc/$p/maps; done",
                  units, units);
    if (rc > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "clockshift on %s: %.300s", node, out);
    }
    free(out);
    free(text);
    return rc;
}

void shift_bytes(int64_t seconds, char text[SHIFT_BYTES])
{
    for (size_t i = 0; i < 8; i++) {
        snprintf(text + 4 * i, 5, "\\%03o",
                 (unsigned)((uint64_t)seconds >> (8 * i)) & 0xffu);
    }
}

int shift_to(struct stage *stage, const char *node, int64_t seconds, struct cm_err *err)
{
    char bytes[SHIFT_BYTES];
    shift_bytes(seconds, bytes);
    /* In place: the processes have the file mapped. */
    return scene_sh(&stage->scene, node, 0, NULL, err,
                    "printf '%s' | dd of=" FILE_IN " conv=notrunc status=none;"
                    " a=$(date +%%s); b=$(LD_PRELOAD=" LIBRARY " date +%%s);"
                    " d=$((b - a - %lld)); test $d -ge -3 && test $d -le 3",
                    bytes, (long long)seconds);
}

int shift_off(struct stage *stage, const char *node, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, node, 120, NULL, err,
        "test -e " FILE_IN " || exit 0; units=$(cd /run/systemd/system &&"
        " ls -d */ 2>/dev/null | while read -r d; do test -e $d" DROPIN
        " && echo ${d%%.d/}; done; true); rm -f /run/systemd/system/*/" DROPIN
        " " FILE_IN " " LIBRARY "; systemctl daemon-reload;"
        " for u in $units; do systemctl try-restart $u; done");
}
