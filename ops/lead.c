/* Does the mail domain lead here? Looked at before a run, as the resolver of this
 * machine sees it. Only a CA cannot do without: in acme mode what is missing holds the
 * run up, else it is told and `chatops dns` has the rest. */
#include "lead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "common/buf.h"
#include "common/mem.h"
#include "resolve.h"

#define LIST_MAX 4096

static const struct op_server resolver = {.name = "resolver"};

/* Every address that clients may come by, in one list. */
static char *own_addresses(const struct cm_conf *conf)
{
    struct cm_buf b;

    cm_buf_init(&b, LIST_MAX * 4);
    if (conf->gateway_count == 0 && conf->store.addresses != NULL) {
        cm_buf_str(&b, conf->store.addresses);
    }
    for (size_t i = 0; i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *g = &conf->gateways[i];
        if (g->mode != CM_MODE_OFF) {
            cm_buf_fmt(&b, "%s%s", b.len > 0 ? " " : "", g->addresses);
        }
    }
    return cm_buf_steal(&b);
}

static bool is_among(const char *list, const char *address)
{
    size_t n = strlen(address);

    for (const char *p = list; (p = strstr(p, address)) != NULL; p++) {
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

bool op_lead_judge(const char *name, const char *own, const char *const *found,
                   size_t count, char *why, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_among(own, found[i])) {
            snprintf(why, size, "%s leads to %s, which is none of %s", name, found[i],
                     own);
            return false;
        }
    }
    if (count == 0) {
        snprintf(why, size, "%s has no A or AAAA record", name);
    }
    return count > 0;
}

/* 1 all of its addresses are ours, 0 not (why says how), -1 nobody could be asked. */
static int look(const char *name, const char *own, char *why, size_t size,
                struct cm_err *err)
{
    char *dotted = cm_asprintf("%s.", name);
    struct op_answers a = {.count = 0}, aaaa = {.count = 0};
    const char *found[2 * OP_ANSWERS_MAX];
    size_t n = 0;
    int rc = -1;

    if (op_resolve(&resolver, dotted, "A", &a, err) == 0 &&
        op_resolve(&resolver, dotted, "AAAA", &aaaa, err) == 0) {
        for (size_t i = 0; i < a.count; i++) {
            found[n++] = a.items[i];
        }
        for (size_t i = 0; i < aaaa.count; i++) {
            found[n++] = aaaa.items[i];
        }
        rc = op_lead_judge(name, own, found, n, why, size);
    }
    op_answers_clear(&a);
    op_answers_clear(&aaaa);
    free(dotted);
    return rc;
}

static void say_defect(struct op_cluster *c, const char *name, const char *own,
                       const char *why)
{
    bool domain = strcmp(name, c->conf.mail_domain) == 0;
    char *todo = domain ? cm_asprintf("publish it with %s; or run with "
                                      "--skip-dns-check",
                                      own)
                        : cm_asprintf("publish: %s. 3600 IN CNAME %s.; or run with "
                                      "--skip-dns-check",
                                      name, c->conf.mail_domain);

    op_defects_add(&c->dns_defects, todo, "%s", why);
    free(todo);
}

static int check_dns(struct op_step *step, struct cm_err *err)
{
    struct op_cluster *c = step->ctx;
    bool acme = c->conf.tls_mode == CM_TLS_ACME;
    static const char *const prefixes[] = {"", "mta-sts.", "www."};
    char *own = own_addresses(&c->conf), why[600];

    op_defects_clear(&c->dns_defects);
    op_step_note(step, "%s", "");
    for (size_t i = 0; i < (acme ? 3 : 1); i++) {
        char *name = cm_asprintf("%s%s", prefixes[i], c->conf.mail_domain);
        int rc = look(name, own, why, sizeof(why), err);
        if (rc < 0) {
            op_step_note(step, "not known: %.150s", err->text);
        } else if (rc == 0 && acme) {
            say_defect(c, name, own, why);
        } else if (rc == 0) {
            op_step_note(step, "%.150s; see: chatops dns", why);
        }
        free(name);
    }
    free(own);
    return 1;
}

void op_add_dns(struct op_plan *plan, struct op_cluster *c)
{
    struct op_step s = {.node = "dns",
                        .name = "the mail domain leads here",
                        .check = check_dns,
                        .defects = &c->dns_defects,
                        .ctx = c};

    if (!c->conf.is_ip && !c->cli->skip_dns_check) {
        op_plan_add(plan, &s);
    }
}
