/* What `chatops dns` says when the name servers of a zone do not agree, are not all
 * there, or cannot be reached from here; and when a resolver, or a gateway, lags. */
#include "dns_servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE   "@ NS ns1\nns1 A " NS_ONE "\n"
#define TWO   "@ NS ns2\nns2 A " NS_TWO "\n"
#define BOTH  ONE TWO
#define NO_MX " MX "
#define STALE                                                                          \
    "right on 1 of 2 servers; ns2.zoo.example. (" NS_TWO ") has an old serial, 10\n"
#define MX    "MX " ZOO_MAIL " "
#define OLD   "192.0.2.1"
#define OLD_S 200

struct pair {
    struct nameserver *one, *two;
};

static void stop(struct pair *p)
{
    nameserver_stop(&p->one);
    nameserver_stop(&p->two);
}

static struct nameserver *serve(struct zoo *zoo, bool bind, const char *address,
                                unsigned serial, const char *head, const char *drop,
                                const char *more, struct cm_err *err)
{
    char *zone = zoo_zone(zoo, serial, head, drop, more);
    struct nameserver_how how = {
        .bind = bind, .address = address, .zone = ZOO_ZONE, .records = zone};
    struct nameserver *ns = nameserver_start(zoo->stage, &how, err);
    free(zone);
    return ns;
}

/* ---- secondaries ---- */

/* A primary without MX and a secondary that fetches it; then the primary has it, and
 * nobody tells the secondary. */
static int lag(struct zoo *zoo, const char *head, bool bind, struct pair *p,
               struct cm_err *err)
{
    struct nameserver_how second = {
        .bind = bind, .address = NS_TWO, .zone = ZOO_ZONE, .primary = NS_ONE};
    p->one = serve(zoo, !bind, NS_ONE, 10, head, NO_MX, "", err);
    p->two = p->one != NULL ? nameserver_start(zoo->stage, &second, err) : NULL;
    if (p->two == NULL) {
        return -1;
    }
    nameserver_stop(&p->one);
    p->one = serve(zoo, !bind, NS_ONE, 11, head, NULL, "", err);
    return p->one != NULL ? 0 : -1;
}

static int stale_secondary(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    return lag(zoo, BOTH, false, p, err) != 0
               ? -1
               : zoo_expect(zoo, "", 0, MX "not yet visible: " STALE,
                            "ns2.zoo.example. is stale\n", "", err);
}

/* Only who names it has it asked. Dead, it is left out, and in nobody's way. */
static int hidden_primary(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    if (lag(zoo, TWO, true, p, err) != 0 ||
        zoo_expect(zoo, "--server " NS_ONE, 0, MX "not yet visible: " STALE,
                   "ns2.zoo.example. is stale\n", "", err) != 0 ||
        zoo_expect(zoo, "", 1, MX "missing\n", "", "", err) != 0) {
        return -1;
    }
    nameserver_stop(&p->one);
    return zoo_expect(zoo, "--server " NS_ONE, 1, MX "missing\n",
                      NS_ONE " " NS_ONE " does not answer\n", "", err);
}

static int split_brain(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    p->one = serve(zoo, false, NS_ONE, 10, BOTH, NULL, "", err);
    p->two = p->one != NULL ? serve(zoo, true, NS_TWO, 10, BOTH, NO_MX, "", err) : NULL;
    return p->two == NULL ? -1
                          : zoo_expect(zoo, "", 1,
                                       MX "wrong: right on 1 of 2 servers; not on "
                                          "ns2.zoo.example. (" NS_TWO ")\n",
                                       "", "", err);
}

/* ---- servers that are not there ---- */

static int silent(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    p->one = serve(zoo, false, NS_ONE, 10, ONE "@ NS ns3\nns3 A " NS_NONE "\n", NULL,
                   "", err);
    return p->one == NULL
               ? -1
               : zoo_expect(zoo, "", 0, "",
                            "ns3.zoo.example. " NS_NONE " does not answer\n", "", err);
}

/* Named, and there, but for another zone. */
static int lame(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    struct nameserver_how other = {
        .bind = true,
        .address = NS_TWO,
        .zone = "other.example.",
        .records =
            "@ SOA ns hostmaster 10 3600 600 86400 300\n@ NS ns\nns A " NS_TWO "\n"};
    p->one = serve(zoo, false, NS_ONE, 10, BOTH, NULL, "", err);
    p->two = p->one != NULL ? nameserver_start(zoo->stage, &other, err) : NULL;
    return p->two == NULL
               ? -1
               : zoo_expect(zoo, "", 0, "",
                            "ns2.zoo.example. " NS_TWO " answers REFUSED\n", "", err);
}

/* One of them is known by name alone. */
static int lost(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    p->one = serve(zoo, false, NS_ONE, 10, ONE "@ NS ns3\n", NULL, "", err);
    return p->one == NULL
               ? -1
               : zoo_expect(zoo, "", 0, "", "no address is known of ns3.zoo.example.\n",
                            "", err);
}

/* The operator has IPv4 alone; the resolver has both, so both have the same zone. */
#define SIX "@ NS ns6\nns6 AAAA " NS_SIX "\n"

static int serve_both(struct zoo *zoo, struct pair *p, const char *head,
                      const char *drop, struct cm_err *err)
{
    stop(p);
    p->one = serve(zoo, false, NS_ONE, 10, head, drop, "", err);
    p->two = p->one != NULL ? serve(zoo, true, NS_SIX, 10, head, drop, "", err) : NULL;
    return p->two != NULL ? 0 : -1;
}

static int ipv6_alone(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    static const char way[] =
        "no way to ns6.zoo.example. " NS_SIX " from this machine\n";
    return serve_both(zoo, p, SIX, NULL, err) != 0 ||
                   zoo_expect(zoo, "", 0, "", way, "", err) != 0 ||
                   serve_both(zoo, p, ONE SIX, NO_MX, err) != 0
               ? -1
               : zoo_expect(zoo, "", 1, MX "missing\n", way, "", err);
}

static int nobody(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    char *said = NULL;
    (void)p;
    if (zoo_flush(zoo->stage, err) != 0) {
        return -1;
    }
    int status = zoo_chatops(zoo, "", &said, err);
    /* A resolver may look for longer than it is waited for. */
    if (status >= 0 && (status != 1 || (strstr(said, "SERVFAIL") == NULL &&
                                        strstr(said, "does not answer") == NULL))) {
        status = cm_err_set(err, CM_ERR_REFUSE, "status %d: %.500s", status, said);
    }
    free(said);
    return status < 0 ? -1 : 0;
}

/* ---- a resolver that keeps what was there ---- */

static int cached(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    p->one = serve(zoo, false, NS_ONE, 10, ONE, " A +198", "chat 200 A " OLD "\n", err);
    if (p->one == NULL || zoo_flush(zoo->stage, err) != 0 ||
        scene_sh(&zoo->stage->scene, "client", 0, NULL, err,
                 "dig +short @198.51.100.53 " ZOO_MAIL " A | grep -qx " OLD) != 0) {
        return -1;
    }
    nameserver_stop(&p->one);
    p->one = serve(zoo, false, NS_ONE, 11, ONE, NULL, "", err);
    return p->one == NULL ? -1
                          : zoo_expect_now(zoo, "", 0,
                                           "A " ZOO_MAIL
                                           " not yet visible: the servers have it, a "
                                           "resolver keeps what was there for *\n",
                                           "", "", err);
}

/* ---- MTA-STS ---- */

/* One gateway without a server, one with a policy for somebody else. */
static int policies(struct zoo *zoo, struct pair *p, struct cm_err *err)
{
    p->one = serve(zoo, false, NS_ONE, 10, ONE, NULL, "", err);
    return p->one == NULL || zoo_policy(zoo, 1, NULL, err) != 0 ||
                   zoo_policy(
                       zoo, 2,
                       "version: STSv1\nmode: enforce\nmx: mx.elsewhere.example\n"
                       "max_age: 86400\n",
                       err) != 0 ||
                   zoo_expect(zoo, "", 0, "", "",
                              ZOO_DOOR_2 ": Couldn't connect to server\n" ZOO_DOOR_3
                                         ": no mx line names chat.zoo.example: senders "
                                         "would not deliver\n",
                              err) != 0 ||
                   zoo_policy(zoo, 1, zoo_good_policy, err) != 0 ||
                   zoo_policy(zoo, 2, zoo_good_policy, err) != 0
               ? -1
               : zoo_expect(zoo, "", 0, "", "", "", err);
}

static const struct {
    const char *what;
    int (*play)(struct zoo *zoo, struct pair *p, struct cm_err *err);
    bool quick;
} plays[] = {
    {"stale secondary", stale_secondary, true},
    {"hidden primary", hidden_primary, true},
    {"two servers that differ", split_brain, true},
    {"a silent server", silent, true},
    {"a lame server", lame, false},
    {"a server without address", lost, false},
    {"servers with IPv6 alone", ipv6_alone, true},
    {"nobody answers", nobody, false},
    {"a resolver's cache", cached, true},
    {"MTA-STS policies", policies, true},
};

int dns_servers_play(struct zoo *zoo, struct cm_err *err)
{
    for (size_t i = 0; i < sizeof plays / sizeof plays[0]; i++) {
        struct pair p = {.one = NULL};
        if (!plays[i].quick && zoo->stage->quick) {
            continue;
        }
        int rc = plays[i].play(zoo, &p, err);
        stop(&p);
        if (rc != 0) {
            return cm_err_prefix(err, "%s", plays[i].what);
        }
    }
    return 0;
}
