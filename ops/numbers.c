#include "numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/mem.h"
#include "ini_edit.h"
#include "store_sql.h"

#define NOTE_MAX (64 * 1024)

const char op_numbers_sql[] = "select number || ' ' || name from gateway union"
                              " select number || ' ' || name from gateway_invite;\n";

char *op_numbers_on_store(struct op_cluster *c)
{
    struct cm_err ignored;
    char *said = NULL;

    if (op_store_sql(&c->nodes[0].host, op_numbers_sql, &said, &ignored) != 0) {
        free(said);
        return cm_strdup("");
    }
    return said;
}

static int read_note(const struct op_cluster *c, char **path_r, char **used_r,
                     struct cm_err *err)
{
    *path_r = cm_asprintf("%s/numbers", c->state_dir);
    *used_r = NULL;
    if (cm_file_read(*path_r, NOTE_MAX, used_r, NULL, err) < 0) {
        return -1;
    }
    if (*used_r == NULL) {
        *used_r = cm_strdup("");
    }
    return 0;
}

int op_numbers_choose(const struct op_cluster *c, const char *more, int64_t *number_r,
                      struct cm_err *err)
{
    char *path, *used;

    if (c->cli->number != NULL) {
        return cm_value_int(c->cli->number, 1, CM_GATEWAYS_MAX, number_r, err) == 0
                   ? 0
                   : cm_err_prefix(err, "--number");
    }
    int rc = read_note(c, &path, &used, err);
    if (rc == 0) {
        char *all = cm_asprintf("%s%s", used, more);
        *number_r = op_free_number(&c->conf, all);
        free(all);
    }
    free(path);
    free(used);
    if (rc != 0 || *number_r != 0) {
        return rc;
    }
    return cm_err_set(err, CM_ERR_WORLD,
                      "all %d gateway numbers have been used; free one with --number N "
                      "when the gateway that had it is gone for good",
                      CM_GATEWAYS_MAX);
}

int op_numbers_note(const struct op_cluster *c, int64_t number, const char *name,
                    struct cm_err *err)
{
    char *path, *used;
    char *line = cm_asprintf("%lld %s\n", (long long)number, name);
    int rc = read_note(c, &path, &used, err);

    if (rc == 0 && strstr(used, line) == NULL) {
        char *text = cm_asprintf("%s%s", used, line);
        rc = cm_file_replace(path, text, strlen(text), 0600, err);
        free(text);
    }
    free(path);
    free(used);
    free(line);
    return rc;
}
