/* Every command of the documents is typed in the lab, in the order of docs_table.c. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "docs_table.h"

#define KEPT CLUSTER_DIR "/chatmail.ini.docs"

static const char prelude[] =
    "cd " CLUSTER_DIR "\n"
    "opts='-o BatchMode=yes -o StrictHostKeyChecking=accept-new"
    " -o UserKnownHostsFile=/run/docs_known_hosts'\n"
    "on() { a=$1; shift; ssh -q $opts root@$a \"$@\"; }\n"
    "page() { perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new("
    "\"127.0.0.1:$ARGV[0]\") or exit 1; print $s \"GET / HTTP/1.0\\r\\nHost: localhost"
    "\\r\\n\\r\\n\"; $/ = undef; exit 1 unless <$s> =~ /<svg/; print \"<svg\\n\"' $1;"
    " }\n"
    "bare() { on 203.0.113.12 'systemctl -q disable --now chatmail-gateway"
    " chatmail-tunnel@wg0; systemctl stop chatmail-proxy 2>/dev/null;"
    " DEBIAN_FRONTEND=noninteractive apt-get -qqy purge portico-gateway >/dev/null"
    " 2>&1; nft delete table inet chatmail 2>/dev/null; rm -rf /etc/chatmail"
    " /var/lib/portico /var/cache/portico /etc/sysctl.d/60-chatmail.conf; true'; }\n";

static int type(struct stage *stage, const struct docs_command *c, struct cm_err *err)
{
    const char *line = c->run != NULL ? c->run : c->doc;
    char *said = NULL;
    int status = stage_ask(stage, "operator", NULL, &said, err, "%s%s", prelude, line);
    if (status < 0) {
        return -1;
    }
    size_t n = strlen(said);
    const char *end = said + (n > 700 ? n - 700 : 0);
    const char *wrong = strstr(said, "wrong: "); /* of status, near its top */
    end = wrong != NULL ? wrong : end;
    int rc = 0;
    if (status != 0 || (c->says != NULL && strstr(said, c->says) == NULL)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s: status %d, not \"%s\": %.700s", line,
                        status, c->says != NULL ? c->says : "", end);
    }
    free(said);
    return rc;
}

static int keep_ini(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "operator", 0, NULL, err,
                    "test -e " KEPT " || cp -p " CLUSTER_DIR "/" CLUSTER_INI " " KEPT);
}

#define WELL_MS 60000

/* The documents speak of a relay that is as its chatmail.ini says; who played before
 * may have published something else. */
static int as_it_says(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = cluster_chatops(stage, CLUSTER_INI, "run --yes", &said, err);
    if (status > 0) {
        size_t n = strlen(said);
        status = cm_err_set(err, CM_ERR_WORLD, "%s", said + (n > 600 ? n - 600 : 0));
    }
    free(said);
    return status != 0 ? status : cluster_until_well(stage, WELL_MS, NULL, err);
}

int scenario_docs_commands(struct stage *stage, struct cm_err *err)
{
    size_t n = 0;
    if (keep_ini(stage, err) != 0 || as_it_says(stage, err) != 0) {
        return -1;
    }
    for (const struct docs_command *c = docs_commands; c->doc != NULL || c->run != NULL;
         c++) {
        if (c->slow && stage->quick) {
            continue;
        }
        if (type(stage, c, err) != 0) {
            return -1;
        }
        n += c->doc != NULL;
    }
    stage_note(stage, "%zu commands of the documents", n);
    return 0;
}

/* Whatever was taken away, made or forbidden. Without the copy nothing was. */
int scenario_docs_commands_back(struct stage *stage, struct cm_err *err)
{
    char *said = NULL;
    int status = stage_ask(
        stage, "operator", NULL, &said, err,
        "%stest -e " KEPT " || exit 0\n{ chatops gateway reject edge3;"
        " chatops unban 203.0.113.7; chatops registrations open; } >/dev/null 2>&1\n"
        "for g in edge3 edge9; do grep -q \"^\\[gateway $g\\]\" " CLUSTER_INI " &&"
        " chatops gateway remove $g --for 0 --force; done\n"
        "cp -p " KEPT " " CLUSTER_INI " && chatops run --yes && rm -rf " KEPT
        " ../newcomer",
        prelude);
    if (status > 0) {
        size_t n = strlen(said);
        status = cm_err_set(err, CM_ERR_WORLD, "%s", said + (n > 600 ? n - 600 : 0));
    }
    free(said);
    return status;
}
