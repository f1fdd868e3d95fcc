#include "acme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "cluster.h"
#include "say.h"

#define ASK_CA_MS (8 * 60 * 1000) /* three tries, each with the CA's own time-outs */

/* ---- account ---- */

static void take_word(const char *line, const char *allowed, char *out, size_t size)
{
    size_t n = strcspn(line, "\r\n");

    if (n < size && strspn(line, allowed) == n) {
        snprintf(out, size, "%.*s", (int)n, line);
    }
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

void op_acme_account_parse(const char *text, struct op_acme_account *out)
{
    const char *second = strchr(text, '\n');

    *out = (struct op_acme_account){.url = ""};
    if (strncmp(text, "https://", 8) == 0) {
        take_word(text, LETTERS "-._~:/?#[]@!$&'()*+,=%", out->url, sizeof(out->url));
    }
    if (out->url[0] != '\0' && second != NULL) {
        take_word(second + 1, LETTERS "-.", out->issuer, sizeof(out->issuer));
    }
}

int op_acme_account(struct op_host *store, struct op_acme_account *out,
                    struct cm_err *err)
{
    char *said;

    if (op_host_ask(store, "head -c 2000 " OP_ACME_ACCOUNT " 2>/dev/null; true", &said,
                    err) != 0) {
        return -1;
    }
    op_acme_account_parse(said, out);
    free(said);
    return 0;
}

/* ---- what the store says ---- */

static void copy(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    size_t n = 0;

    for (; s != NULL && *s != '\0' && n + 1 < size; s++) {
        out[n++] = (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s;
    }
    out[n] = '\0';
}

void op_tls_told_parse(const char *text, struct op_tls_told *out)
{
    const char *second = strchr(text, '\n');
    size_t first = second != NULL ? (size_t)(second - text) : strlen(text);
    json_t *tls = json_loadb(text, first, 0, NULL);
    json_t *acme = second != NULL ? json_loads(second + 1, 0, NULL) : NULL;

    *out = (struct op_tls_told){
        .temporary = json_is_true(json_object_get(tls, "temporary")),
        .not_after = json_integer_value(json_object_get(tls, "not_after")),
    };
    copy(tls, "issuer", out->issuer, sizeof(out->issuer));
    copy(tls, "problem", out->tls_problem, sizeof(out->tls_problem));
    copy(acme, "problem", out->acme_problem, sizeof(out->acme_problem));
    json_decref(tls);
    json_decref(acme);
}

#define TOLD_SCRIPT                                                                    \
    "chatmail-tls status --config " OP_INI_PATH " 2>/dev/null || echo '{}'\n"          \
    "cat " OP_ACME_DIR "/state.json 2>/dev/null; true"

int op_tls_told(struct op_host *store, struct op_tls_told *out, struct cm_err *err)
{
    char *said;

    if (op_host_ask(store, TOLD_SCRIPT, &said, err) != 0) {
        return -1;
    }
    op_tls_told_parse(said, out);
    free(said);
    return 0;
}

/* ---- before the daemons ---- */

/* Of the first run's dry run: the program comes with the package. The settings are
 * given, because the file on the store is written later. */
static const char check_script[] =
    "command -v chatmail-tls >/dev/null || {"
    " [ -z \"$1\" ] || { [ -s \"$1\" ] && [ -s \"$2\" ]; } ||"
    " { echo \"$1 or $2 is not there; put both on the store or take"
    " tls_external_cert_and_key out\" >&2; exit 1; }; echo 'not made yet'; exit 0; }\n"
    "chatmail-tls check --config /dev/stdin";

static int check_taken(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    const struct cm_conf *conf = &node->cluster->conf;
    bool external = conf->tls_mode == CM_TLS_EXTERNAL;
    struct cm_run_result res;
    struct op_cmd cmd = {
        .script = check_script,
        .args = {external ? conf->tls_cert : "", external ? conf->tls_key : ""},
        .input = node->cluster->ini,
        .input_len = node->cluster->ini_len,
        .repeatable = true};
    char line[sizeof(step->note)];
    int rc = op_host_exec(&node->host, &cmd, &res, err);

    if (rc == 0) {
        op_last_line(res.exit_code == 0 ? res.out.data : res.err.data, line,
                     sizeof(line));
        bool kept = strncmp(line, "kept: ", 6) == 0;
        rc = res.exit_code == 0 && (line[0] == '\0' || kept);
        if (kept) {
            op_warn("the old certificate stays in use: %s", line + 6);
        }
        op_step_note(step, "%s", kept ? "the new one is refused" : line);
    }
    cm_run_result_clear(&res);
    return rc;
}

static int take(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {.script = "chatmail-tls prepare --config /dev/stdin",
                         .input = node->cluster->ini,
                         .input_len = node->cluster->ini_len};
    char *said, line[sizeof(step->note)];

    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    op_last_line(said, line, sizeof(line));
    op_step_note(step, "%s", line);
    free(said);
    return 0;
}

void op_add_taken_tls(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "TLS certificate",
                        .check = check_taken,
                        .act = take,
                        .ctx = store};

    op_plan_add(plan, &s);
}

/* ---- when all serves ---- */

/* A person has asked: the rest after a refusal does not count. Both units end before
 * systemctl does. */
static const char ask_script[] =
    "rm -f " OP_ACME_DIR "/failed\n"
    "systemctl start chatmail-acme.service 2>/dev/null\n"
    "systemctl start chatmail-tls.service 2>/dev/null\n" TOLD_SCRIPT;

static void note_given(struct op_step *step, const struct op_tls_told *told)
{
    time_t until = (time_t)told->not_after;
    char day[32] = "";
    struct tm tm;

    strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&until, &tm));
    op_step_note(step, "by %s, until %s", told->issuer, day);
}

static int check_acme(struct op_step *step, struct cm_err *err)
{
    struct op_node *node = step->ctx;
    struct op_cmd cmd = {
        .script = ask_script, .timeout_ms = ASK_CA_MS, .repeatable = true};
    struct op_tls_told told;
    char *said;

    if (op_host_run(&node->host, &cmd, &said, err) != 0) {
        return -1;
    }
    op_tls_told_parse(said, &told);
    free(said);
    const char *why =
        told.tls_problem[0] != '\0' ? told.tls_problem : told.acme_problem;
    if (why[0] == '\0' && !told.temporary && told.not_after != 0) {
        note_given(step, &told);
        return 1;
    }
    op_warn("no new certificate: %s; %s; the store asks again by itself",
            why[0] != '\0' ? why : "see: journalctl -u chatmail-acme",
            told.temporary ? "until there is one a temporary one serves, which clients "
                             "do not trust"
                           : "the one that is there stays in use");
    op_step_note(step, "%s", told.temporary ? "temporary" : "not renewed");
    return 1;
}

void op_add_acme(struct op_plan *plan, struct op_node *store)
{
    struct op_step s = {.node = store->host.name,
                        .name = "certificate from the CA",
                        .check = check_acme,
                        .live = true,
                        .ctx = store};

    if (store->cluster->conf.tls_mode == CM_TLS_ACME) {
        op_plan_add(plan, &s);
    }
}
