/* What `chatops dns` says of zones in every state, at real name servers: Knot and BIND,
 * the lab's NSD for the domains above and Unbound for a resolver. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "dns_servers.h"
#include "zoo.h"

#define ONE    "@ NS ns1\nns1 A " NS_ONE "\n"
#define BOTH   ONE "@ NS ns2\nns2 A " NS_TWO "\n"
#define DKIM   "opendkim._domainkey." ZOO_MAIL
#define EDGE1  "198.51.100.58"
#define EDGE2  "198.51.100.59"
#define ASTRAY "it does not lead to the addresses of chat.zoo.example\n"
#define ALIAS                                                                          \
    ZOO_MAIL " is an alias (CNAME) of host.zoo.example.; a name that has mail needs "  \
             "records of its own\n"

/* ---- one zone, at two servers ---- */

static const struct variant {
    const char *what;
    const char *drop; /* lines of the right zone */
    const char *more; /* and others instead */
    int status;
    const char *found; /* exactly */
    bool quick;
} variants[] = {
    {"as asked for", NULL, "", 0, "", true},
    {"nothing but the zone", ".", "", 1,
     "A " ZOO_MAIL " missing\nAAAA " ZOO_MAIL " missing\nMX " ZOO_MAIL " missing\n"
     "TXT _mta-sts." ZOO_MAIL " missing\nCNAME mta-sts." ZOO_MAIL " missing\n"
     "CNAME www." ZOO_MAIL " missing\nTXT " DKIM " missing\nTXT " ZOO_MAIL " missing\n"
     "TXT _dmarc." ZOO_MAIL " missing\nCAA " ZOO_MAIL " missing\n"
     "TXT _adsp._domainkey." ZOO_MAIL " missing\n"
     "SRV _submission._tcp." ZOO_MAIL " missing\n"
     "SRV _submissions._tcp." ZOO_MAIL " missing\n"
     "SRV _imap._tcp." ZOO_MAIL " missing\nSRV _imaps._tcp." ZOO_MAIL " missing\n",
     true},
    {"a foreign address extra", NULL, "chat A 192.0.2.1\n", 1,
     "A " ZOO_MAIL " wrong: 192.0.2.1 is no gateway\n", true},
    {"one of two addresses of a gateway", " A +198.51.100.61", "", 1,
     "A " ZOO_MAIL " wrong: 198.51.100.61 is missing\n", true},
    {"two A records, other order, upper case, other TTL", " A +198",
     "CHAT 7 A " EDGE2 "\nChat A 198.51.100.61\nchat 99999 A " EDGE1 "\n", 0, "", true},
    {"names in upper case", "MX|CNAME|SRV",
     "CHAT MX 10 Chat.ZOO.Example.\nWWW.chat CNAME CHAT\nMTA-STS.Chat CNAME chat\n"
     "_IMAPS._TCP.chat SRV 0 1 993 CHAT\n_imap._tcp.chat SRV 0 1 143 CHAT\n"
     "_submission._tcp.chat SRV 0 1 587 Chat\n_submissions._tcp.chat SRV 0 1 465 "
     "chat\n",
     0, "", true},
    {"www behind three aliases", "^www",
     "www.chat CNAME web\nweb CNAME hop\nhop CNAME end\nend CNAME chat\n", 0, "", true},
    {"www with addresses, no alias", "^www",
     "www.chat A " EDGE1 "\nwww.chat A " EDGE2 "\nwww.chat A 198.51.100.61\n"
     "www.chat AAAA 2001:db8:1::58\nwww.chat AAAA 2001:db8:1::59\n",
     0, "", false},
    {"www an alias of nothing", "^www", "www.chat CNAME nowhere\n", 1,
     "CNAME www." ZOO_MAIL " wrong: " ASTRAY, false},
    {"www elsewhere", "^www", "www.chat CNAME ns1\n", 1,
     "CNAME www." ZOO_MAIL " wrong: " ASTRAY, false},
    {"a wildcard for the aliases", "CNAME", "*.chat CNAME chat\n", 0, "", false},
    {"a wildcard where DMARC is missing", "^_dmarc",
     "*.chat TXT \"v=spf1 -all\"\n*.chat A " EDGE1 "\n", 0,
     "TXT _dmarc." ZOO_MAIL " missing\n", false},
    {"the domain an alias", "^chat", "chat CNAME host\nhost A " EDGE1 "\n", 1,
     "A " ZOO_MAIL " wrong: " ALIAS "AAAA " ZOO_MAIL " wrong: " ALIAS "MX " ZOO_MAIL
     " wrong: " ALIAS "TXT " ZOO_MAIL " wrong: " ALIAS "CAA " ZOO_MAIL " wrong: " ALIAS,
     false},
    {"another MX beside", NULL, "chat MX 20 mx.elsewhere.example.\n", 1,
     "MX " ZOO_MAIL " wrong\n", false},
    {"no MX", " MX ", "", 1, "MX " ZOO_MAIL " missing\n", true},
    {"two SPF records", NULL, "chat TXT \"v=spf1 mx -all\"\n", 0,
     "TXT " ZOO_MAIL " wrong: there are several; receivers then take none\n", true},
    {"other TXT beside SPF", NULL, "chat TXT \"google=1\"\nchat TXT \"v=spf10 x\"\n", 0,
     "", false},
    {"SPF of one gateway", "spf1",
     "chat TXT \"v=spf1 ip4:" EDGE1 " ip6:2001:db8:1::58 -all\"\n", 0,
     "TXT " ZOO_MAIL " wrong: mail from " EDGE2 " gets \"fail\"\n", false},
    {"SPF by a chain of includes", "spf1",
     "chat TXT \"v=spf1 include:a.zoo.example -all\"\n"
     "a TXT \"v=spf1 include:b.zoo.example ~all\"\n"
     "b TXT \"v=spf1 ip4:198.51.100.0/24 \" \"ip6:2001:db8:1::/64 ?all\"\n",
     0, "", false},
    {"DMARC that asks for nothing", "^_dmarc", "_dmarc.chat TXT \"v=DMARC1;p=none\"\n",
     0, "TXT _dmarc." ZOO_MAIL " wrong\n", false},
    {"MTA-STS without id", "^_mta-sts", "_mta-sts.chat TXT \"v=STSv1\"\n", 1,
     "TXT _mta-sts." ZOO_MAIL " wrong\n", false},
    {"SRV at another port", "^_imaps", "_imaps._tcp.chat SRV 0 1 143 chat\n", 0,
     "SRV _imaps._tcp." ZOO_MAIL " wrong\n", false},
    {"CAA for another account", " CAA ",
     "chat CAA 0 issue \"ca.zoo.example; accounturi=https://ca.zoo.example/acct/2\"\n",
     0, "CAA " ZOO_MAIL " wrong\n", true},
    {"CAA of another CA beside", NULL, "chat CAA 0 issue \"elsewhere.example\"\n", 0,
     "", false},
    {"CAA for any account beside", NULL, "chat CAA 0 issue \"ca.zoo.example\"\n", 0,
     "CAA " ZOO_MAIL " wrong\n", false},
    {"CAA without account", " CAA ", "chat CAA 0 issue \"ca.zoo.example\"\n", 0,
     "CAA " ZOO_MAIL " wrong\n", false},
};

/* ---- TXT ---- */

/* The key as it stands in the records, in one piece. */
static char *key_of(const struct zoo *zoo)
{
    const char *p = strstr(zoo->records, "p=");
    char *key = cm_malloc(1024);
    size_t n = 0;
    cm_assert(p != NULL);
    for (p += 2; *p != ';' && n < 1023; p++) {
        if (strchr("\" ", *p) == NULL) {
            key[n++] = *p;
        }
    }
    key[n] = '\0';
    return key;
}

static const struct {
    const char *what, *format; /* with the key's first 7, 200, and other characters */
    int status;
    const char *found;
    bool quick;
} splits[] = {
    {"DKIM split oddly", "\"v=DKIM1;k=r\" \"sa;p=%.7s\" \"%.200s\" \"%s;s=email;t=s\"",
     0, "", true},
    {"DKIM with blanks, as pasted",
     "\" v=DKIM1 ; k=rsa; p=%.7s %.200s\" \" %s ; s=email ; t=s\"", 0, "", true},
    {"DKIM without tags that say nothing", "\"p=%.7s%.200s\" \"%s\"", 0, "", false},
    {"another DKIM key", "\"v=DKIM1;k=rsa;p=%.7sAAAA%.200s\" \"%s;s=email;t=s\"", 1,
     "TXT " DKIM " wrong\n", true},
};

/* ---- playing ---- */

static int play_variant(struct zoo *zoo, const char *what, const char *drop,
                        const char *more, int status, const char *found,
                        struct cm_err *err)
{
    char *zone = zoo_zone(zoo, 10, BOTH, drop, more);
    struct nameserver_how how = {.address = NS_ONE, .zone = ZOO_ZONE, .records = zone};
    struct nameserver *knot = nameserver_start(zoo->stage, &how, err);
    how.address = NS_TWO;
    how.bind = true;
    struct nameserver *bind =
        knot != NULL ? nameserver_start(zoo->stage, &how, err) : NULL;
    int rc = bind != NULL ? zoo_expect(zoo, "", status, found, "", "", err) : -1;
    nameserver_stop(&bind);
    nameserver_stop(&knot);
    free(zone);
    return rc == 0 ? 0 : cm_err_prefix(err, "%s", what);
}

static int play_variants(struct zoo *zoo, struct cm_err *err)
{
    char *key = key_of(zoo);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof variants / sizeof variants[0]; i++) {
        const struct variant *v = &variants[i];
        if (v->quick || !zoo->stage->quick) {
            rc = play_variant(zoo, v->what, v->drop, v->more, v->status, v->found, err);
        }
    }
    for (size_t i = 0; rc == 0 && i < sizeof splits / sizeof splits[0]; i++) {
        if (!splits[i].quick && zoo->stage->quick) {
            continue;
        }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        char *data = cm_asprintf(splits[i].format, key, key + 7, key + 207);
#pragma GCC diagnostic pop
        char *more = cm_asprintf("OpenDKIM._DomainKey.chat TXT %s\n", data);
        rc = play_variant(zoo, splits[i].what, "^opendkim", more, splits[i].status,
                          splits[i].found, err);
        free(more);
        free(data);
    }
    free(key);
    return rc;
}

int scenario_dns_variants_back(struct stage *stage, struct cm_err *err)
{
    return zoo_back(stage, err);
}

int scenario_dns_variants(struct stage *stage, struct cm_err *err)
{
    struct zoo zoo;
    if (zoo_open(stage, &zoo, err) != 0) {
        return -1;
    }
    int rc = play_variants(&zoo, err) != 0 ? -1 : dns_servers_play(&zoo, err);
    zoo_close(&zoo);
    return rc;
}
