#include "conftest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

struct cm_conf must_parse(const char *text)
{
    struct cm_conf conf;
    struct cm_err err = {0};
    if (cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return conf;
}

struct cm_conf with_params(const char *lines)
{
    char *text = cm_asprintf(MINIMAL "%s\n", lines);
    struct cm_conf conf = must_parse(text);
    free(text);
    return conf;
}

struct cm_conf of_domain(const char *domain)
{
    char *text = cm_asprintf("[params]\nmail_domain = %s\n", domain);
    struct cm_conf conf = must_parse(text);
    free(text);
    return conf;
}

void assert_fails(const char *text, const char *message)
{
    struct cm_conf conf = {.gateway_count = 77};
    struct cm_err err = {0};
    assert_int_equal(cm_conf_parse("chatmail.ini", text, strlen(text), &conf, &err),
                     -1);
    assert_int_equal(err.kind, CM_ERR_WORLD);
    assert_string_equal(err.text, message);
    assert_int_equal(conf.gateway_count, 77);
}

void assert_all_fail(const struct wrong *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = cm_asprintf(MINIMAL "%s\n", cases[i].lines);
        char *message = cm_asprintf("chatmail.ini:%s", cases[i].message);
        assert_fails(text, message);
        free(text);
        free(message);
    }
}
