#include "shown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"

#define ROOTS    "/var/tmp/scenario-roots.pem"
#define ASK_S    60
#define LIST     1024
#define AGAIN_MS 300

int shown_trust(struct stage *stage, const char *pem, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(stage, "client", pem, &said, err, "cat >" ROOTS);
    free(said);
    return rc > 0 ? cm_err_set(err, CM_ERR_WORLD, "client: no " ROOTS) : rc;
}

int shown_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "client", 0, NULL, err, "rm -f " ROOTS);
}

/* One line per door: address, port, words for s_client, print, verdict. */
static const char script[] =
    "ask() { said=$(timeout 20 openssl s_client -connect \"$1:$2\" $3 $4"
    " -servername %s -verify_hostname %s -CAfile " ROOTS " </dev/null 2>&1);"
    " print=$(echo \"$said\" | openssl x509 -noout -fingerprint -sha256 2>/dev/null"
    " | sed 's/.*=//; s/://g');"
    " code=$(echo \"$said\" | sed -n 's/^ *Verify return code: //p' | head -n 1);"
    " echo \"$1 $2${3:+ $4}|${print:-none}|${code:-no TLS}\"; }\n"
    "for a in %s; do\n"
    " for p in 443 465 993; do ask $a $p & done\n"
    " for p in 25 587; do ask $a $p -starttls smtp & done\n"
    " ask $a 143 -starttls imap & ask $a 443 -alpn http/1.1 &\n"
    " ask $a 443 -alpn imap & ask $a 443 -alpn smtp &\n"
    "done; wait";

static size_t addresses(const char *only, char list[LIST])
{
    struct cm_buf b;
    size_t n = 0;
    cm_buf_init(&b, LIST);
    for (const struct scene_gateway *g = scene_gateways; g->name != NULL; g++) {
        if (only == NULL || strcmp(only, g->name) == 0) {
            cm_buf_fmt(&b, "%s '[%s]' ", g->v4, g->v6);
            n += 2;
        }
    }
    snprintf(list, LIST, "%s", b.data);
    cm_buf_clear(&b);
    return n;
}

static int judge_line(const char *line, char print[SHOWN_PRINT], struct cm_err *err)
{
    char door[80], has[SHOWN_PRINT], code[120];
    if (sscanf(line, "%79[^|]|%64[^|]|%119[^|]", door, has, code) != 3) {
        return cm_err_set(err, CM_ERR_WORLD, "not a door: %.120s", line);
    }
    if (strncmp(code, "0 (ok)", 6) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "%s: %s", door, code);
    }
    if (print[0] == '\0') {
        snprintf(print, SHOWN_PRINT, "%s", has);
    }
    return strcmp(print, has) == 0
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%s: %.16s, elsewhere %.16s", door, has,
                            print);
}

int shown_same(struct stage *stage, const char *name, const char *only,
               char print[SHOWN_PRINT], struct cm_err *err)
{
    char list[LIST], *said = NULL, *save = NULL, found[SHOWN_PRINT] = "";
    size_t want = addresses(only, list) * SHOWN_DOORS, n = 0;
    int rc =
        scene_sh(&stage->scene, "client", ASK_S, &said, err, script, name, name, list);
    for (char *l = rc == 0 ? strtok_r(said, "\n", &save) : NULL; l != NULL && rc == 0;
         l = strtok_r(NULL, "\n", &save)) {
        rc = judge_line(l, found, err);
        n++;
    }
    free(said);
    if (rc == 0 && n != want) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%zu of %zu doors were asked", n, want);
    }
    if (rc == 0) {
        memcpy(print, found, SHOWN_PRINT);
    }
    return rc;
}

int shown_until(struct stage *stage, const char *name, const char *only,
                const char *print, int64_t limit_ms, int64_t *ms_r, struct cm_err *err)
{
    int64_t from = cm_now_mono_ms();
    char found[SHOWN_PRINT] = "";
    for (;;) {
        int rc = shown_same(stage, name, only, found, err);
        int64_t took = cm_now_mono_ms() - from;
        if (rc == 0 && strcmp(found, print) == 0) {
            if (ms_r != NULL) {
                *ms_r = took;
            }
            return 0;
        }
        if (took > limit_ms) {
            return rc == 0 ? cm_err_set(err, CM_ERR_REFUSE,
                                        "after %lld ms %.16s is shown, not %.16s",
                                        (long long)took, found, print)
                           : cm_err_prefix(err, "after %lld ms", (long long)took);
        }
        stage_sleep_ms(AGAIN_MS);
    }
}
