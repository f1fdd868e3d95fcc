/* Whatever a store answers to status: shown, judged and put into JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ini[] =
    "[params]\nmail_domain = chat.example.org\n[store]\necho_core = "
    "/x\n[gateway edge1]\nnumber = 1\naddresses = 198.51.100.11\n"
    "ssh =\n";

static void check(const struct op_report *r)
{
    struct op_screen screen = {.count = 0};
    struct cm_buf frame;

    op_report_screen(r, true, &screen);
    cm_buf_init(&frame, 1u << 20);
    op_screen_frame(&screen, 24, 80, true, &frame);
    cm_assert(!frame.overflow);
    cm_buf_clear(&frame);
    op_screen_clear(&screen);
    json_t *o = op_report_json(r);
    cm_assert(json_array_size(json_object_get(o, "wrong")) == r->wrong_count);
    json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct op_cli cli = {.config = "chatmail.ini"};
    struct op_cluster c = {.cli = &cli};
    struct op_node nodes[2] = {{.skipped = true}, {.skipped = true}};
    struct op_report *r = cm_calloc(1, sizeof(*r));
    struct cm_err err;
    char *text = cm_strndup((const char *)data, size);

    cm_assert(cm_conf_parse("x", ini, strlen(ini), &c.conf, &err) == 0);
    c.nodes = nodes;
    c.node_count = 2;
    nodes[1].gateway = &c.conf.gateways[0];
    memcpy(nodes[1].host.name, "edge1", 6);
    op_report_init(r, &c);
    op_report_take(r, text);
    op_ring_plan(&r->ring, &c, r->cluster);
    for (size_t i = 0; i < r->ring.count; i++) {
        r->ring.pairs[i].stage = OP_STAGE_ARRIVE;
    }
    r->probed = true;
    op_report_judge(r);
    check(r);
    op_report_clear(r);
    cm_conf_clear(&c.conf);
    free(text);
    free(r);
    return 0;
}
