/* chatops webdev: the web pages in a folder of this machine, built again whenever a
 * source changes, so that they can be looked at before "chatops run" publishes them. */
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "cluster.h"
#include "common/file.h"
#include "common/mem.h"
#include "hash.h"
#include "pages.h"
#include "say.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

static int write_pages(const struct op_files *files, const char *folder,
                       struct cm_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < files->count && rc == 0; i++) {
        const struct op_file *f = &files->items[i];
        char *path = cm_asprintf("%s%s", folder, f->path + strlen(OP_PAGES_ROOT));
        char *copy = cm_strdup(path);
        rc = cm_file_mkdirs(dirname(copy), 0755, err);
        if (rc == 0) {
            rc = cm_file_replace(path, f->content, f->len, 0644, err);
        }
        free(copy);
        free(path);
    }
    return rc;
}

static void files_hash(const struct op_files *files, char hash[OP_HASH_TEXT])
{
    struct cm_buf all;

    cm_buf_init(&all, 256u << 20);
    for (size_t i = 0; i < files->count; i++) {
        cm_buf_fmt(&all, "%s %zu\n", files->items[i].path, files->items[i].len);
        cm_buf_add(&all, files->items[i].content, files->items[i].len);
    }
    op_hash(all.data, all.len, hash);
    cm_buf_clear(&all);
}

/* Builds; writes when something is new. 1 written, 0 as before, -1 error. */
static int turn(const struct cm_conf *conf, const char *base, const char *folder,
                bool refresh, char last[OP_HASH_TEXT], struct cm_err *err)
{
    struct op_files files = {0};
    char hash[OP_HASH_TEXT];
    int rc = op_pages_build(conf, base, refresh, &files, err);

    if (rc == 0) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "www_folder = %s: no such folder, so this relay has no pages",
                          conf->www_folder);
    }
    if (rc == 1) {
        files_hash(&files, hash);
        rc = strcmp(hash, last) != 0;
        if (rc == 1) {
            snprintf(last, OP_HASH_TEXT, "%s", hash);
            rc = write_pages(&files, folder, err) == 0 ? 1 : -1;
        }
    }
    op_files_clear(&files);
    return rc;
}

static void say_built(const struct op_cli *cli, const char *folder, unsigned count)
{
    char real[PATH_MAX];

    if (realpath(folder, real) == NULL) {
        snprintf(real, sizeof(real), "%s", folder);
    }
    if (cli->json) {
        char *url = cm_asprintf("file://%s/index.html", real);
        json_t *o = json_pack("{s:s, s:i, s:s}", "result", "ok", "built", (int)count,
                              "url", url);
        op_answer_event("built", json_incref(o));
        op_answer(o);
        free(url);
    } else if (count == 1) {
        op_say(OP_GREEN, "built: file://%s/index.html", real);
    } else {
        op_say(OP_PLAIN, "built again (%u)", count);
    }
    fflush(stdout);
}

int op_webdev(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    char last[OP_HASH_TEXT] = "";
    unsigned built = 0;

    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    char *config = cm_strdup(cli->config);
    char *folder =
        cli->out != NULL ? cm_strdup(cli->out) : cm_asprintf("%s/www", c.state_dir);
    const char *base = dirname(config);
    int rc = turn(&c.conf, base, folder, !cli->once, last, err);
    if (rc == 1) {
        say_built(cli, folder, ++built);
        signal(SIGINT, on_interrupt);
        signal(SIGTERM, on_interrupt);
        if (!cli->once && !cli->json) {
            op_say(OP_PLAIN, "watching the sources; Ctrl-C ends it");
        }
    }
    while (rc >= 0 && !cli->once && !interrupted) {
        sleep(1);
        rc = turn(&c.conf, base, folder, true, last, err);
        if (rc == 1) {
            say_built(cli, folder, ++built);
        } else if (rc < 0) { /* a half-typed page: say so, wait for the rest */
            op_complain("%s", err->text);
            rc = 0;
        }
    }
    free(folder);
    free(config);
    op_cluster_clear(&c);
    return rc < 0 ? -1 : OP_EXIT_OK;
}
