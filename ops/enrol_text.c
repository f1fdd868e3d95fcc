#include "enrol_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/enrol.h"
#include "common/mem.h"
#include "common/template.h"
#include "embed.h"
#include "store_sql.h"

#define SCRIPT_MAX  65536 /* as the table has it */
#define MINUTE_S    60
#define DAY_S       86400
#define LONGEST_S   (30 * DAY_S)
#define SCRIPT_PATH "/root/portico-enrol.sh"
#define FILE_END    "PORTICO-END"

static const char *embedded(const char *name)
{
    for (const struct op_embedded *e = op_embedded; e->name != NULL; e++) {
        if (strcmp(e->name, name) == 0) {
            return e->data;
        }
    }
    cm_assert(!"a template of the program");
    return NULL;
}

/* ---- the script ---- */

static void put_doors(struct cm_buf *b, const struct op_invitation *inv)
{
    for (size_t i = 0; i < inv->door_count; i++) {
        bool v6 = strchr(inv->doors[i], ':') != NULL;
        cm_buf_fmt(b, v6 ? "%s'[%s]'" : "%s%s", i > 0 ? " " : "", inv->doors[i]);
    }
}

static void put_packages(struct cm_buf *b, const struct op_invitation *inv)
{
    for (size_t i = 0; i < inv->package_count; i++) {
        cm_buf_fmt(b, "%s) sha=%s ;;\n", inv->packages[i].arch, inv->packages[i].hash);
    }
}

static void put_file(struct cm_buf *b, const struct op_file *f)
{
    const char *slash = strrchr(f->path, '/');

    cm_buf_fmt(b, "mkdir -p %.*s\ncat >%s.new <<'" FILE_END "'\n%s" FILE_END "\n",
               (int)(slash - f->path), f->path, f->path, f->content);
    cm_buf_fmt(b, "chown %s %s.new\nchmod %04o %s.new\nmv %s.new %s\n", f->owner,
               f->path, (unsigned)f->mode, f->path, f->path, f->path);
}

/* As `run` puts them there, for a machine with IPv6 and no container: what another one
 * lacks its systemd-sysctl passes over. */
static int put_files(struct cm_buf *b, const struct op_invitation *inv,
                     struct cm_err *err)
{
    char *name = cm_strdup(inv->name);
    struct cm_conf_gateway gw = {.name = name, .number = inv->number, .wg_port = 51820};
    struct op_facts facts = {.ipv6 = true};
    struct op_files files;

    snprintf(facts.cluster_key, sizeof(facts.cluster_key), "%s", inv->cluster_key);
    snprintf(facts.store_wg_key, sizeof(facts.store_wg_key), "%s", inv->store_wg_key);
    int rc = op_stack_gateway(inv->conf, &gw, &facts, &files, err);
    free(name);
    if (rc != 0) {
        return -1;
    }
    for (size_t i = 0; i < files.count; i++) {
        put_file(b, &files.items[i]);
    }
    op_files_clear(&files);
    return 0;
}

int op_enrol_script(const struct op_invitation *inv, char **script_r,
                    struct cm_err *err)
{
    struct cm_buf doors, packages, files;
    int rc;

    cm_buf_init(&doors, 1024);
    cm_buf_init(&packages, 1024);
    cm_buf_init(&files, SCRIPT_MAX);
    put_doors(&doors, inv);
    put_packages(&packages, inv);
    rc = put_files(&files, inv, err);
    if (rc == 0) {
        const struct cm_template_var vars[] = {
            {"name", inv->name},         {"domain", inv->conf->mail_domain},
            {"doors", doors.data},       {"pin", inv->pin},
            {"header", CM_ENROL_HEADER}, {"ports", "25|80|143|443|465|587|993"},
            {"packages", packages.data}, {"files", files.data},
        };
        rc = cm_template_render("gateway/enrol.sh", embedded("gateway/enrol.sh"), vars,
                                sizeof(vars) / sizeof(vars[0]), script_r, err);
    }
    cm_buf_clear(&doors);
    cm_buf_clear(&packages);
    cm_buf_clear(&files);
    return rc;
}

/* ---- the line ---- */

char *op_enrol_line(const struct op_invitation *inv, const char *token,
                    const char *script_hash)
{
    struct cm_buf b;

    cm_buf_init(&b, 8192);
    cm_buf_fmt(&b,
               "t=%s; f=" SCRIPT_PATH "; command -v curl >/dev/null || { apt-get -qq "
               "update && apt-get -qqy install --no-install-recommends curl; }; for a "
               "in ",
               token);
    put_doors(&b, inv);
    cm_buf_fmt(&b,
               "; do curl -gfsSk --connect-timeout 15 --pinnedpubkey 'sha256//%s' -H "
               "\"" CM_ENROL_HEADER
               ": $t\" -o $f \"https://$a/enrol/script\" && break; done; echo \"%s  "
               "$f\" | sha256sum -c --quiet && sh $f $t",
               inv->pin, script_hash);
    cm_assert(!b.overflow);
    return cm_buf_steal(&b);
}

/* A block scalar: nothing in the line is YAML to it. */
char *op_enrol_cloud_init(const char *line)
{
    return cm_asprintf("#cloud-config\nruncmd:\n  - |\n    %s\n", line);
}

int op_invite_time(const char *text, int64_t *seconds_r, struct cm_err *err)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', MINUTE_S}, {'h', 3600}, {'d', DAY_S}};
    char number[24] = "";
    int64_t unit = 1, n;

    if (text == NULL) {
        *seconds_r = DAY_S;
        return 0;
    }
    size_t len = strlen(text);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && len > 1; i++) {
        if (text[len - 1] == units[i].letter) {
            unit = units[i].seconds;
            len--;
            break;
        }
    }
    snprintf(number, sizeof(number), "%.*s", len < 20 ? (int)len : 20, text);
    if (cm_value_int(number, 1, LONGEST_S, &n, err) != 0 || n * unit < MINUTE_S ||
        n * unit > LONGEST_S) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "--for: \"%.40s\" is no such time; allowed: 1m to 30d, as in "
                          "90m, 24h, 7d",
                          text);
    }
    *seconds_r = n * unit;
    return 0;
}

/* The script has quotes and backslashes of its own: a dollar quote whose tag is in it
 * nowhere (it is ours). Name and hash are of plain letters. */
char *op_enrol_sql(const char *name, int64_t number, const char *token_hash,
                   int64_t seconds, const char *script)
{
    cm_assert(strstr(script, "$portico$") == NULL);
    return cm_asprintf(
        "delete from gateway_invite where (joined is null and expires < now()) or "
        "name = '%s';\n"
        "insert into gateway_invite (name, number, token_sha256, expires, script) "
        "values ('%s', %" PRId64 ", decode('%s', 'hex'), now() + interval '%" PRId64
        " seconds', $portico$%s$portico$) returning " OP_SQL_TIME("expires") ";\n",
        name, name, number, token_hash, seconds, script);
}
