/* chatops gateway render: what a gateway's network should look like, to read, or to put
 * on a FreeBSD edge by hand. Says what chatmail.ini says; asks the store for its key.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cli.h"
#include "cluster.h"
#include "common/mem.h"
#include "modes.h"
#include "proxy/plane.h"
#include "publish.h"
#include "say.h"

#define TEXTS_MAX 4

struct text {
    const char *name;
    char *content; /* NULL: not for this gateway */
};

/* The keys come from what is published; a gateway that is not part of it yet has none,
 * and its own texts need none. */
static int wanted_state(struct op_cluster *c, struct px_state *state_r,
                        struct cm_err *err)
{
    struct op_published was;
    int rc = op_published_read(c, &was, err);

    if (rc == 0) {
        snprintf(c->nodes[0].wg_key, sizeof(c->nodes[0].wg_key), "%s",
                 was.state.store_wg_public_key);
        for (size_t i = 1; i < c->node_count; i++) {
            const struct px_gateway *gw =
                px_state_find(&was.state, c->nodes[i].host.name);
            const char *given = c->nodes[i].gateway->wg_public_key;
            snprintf(c->nodes[i].wg_key, sizeof(c->nodes[i].wg_key), "%s",
                     c->nodes[i].skipped ? given
                     : gw != NULL        ? gw->wg_public_key
                                         : "");
        }
        op_publish_fill(c, state_r);
        state_r->epoch = was.state.epoch;
    }
    op_published_clear(&was);
    return rc;
}

static void render(const struct px_state *state, const struct px_gateway *gw, bool pf,
                   struct text texts[TEXTS_MAX])
{
    memset(texts, 0, TEXTS_MAX * sizeof(*texts));
    if (pf) {
        texts[0] = (struct text){"/etc/pf.conf", px_gateway_pf(state, gw)};
        texts[1] = (struct text){"/usr/local/etc/wireguard/wg0.conf",
                                 px_gateway_pf_wg(state, gw)};
        texts[2] =
            (struct text){"/usr/local/etc/haproxy.conf", px_gateway_haproxy(state, gw)};
        return;
    }
    texts[0] = (struct text){"nft -f -", px_gateway_nft(state, gw)};
    texts[1] = (struct text){"wg syncconf wg0 /dev/stdin",
                             px_gateway_wg(state, gw, PX_PRIVATE_KEY_HERE)};
    texts[2] = (struct text){"ip -batch -", px_gateway_ip(state, gw)};
    texts[3] = (struct text){"chatmail-proxy", px_gateway_proxy(state, gw)};
}

static void print_texts(const struct text texts[TEXTS_MAX], bool json)
{
    json_t *o = json_object();

    for (size_t i = 0; i < TEXTS_MAX && texts[i].name != NULL; i++) {
        if (texts[i].content == NULL) {
            continue;
        }
        json_object_set_new(o, texts[i].name, json_string(texts[i].content));
        if (!json) {
            printf("%s# ---- %s ----\n%s", i > 0 ? "\n" : "", texts[i].name,
                   texts[i].content);
        }
    }
    op_answer(o);
}

int op_gateway_render(const struct op_cli *cli, struct cm_err *err)
{
    struct px_state *state = cm_calloc(1, sizeof(*state));
    struct text texts[TEXTS_MAX];
    struct op_cluster c;
    int rc = op_cluster_load(cli, &c, err);

    if (rc != 0) {
        free(state);
        return -1;
    }
    rc = wanted_state(&c, state, err);
    const struct px_gateway *gw = px_state_find(state, cli->args[0]);
    if (rc == 0 && gw == NULL) {
        rc =
            cm_err_set(err, CM_ERR_REFUSE,
                       "there is no gateway \"%.64s\" in %s; see: chatops gateway list",
                       cli->args[0], cli->config);
    }
    if (rc == 0) {
        render(state, gw, cli->pf, texts);
        print_texts(texts, cli->json);
        for (size_t i = 0; i < TEXTS_MAX; i++) {
            free(texts[i].content);
        }
    }
    op_cluster_clear(&c);
    free(state);
    return rc;
}
