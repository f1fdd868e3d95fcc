/* The operator's file through both readers. Whatever it says, an error has a text and
 * an accepted configuration is complete. */
#include <stdint.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct cm_err err = {0};
    struct cm_ini ini;
    struct cm_conf conf;
    int ini_rc = cm_ini_parse("fuzz.ini", text, size, &ini, &err);
    if (ini_rc == 0) {
        cm_ini_clear(&ini);
    } else {
        cm_assert(err.text[0] != '\0');
    }
    if (cm_conf_parse("fuzz.ini", text, size, &conf, &err) == 0) {
        cm_assert(ini_rc == 0);
        cm_assert(conf.mail_domain != NULL && conf.domain != NULL);
        cm_assert(conf.tls_cert != NULL && conf.tls_key != NULL);
        cm_assert(conf.username_min_length <= conf.username_max_length);
        cm_assert(conf.gateway_count <= CM_GATEWAYS_MAX);
        cm_conf_clear(&conf);
    } else {
        cm_assert(err.text[0] != '\0');
    }
    return 0;
}
