#include "people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/invite.h"
#include "common/mem.h"
#include "interrupt.h"
#include "probe/mail.h"
#include "registrations.h"
#include "say.h"
#include "store_sql.h"

#define REST_LEN 21
#define NAME_MAX 32 /* of a local part */

int op_people_open(struct op_people *p, struct op_cluster *c, int64_t uses,
                   struct cm_err *err)
{
    struct op_invite_wish wish = {.uses = uses, .days = 1, .count = 1};
    char hash[1][CM_INVITE_HASH], *said = NULL;

    *p = (struct op_people){.c = c};
    (void)op_interrupt_catch(
        "\nchatops: ending, and taking the accounts away; once more: at once\n");
    if (c->conf.store.registrations == CM_REGISTRATIONS_CLOSED) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "registrations are closed, and this needs new accounts; see: "
                          "chatops registrations --help");
    }
    if (c->conf.store.registrations != CM_REGISTRATIONS_INVITE) {
        return 0;
    }
    if (cm_invite_make(p->invite, err) != 0) {
        return -1;
    }
    cm_assert(cm_invite_hash(p->invite, hash[0]));
    char *sql = op_invite_sql((const char(*)[CM_INVITE_HASH])hash, &wish);
    int rc = op_store_sql(&c->nodes[0].host, sql, &said, err);
    free(sql);
    free(said);
    return rc;
}

void op_people_new(struct op_people *p, const char *domain, struct op_person *who_r)
{
    const struct cm_conf *conf = &p->c->conf;
    char name[NAME_MAX + 1], rest[REST_LEN];
    size_t len = (size_t)conf->username_max_length;
    bool own = strcmp(domain, conf->domain) == 0;
    bool token = own && p->invite[0] != '\0';

    mail_random(name, (own && len < NAME_MAX ? len : 9) + 1);
    mail_random(rest, sizeof(rest));
    snprintf(who_r->addr, sizeof(who_r->addr), "%s@%.250s", name, domain);
    snprintf(who_r->password, sizeof(who_r->password), "%s%s%s", token ? p->invite : "",
             token ? "." : "", rest);
    if (own) {
        cm_assert(p->count < OP_PEOPLE_MAX);
        p->addrs = cm_realloc_array(p->addrs, p->count + 1, sizeof(*p->addrs));
        memcpy(p->addrs[p->count++], who_r->addr, sizeof(who_r->addr));
    }
}

/* As the nightly expiry begins it. */
char *op_people_forget_sql(const struct op_people *p)
{
    struct cm_buf b;

    cm_buf_init(&b, OP_PEOPLE_MAX * sizeof(*p->addrs));
    cm_buf_str(&b, "with gone as (delete from account where addr in (");
    for (size_t i = 0; i < p->count; i++) {
        cm_buf_fmt(&b, "%s'%s'", i > 0 ? ", " : "", p->addrs[i]);
    }
    cm_buf_str(&b, ") returning addr) insert into account_removal (addr)"
                   " select addr from gone on conflict do nothing;\n");
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

static int ask(struct op_people *p, char *sql, struct cm_err *err)
{
    char *said = NULL;

    if (sql == NULL) {
        return -1;
    }
    int rc = op_store_sql(&p->c->nodes[0].host, sql, &said, err);
    free(said);
    free(sql);
    return rc;
}

void op_people_close(struct op_people *p)
{
    struct cm_err err;

    if (p->count > 0 && ask(p, op_people_forget_sql(p), &err) != 0) {
        op_warn("%zu accounts, of which %s is the first, stay until they expire: %s",
                p->count, p->addrs[0], err.text);
    }
    if (p->invite[0] != '\0' && ask(p, op_revoke_sql(p->invite, &err), &err) != 0) {
        op_warn("an invite stays for a day: %s", err.text);
    }
    free(p->addrs);
    *p = (struct op_people){.c = p->c};
}

static size_t add_entrances(const char *gateway, const char *addresses,
                            struct op_entrance *out, size_t room)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n =
        cm_conf_words(addresses != NULL ? addresses : "", words, CM_ADDRESSES_MAX);

    n = n < room ? n : room;
    for (size_t i = 0; i < n; i++) {
        out[i].gateway = gateway;
        snprintf(out[i].address, sizeof(out[i].address), "%.63s", words[i]);
    }
    return n;
}

int op_entrances(const struct op_cluster *c, struct op_entrance out[OP_ENTRANCES_MAX],
                 size_t *n_r, struct cm_err *err)
{
    const char *only = c->cli->gateway;
    size_t n = only != NULL ? 0
                            : add_entrances("store", c->conf.store.addresses, out,
                                            OP_ENTRANCES_MAX);

    for (size_t i = 0; i < c->conf.gateway_count; i++) {
        const struct cm_conf_gateway *g = &c->conf.gateways[i];
        if (only != NULL ? strcmp(g->name, only) == 0 : g->mode == CM_MODE_ACTIVE) {
            n += add_entrances(g->name, g->addresses, out + n, OP_ENTRANCES_MAX - n);
        }
    }
    *n_r = n;
    if (n > 0) {
        return 0;
    }
    return only != NULL
               ? cm_err_set(err, CM_ERR_REFUSE, "there is no gateway \"%.64s\" in %s",
                            only, c->cli->config)
               : cm_err_set(err, CM_ERR_WORLD, "nothing takes connections by %s",
                            c->cli->config);
}
