#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "say.h"

#define INI_MAX          (1024 * 1024)
#define DEFAULT_PACKAGES "/usr/share/portico/packages"

char *op_state_dir(const char *config)
{
    const char *slash = strrchr(config, '/');
    size_t dir = slash == NULL ? 0 : (size_t)(slash - config) + 1;

    return cm_asprintf("%.*s.chatops", (int)dir, config);
}

static void name_nodes(struct op_cluster *c)
{
    const struct cm_conf *conf = &c->conf;

    c->store_units = op_stack_units(conf);
    c->node_count = conf->gateway_count + 1;
    c->nodes = cm_calloc(c->node_count, sizeof(*c->nodes));
    for (size_t i = 0; i < c->node_count; i++) {
        struct op_node *n = &c->nodes[i];
        n->cluster = c;
        n->gateway = i == 0 ? NULL : &conf->gateways[i - 1];
        n->skipped = i > 0 && (n->gateway->ssh[0] == '\0' || !n->gateway->agent);
        n->units = i == 0 ? c->store_units : op_gateway_units;
        op_host_init(&n->host, i == 0 ? "store" : n->gateway->name,
                     i == 0 ? conf->store.ssh : n->gateway->ssh, c->state_dir);
        n->host.verbose = c->cli->verbose;
    }
}

int op_cluster_load(const struct op_cli *cli, struct op_cluster *c, struct cm_err *err)
{
    *c = (struct op_cluster){.cli = cli};
    /* conf says it best when the file is missing or wrong */
    if (cm_conf_load(cli->config, &c->conf, err) != 0) {
        return -1;
    }
    c->state_dir = op_state_dir(cli->config);
    c->packages = cm_strdup(cli->packages != NULL ? cli->packages : DEFAULT_PACKAGES);
    if (cm_file_read(cli->config, INI_MAX, &c->ini, &c->ini_len, err) != 1 ||
        cm_file_mkdirs(c->state_dir, 0700, err) != 0) {
        op_cluster_clear(c);
        return -1;
    }
    name_nodes(c);
    return 0;
}

struct op_node *op_cluster_gateway(struct op_cluster *c, const char *name)
{
    for (size_t i = 1; i < c->node_count; i++) {
        if (strcmp(c->nodes[i].host.name, name) == 0) {
            return &c->nodes[i];
        }
    }
    return NULL;
}

void op_cluster_clear(struct op_cluster *c)
{
    for (size_t i = 0; i < c->node_count; i++) {
        op_host_close(&c->nodes[i].host);
        op_files_clear(&c->nodes[i].files);
        op_defects_clear(&c->nodes[i].defects);
        free(c->nodes[i].package.data);
    }
    op_defects_clear(&c->dns_defects);
    free(c->nodes);
    free(c->store_units);
    free(c->ini);
    free(c->state_dir);
    free(c->packages);
    free(c->state);
    cm_conf_clear(&c->conf);
    *c = (struct op_cluster){.cli = NULL};
}

void op_cluster_warn_unused(const struct op_cluster *c)
{
    struct cm_buf b;

    if (c->conf.unused_count == 0) {
        return;
    }
    cm_buf_init(&b, 64 * 1024);
    for (size_t i = 0; i < c->conf.unused_count; i++) {
        cm_buf_fmt(&b, "%s%s", i == 0 ? "" : ", ", c->conf.unused[i]);
    }
    op_warn("%s has keys that mean nothing here: %s; correct or remove them",
            c->cli->config, b.data);
    cm_buf_clear(&b);
}
