/* The programs that /metrics misses are those whose units want a socket for figures;
 * instances of a template are asked when their sockets are there. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"

#include "page.h"

#define UNIT_MAX     65536
#define WANTS_SOCKET "\nWants=chatmail-metrics@%s.socket\n"
#define SERVICE      "chatmail-%s.service"

static char *unit_text(const char *file)
{
    struct cm_err err;
    char *text = NULL, *path = cm_asprintf("%s/%s", UNITS_DIR, file);
    if (cm_file_read(path, UNIT_MAX, &text, NULL, &err) != 1) {
        fail_msg("%s: %s", path, err.text);
    }
    free(path);
    return text;
}

static void test_listed_have_a_socket(void **state)
{
    (void)state;
    for (const char *const *name = page_programs; *name != NULL; name++) {
        char *file = cm_asprintf(SERVICE, *name),
             *line = cm_asprintf(WANTS_SOCKET, *name);
        char *text = unit_text(file);
        if (strstr(text, line) == NULL) {
            fail_msg("%s wants no socket for figures", file);
        }
        free(text);
        free(line);
        free(file);
    }
}

static bool is_listed(const char *name, size_t len)
{
    for (const char *const *p = page_programs; *p != NULL; p++) {
        if (strlen(*p) == len && memcmp(*p, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Each mention in a unit, under whichever directive. Returns their number. */
static unsigned check_unit(const char *file)
{
    static const char word[] = "chatmail-metrics@";
    unsigned n = 0;
    char *text = unit_text(file);
    for (const char *p = text; (p = strstr(p, word)) != NULL; n++) {
        p += strlen(word);
        size_t len = strcspn(p, ". \n");
        if (memchr(p, '@', len) == NULL && !is_listed(p, len)) {
            fail_msg("%s: %.20s is not in page_programs", file, p);
        }
    }
    free(text);
    return n;
}

static void test_sockets_are_listed(void **state)
{
    (void)state;
    unsigned n = 0;
    DIR *dir = opendir(UNITS_DIR);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        const char *end = strrchr(e->d_name, '.');
        if (end != NULL && strcmp(end, ".service") == 0) {
            n += check_unit(e->d_name);
        }
    }
    closedir(dir);
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed_have_a_socket),
        cmocka_unit_test(test_sockets_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
