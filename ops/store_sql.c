#include "store_sql.h"

#include <string.h>

/* On stdin: an argument could be read by others on the node. */
int op_store_sql(struct op_host *store, const char *sql, char **said_r,
                 struct cm_err *err)
{
    struct op_cmd cmd = {.script = "runuser -u postgres -- psql -XAtq1 -v "
                                   "ON_ERROR_STOP=1 -d chatmail -f -",
                         .input = sql};

    if (op_host_run(store, &cmd, said_r, err) == 0) {
        return 0;
    }
    return strstr(err->text, "does not exist") != NULL
               ? cm_err_prefix(err, "the store's database is older than this chatops, "
                                    "run: chatops run")
               : -1;
}
