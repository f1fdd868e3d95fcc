/* What a node says of itself before we know it: any bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "preflight.h"

static const char ini[] =
    "[params]\nmail_domain = _chat.example\n"
    "[gateway edge1]\nssh = root@a\nnumber = 1\naddresses = 198.51.100.11\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct op_probe p;
    struct op_defects d = {.count = 0};
    struct cm_conf conf;
    struct cm_err err;
    char *text = cm_malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    if (cm_conf_parse("x.ini", ini, strlen(ini), &conf, &err) == 0) {
        op_probe_read(text, &p);
        op_probe_judge(&p, &conf, NULL, 1800000000, &d);
        op_probe_judge(&p, &conf, &conf.gateways[0], 1800000000, &d);
        op_defects_clear(&d);
        cm_conf_clear(&conf);
    }
    free(text);
    return 0;
}
