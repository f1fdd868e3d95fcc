#include "echo.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void judge(unsigned class, unsigned machine, const char *arch, const char *why)
{
    Elf64_Ehdr head = {.e_machine = (Elf64_Half)machine};
    char data[sizeof(head)];
    struct cm_err err;

    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = (unsigned char)class;
    memcpy(data, &head, sizeof(head));
    int rc = op_echo_fits(data, sizeof(data), arch, &err);
    assert_int_equal(rc, why == NULL ? 0 : -1);
    if (why != NULL) {
        assert_non_null(strstr(err.text, why));
    }
    assert_int_equal(op_echo_fits(data, sizeof(data) - 1, arch, &err), -1);
}

static void test_machines(void **state)
{
    (void)state;
    judge(ELFCLASS64, EM_X86_64, "amd64", NULL);
    judge(ELFCLASS64, EM_AARCH64, "arm64", NULL);
    judge(ELFCLASS64, EM_AARCH64, "amd64", "not for the store's CPU (amd64)");
    judge(ELFCLASS64, EM_X86_64, "arm64", "not for the store's CPU (arm64)");
    judge(ELFCLASS32, EM_X86_64, "amd64", "CPU");
    judge(ELFCLASS64, EM_RISCV, "riscv64", NULL);
}

static void test_no_program(void **state)
{
    struct cm_err err;
    static const char text[100] = "#!/bin/sh\n";

    (void)state;
    assert_int_equal(op_echo_fits(text, sizeof(text), "amd64", &err), -1);
    assert_string_equal(err.text, "is not a program");
    assert_int_equal(op_echo_fits("", 0, "amd64", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_machines),
                                       cmocka_unit_test(test_no_program)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
