#include "ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shown.h"

#define DIR           "/var/tmp/scenario-ca"
#define UNIT          "scenario-ca"
#define TRUSTED       "/usr/local/share/ca-certificates/scenario-ca.crt"
#define TRUSTED_HTTPS "/usr/local/share/ca-certificates/scenario-ca-https.crt"
#define READY_S       20

/* The certificate of its own HTTPS is no part of what pebble makes. */
static const char install[] =
    "set -e; mkdir -p " DIR "; cd " DIR "; rm -f roots.pem\n"
    "command -v pebble >/dev/null || { apt-get -qq update;"
    " DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
    " pebble >/dev/null; }\n"
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 9"
    " -subj '/CN=scenario CA' -addext "
    "subjectAltName=DNS:client.lab.example,IP:127.0.0.1"
    " -keyout https.key -out https.pem 2>/dev/null\n"
    "for list in '' '\"%s\"'; do cat >conf${list:+-refuses} <<E\n"
    "{\"pebble\":{\"listenAddress\":\":14000\",\"managementListenAddress\":"
    "\"127.0.0.1:15000\",\"certificate\":\"https.pem\",\"privateKey\":\"https.key\","
    "\"httpPort\":80,\"tlsPort\":443,\"ocspResponderURL\":\"\","
    "\"externalAccountBindingRequired\":false,\"domainBlocklist\":[$list],"
    "\"certificateValidityPeriod\":7776000}}\n"
    "E\ndone";

int ca_install(struct stage *stage, const char *domain, struct cm_err *err)
{
    return scene_sh(&stage->scene, "client", 120, NULL, err, install, domain);
}

static int know(struct stage *stage, const char *node, const char *file,
                const char *roots, struct cm_err *err)
{
    char *said = NULL;
    int rc = stage_ask(stage, node, roots, &said, err,
                       "cat >%s && update-ca-certificates 2>&1 >/dev/null", file);
    if (rc > 0) {
        rc = cm_err_set(err, CM_ERR_WORLD, "%s: update-ca-certificates: %.200s", node,
                        said);
    }
    free(said);
    return rc;
}

/* The store only asks for certificates. */
static int know_https(struct stage *stage, struct cm_err *err)
{
    char *pem = NULL;
    int rc = scene_sh(&stage->scene, "client", 0, &pem, err, "cat " DIR "/https.pem");
    if (rc == 0) {
        rc = know(stage, "store", TRUSTED_HTTPS, pem, err);
    }
    free(pem);
    return rc;
}

/* All roots it ever had: what it gave before stays as good as it was. */
static int make_known(struct stage *stage, struct cm_err *err)
{
    char *roots = NULL;
    int rc = scene_until(
        &stage->scene, "client", READY_S, err,
        "printf 'GET /roots/0 HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl"
        " s_client -quiet -connect 127.0.0.1:15000 2>/dev/null |"
        " sed -n '/BEGIN/,/END/p' >" DIR "/root.pem; test -s " DIR "/root.pem");
    if (rc == 0) {
        rc = scene_sh(&stage->scene, "client", 0, &roots, err,
                      "cd " DIR "; cat root.pem >>roots.pem; cat roots.pem");
    }
    if (rc == 0 && (know_https(stage, err) != 0 ||
                    know(stage, "store", TRUSTED, roots, err) != 0 ||
                    know(stage, "operator", TRUSTED, roots, err) != 0 ||
                    shown_trust(stage, roots, err) != 0)) {
        rc = -1;
    }
    free(roots);
    return rc;
}

int ca_start(struct stage *stage, enum ca_mood mood, struct cm_err *err)
{
    static const char *const moods[] = {
        [CA_WELL] = "-E PEBBLE_VA_NOSLEEP=1 pebble -config conf",
        [CA_REFUSES] = "-E PEBBLE_VA_NOSLEEP=1 pebble -config conf-refuses",
        [CA_SLOW] = "-E PEBBLE_VA_SLEEPTIME=5 pebble -config conf"};
    return scene_sh(&stage->scene, "client", 0, NULL, err,
                    "systemctl stop " UNIT " 2>/dev/null; systemd-run -q --collect"
                    " --unit=" UNIT " -p WorkingDirectory=" DIR
                    " -E PEBBLE_AUTHZREUSE=100 %s -strict -dnsserver 198.51.100.53:53",
                    moods[mood]) != 0
               ? -1
               : make_known(stage, err);
}

int ca_stop(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "client", 0, NULL, err, "systemctl stop " UNIT);
}

int ca_log(struct stage *stage, char **text_r, struct cm_err *err)
{
    return scene_sh(&stage->scene, "client", 0, text_r, err,
                    "journalctl -o cat -u " UNIT);
}
