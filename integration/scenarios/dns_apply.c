/* `chatops dns --apply` into real primaries, Knot and BIND, with a secondary each: from
 * a zone that is wrong in every way to all right; what is somebody else's stays; and
 * one clear error, with nothing changed, for everything that can be wrong with the key.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "cluster.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "zoo.h"

#define BOTH "@ NS ns1\nns1 A " NS_ONE "\n@ NS ns2\nns2 A " NS_TWO "\n"
#define KEY  "zoo-good.key"
#define WRONG                                                                          \
    "chat A 192.0.2.1\nchat MX 20 old.example.\nwww.chat A 192.0.2.1\n"                \
    "mta-sts.chat CNAME ns1\nchat TXT \"v=spf1 -all\"\nchat TXT \"v=spf1 mx ?all\"\n"  \
    "_imaps._tcp.chat SRV 0 1 143 chat\n"                                              \
    "chat CAA 0 issue \"ca.zoo.example\"\nchat CAA 0 issue \"other.example\"\n"        \
    "chat TXT \"google=1\"\n"

static int put_key(struct zoo *zoo, const char *file, const char *name,
                   const char *secret, struct cm_err *err)
{
    char *said = NULL;
    char *text =
        cm_asprintf("key \"%s\" {\n\talgorithm hmac-sha256;\n\tsecret \"%s\";\n"
                    "};\n",
                    name, secret);
    int status = stage_ask(zoo->stage, "operator", text, &said, err,
                           "cd " CLUSTER_DIR " && umask 077 && cat >%s", file);
    free(said);
    free(text);
    return status > 0 ? cm_err_set(err, CM_ERR_WORLD, "%s", file) : status;
}

/* What a run says, and its status. */
static int says(struct zoo *zoo, const char *words, int wanted, const char *what,
                struct cm_err *err)
{
    char *said = NULL;
    int status = zoo_chatops(zoo, words, &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (status != wanted || strstr(said, what) == NULL)) {
        size_t n = strlen(said);
        rc = cm_err_set(err, CM_ERR_REFUSE, "%.100s: status %d, without \"%.200s\": %s",
                        words, status, what, n > 500 ? said + n - 500 : said);
    }
    free(said);
    return rc;
}

/* The error is the last line, and the only one behind the plan. */
static int refused(struct zoo *zoo, const char *words, const char *what,
                   struct cm_err *err)
{
    char *said = NULL, *line = cm_asprintf("chatops: %s\n", what);
    int status = zoo_chatops(zoo, words, &said, err);
    int rc = status < 0 ? -1 : 0;
    if (rc == 0) {
        const char *at = strstr(said, "chatops: ");
        if (status != 1 || at == NULL || strcmp(at, line) != 0) {
            size_t n = strlen(said);
            rc = cm_err_set(err, CM_ERR_REFUSE, "%.100s: status %d: %s", words, status,
                            n > 500 ? said + n - 500 : said);
        }
    }
    free(line);
    free(said);
    return rc;
}

static int has(struct zoo *zoo, const char *server, const char *type,
               const char *pattern, struct cm_err *err)
{
    return scene_sh(&zoo->stage->scene, "client", 0, NULL, err,
                    "dig +short @%s " ZOO_MAIL " %s | grep -q '%s'", server, type,
                    pattern);
}

/* ---- what is wrong with a key ---- */

static int wrong_keys(struct zoo *zoo, const char *who, struct cm_err *err)
{
    const struct {
        const char *words, *what;
    } tries[] = {
        {"--apply --yes --server " NS_ONE " --key zoo-wrong.key",
         NS_ONE " does not accept key " NAMESERVER_KEY ": it has another secret there"},
        {"--apply --yes --server " NS_ONE " --key zoo-other.key",
         NS_ONE " does not accept key stranger: there is none of that name and "
                "algorithm"},
        {"--apply --yes --server " NS_NONE " --key " KEY,
         "name server " NS_NONE ", port 53, does not answer"},
    };
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        if (refused(zoo, tries[i].words, tries[i].what, err) != 0) {
            return cm_err_prefix(err, "%s", who);
        }
    }
    return has(zoo, NS_ONE, "A", "^192.0.2.1$", err) != 0
               ? cm_err_prefix(err, "%s: a refused update changed the zone", who)
               : 0;
}

/* The operator's clock is an hour fast. */
static int wrong_clock(struct zoo *zoo, const char *who, struct cm_err *err)
{
    static const char what[] = " s behind this one, and 300 s are allowed\n";
    char *said = NULL;
    int status = stage_ask(
        zoo->stage, "operator", NULL, &said, err,
        "cd " CLUSTER_DIR " && LD_PRELOAD=$PWD/zoo-clock.so chatops dns"
        " --config zoo.ini --apply --yes --server " NS_ONE " --key " KEY " </dev/null");
    int rc = status < 0 ? -1 : 0;
    if (rc == 0 && (status != 1 || strstr(said, what) == NULL)) {
        size_t n = strlen(said);
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s: an hour fast: status %d: %s", who,
                        status, n > 500 ? said + n - 500 : said);
    }
    free(said);
    return rc;
}

static int put_clock(struct zoo *zoo, struct cm_err *err)
{
    char *data = NULL, *said = NULL;
    size_t len;
    int rc = cm_file_read(CLOCKSHIFT_LIBRARY, 1u << 20, &data, &len, err);
    if (rc != 1) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_WORLD, "%s is not built",
                                   CLOCKSHIFT_LIBRARY);
    }
    char *text = cm_malloc(len / 3 * 4 + 8);
    union {
        char *chars;
        unsigned char *bytes;
    } from = {.chars = data}, to = {.chars = text};
    EVP_EncodeBlock(to.bytes, from.bytes, (int)len);
    int status =
        stage_ask(zoo->stage, "operator", text, &said, err,
                  "cd " CLUSTER_DIR " && base64 -d >zoo-clock.so &&"
                  " printf '\\020\\016\\0\\0\\0\\0\\0\\0' >/var/lib/clockshift");
    free(said);
    free(text);
    free(data);
    return status > 0 ? cm_err_set(err, CM_ERR_WORLD, "clockshift") : status;
}

/* A secondary takes none. */
static int not_primary(struct zoo *zoo, struct cm_err *err)
{
    return says(zoo, "--apply --yes --server " NS_TWO " --key " KEY, 1, NS_TWO, err);
}

/* ---- one primary ---- */

static int apply(struct zoo *zoo, const char *who, struct cm_err *err)
{
    int64_t begun = cm_now_mono_ms();
    if (says(zoo, "--apply --dry-run --server " NS_ONE " --key " KEY, 0,
             "nothing was changed", err) != 0 ||
        has(zoo, NS_ONE, "A", "^192.0.2.1$", err) != 0 ||
        says(zoo, "--apply --server " NS_ONE " --key " KEY, 1, "--yes", err) != 0 ||
        zoo_flush(zoo->stage, err) != 0 ||
        says(zoo, "--apply --yes --server " NS_ONE " --key " KEY, 0,
             " changes made, and " NS_ONE " shows them", err) != 0) {
        return cm_err_prefix(err, "%s", who);
    }
    stage_note(zoo->stage, "%s: all right after %.1f s", who,
               (double)(cm_now_mono_ms() - begun) / 1000);
    return says(zoo, "--apply --yes --server " NS_ONE " --key " KEY, 0,
                "nothing to change", err) != 0 ||
                   has(zoo, NS_TWO, "TXT", "google=1", err) != 0 ||
                   has(zoo, NS_TWO, "CAA", "other.example", err) != 0
               ? cm_err_prefix(err, "%s", who)
               : zoo_expect(zoo, "", 0, "", "", "", err);
}

static int play(struct zoo *zoo, bool bind, struct cm_err *err)
{
    const char *who = bind ? "BIND" : "Knot";
    char *zone = zoo_zone(zoo, 10, BOTH, ".", WRONG);
    struct nameserver_how one = {.bind = bind,
                                 .address = NS_ONE,
                                 .zone = ZOO_ZONE,
                                 .records = zone,
                                 .tell = NS_TWO,
                                 .only = ZOO_MAIL};
    struct nameserver_how two = {
        .bind = !bind, .address = NS_TWO, .zone = ZOO_ZONE, .primary = NS_ONE};
    struct nameserver *primary = nameserver_start(zoo->stage, &one, err);
    struct nameserver *second =
        primary != NULL ? nameserver_start(zoo->stage, &two, err) : NULL;
    int rc = second == NULL || wrong_keys(zoo, who, err) != 0 ||
                     wrong_clock(zoo, who, err) != 0 || not_primary(zoo, err) != 0 ||
                     apply(zoo, who, err) != 0
                 ? -1
                 : 0;
    nameserver_stop(&second);
    nameserver_stop(&primary);
    free(zone);
    return rc;
}

int scenario_dns_apply(struct stage *stage, struct cm_err *err)
{
    struct zoo zoo;
    if (zoo_open(stage, &zoo, err) != 0) {
        return -1;
    }
    int rc =
        put_clock(&zoo, err) != 0 ||
                put_key(&zoo, KEY, NAMESERVER_KEY, NAMESERVER_SECRET, err) != 0 ||
                put_key(&zoo, "zoo-wrong.key", NAMESERVER_KEY,
                        "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nd3I=", err) != 0 ||
                put_key(&zoo, "zoo-other.key", "stranger", NAMESERVER_SECRET, err) !=
                    0 ||
                play(&zoo, false, err) != 0 || play(&zoo, true, err) != 0
            ? -1
            : 0;
    zoo_close(&zoo);
    return rc;
}
