/* chatops init: a fresh chatmail.ini. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "cli.h"
#include "common/conf.h"
#include "common/file.h"
#include "say.h"

int op_init(const struct op_cli *cli, struct cm_err *err)
{
    const char *domain = cli->args[0];
    bool exists = access(cli->config, F_OK) == 0;

    if (!cm_value_is_ipv4(domain) && cm_value_domain(domain, err) != 0) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (exists && !cli->force) {
        op_say(OP_RED, "[WARNING] Path exists, not modifying: %s (--force replaces it)",
               cli->config);
        return OP_EXIT_FAILED;
    }
    if (exists) {
        op_say(OP_YELLOW,
               "[WARNING] Force argument was provided: deleting config file %s",
               cli->config);
    }
    char *text = cm_conf_default_text(domain);
    int rc = cm_file_replace(cli->config, text, strlen(text), 0644, err);
    free(text);
    if (rc != 0) {
        return -1;
    }
    if (cli->json) {
        op_answer(json_pack("{s:s, s:s, s:s}", "result", "ok", "domain", domain, "file",
                            cli->config));
        return OP_EXIT_OK;
    }
    op_say(OP_GREEN, "created config file for %s in %s", domain, cli->config);
    op_say(OP_PLAIN, "next: write \"ssh = root@ADDRESS\" below [store] in it, then\n"
                     "      chatops gateway add edge1 --ssh root@ADDRESS\n"
                     "which sets up both and measures what came of it");
    return OP_EXIT_OK;
}
