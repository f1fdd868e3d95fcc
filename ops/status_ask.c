/* One question to the store, and its answer. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "status.h"

/* Reasons are shown without addresses: whose mail waits is nobody's business. */
static const char store_script[] =
    "for u in $1; do echo unit $u $(systemctl is-active $u); done\n"
    "for u in chatmail-expire.service chatmail-fsreport.service"
    " chatmail-clock.service; do"
    " echo run $u $(systemctl show -P Result $u); done\n" OP_SILENT_SCRIPT
    "echo signer $(systemctl show -P StatusText chatmail-filter-out.service)\n"
    "q=$(mktemp) && postqueue -j >$q 2>/dev/null && echo queue $(wc -l <$q) &&"
    " awk '{ s = $0; while (match(s, /\"address\": \"[^\"]*\"/)) {"
    " d = substr(s, RSTART + 12, RLENGTH - 13); sub(/.*@/, \"\", d);"
    " s = substr(s, RSTART + RLENGTH); r = \"\";"
    " if (match(s, /^, \"delay_reason\": \"([^\"\\\\]|\\\\.)*\"/)) {"
    " r = substr(s, 20, RLENGTH - 20); gsub(/[^ <>]*@[^ <>]*/, \"...\", r) }"
    " n[d \" \" (r == \"\" ? \"is being delivered\" : r)]++ } }"
    " END { for (k in n) print n[k], k }' $q | sort -rn | head -n 10 |"
    " sed 's/^/waiting /'; rm -f $q\n"
    "r() { redis-cli -s /run/redis/redis-server.sock --raw \"$@\" 2>/dev/null; }\n"
    "ago() { case $1 in ''|*[!0-9]*) echo -1;;"
    " *) echo $(($(date +%s) - $1 / $2));; esac; }\n"
    "l=$(r get push:last)\n"
    "echo push $(ago \"$(r zrange push:age 0 0 withscores | tail -n1)\" 1000000)"
    " $(ago \"$l\" 1000) $(ago \"$(r zrangebyscore push:age ${l:-0}000 +inf withscores"
    " limit 0 1 | tail -n1)\" 1000000)\n"
    "df -B1 --output=target,avail,pcent / /var/spool/postfix /var/lib/postgresql"
    " \"$3\" 2>/dev/null | sort -u | sed -n 's/^\\(\\/.*\\)%$/disk \\1/p'\n"
    "echo backup $(ago \"$(stat -c %Y " OP_BACKUP_STAMP " 2>/dev/null)\" 1) s\n"
    "for p in idle push; do echo plugin chatmail_$p"
    " $(/usr/lib/portico/dovecot-plugin status $p 2>&1 | tail -n1); done\n"
    "sed -n '1s/^/invite echo /p' /var/lib/chatmail-echo/invite-link.txt 2>/dev/null\n"
    "dpkg-query -W -f 'package ${Package} ${Version}\\n' portico-store postfix"
    " dovecot-core nginx postgresql-15 redis-server 2>/dev/null\n"
    "chatmail-cluster ctl status 2>/dev/null | sed 's/^/cluster /'; true";

void op_report_init(struct op_report *r, struct op_cluster *c)
{
    r->c = c;
    r->answered = r->probed = r->no_dkim_key = false;
    r->cluster = NULL;
    r->units = json_object();
    r->packages = json_object();
    r->plugins = json_object();
    r->runs = json_object();
    r->silent = json_array();
    r->queue = r->push_oldest_s = r->push_success_s = r->push_stuck_s = -1;
    r->backup_age_s = -1;
    r->waiting_count = r->disk_count = r->wrong_count = 0;
    r->invite[0] = '\0';
    cm_buf_init(&r->certificate, 2048);
}

void op_report_clear(struct op_report *r)
{
    for (size_t i = 0; i < r->wrong_count; i++) {
        free(r->wrong[i]);
    }
    json_decref(r->cluster);
    json_decref(r->units);
    json_decref(r->packages);
    json_decref(r->plugins);
    json_decref(r->runs);
    json_decref(r->silent);
    cm_buf_clear(&r->certificate);
}

void op_report_reset(struct op_report *r)
{
    op_report_clear(r);
    op_report_init(r, r->c);
}

void op_report_wrong(struct op_report *r, const char *fmt, ...)
{
    struct cm_buf b;
    va_list ap;

    cm_buf_init(&b, 2048);
    va_start(ap, fmt);
    cm_buf_vfmt(&b, fmt, ap);
    va_end(ap);
    op_plain_text(b.data);
    for (size_t i = 0; i < r->wrong_count; i++) {
        if (strcmp(r->wrong[i], b.data) == 0) {
            cm_buf_clear(&b);
            return;
        }
    }
    if (r->wrong_count == OP_WRONG_MAX) {
        cm_buf_clear(&b);
        return;
    }
    r->wrong[r->wrong_count++] = cm_buf_steal(&b);
}

void op_report_say_wrong(void *report, const char *text)
{
    op_report_wrong(report, "%s", text);
}

/* ---- the lines of the answer: KIND NAME VALUE ---- */

/* What Postfix said, as JSON has it: only the quotes and backslashes are undone. */
static void unescape(const char *from, char *out, size_t size)
{
    size_t at = 0;

    for (; *from != '\0' && at + 1 < size; from++) {
        from += *from == '\\' && from[1] != '\0';
        out[at++] = *from;
    }
    out[at] = '\0';
}

static void take_waiting(struct op_report *r, const char *count, const char *rest)
{
    const char *reason = strchr(rest, ' ');

    if (r->waiting_count == OP_WAITING_MAX || reason == NULL) {
        return;
    }
    struct op_waiting *w = &r->waiting[r->waiting_count++];
    w->count = strtoll(count, NULL, 10);
    snprintf(w->destination, sizeof(w->destination), "%.*s",
             (int)(reason - rest < 119 ? reason - rest : 119), rest);
    unescape(reason + 1, w->reason, sizeof(w->reason));
}

/* "/home 123456 45" */
static void take_disk(struct op_report *r, const char *path, const char *rest)
{
    long long avail;
    int used;

    if (r->disk_count == OP_DISKS_MAX || sscanf(rest, "%lld %d", &avail, &used) != 2) {
        return;
    }
    struct op_disk *d = &r->disks[r->disk_count++];
    snprintf(d->path, sizeof(d->path), "%.119s", path);
    d->free_bytes = avail;
    d->used_percent = used;
}

/* "1320 305 -1" */
static void take_push(struct op_report *r, const char *oldest, const char *rest)
{
    char *end;

    r->push_oldest_s = strtoll(oldest, NULL, 10);
    r->push_success_s = strtoll(rest, &end, 10);
    r->push_stuck_s = *end == ' ' ? strtoll(end, NULL, 10) : -1;
}

static void take_valued(struct op_report *r, const char *kind, const char *name,
                        const char *value)
{
    const struct {
        const char *kind;
        json_t *into;
    } tables[] = {{"unit", r->units},
                  {"package", r->packages},
                  {"run", r->runs},
                  {"plugin", r->plugins}};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (strcmp(kind, tables[i].kind) == 0) {
            json_object_set_new(tables[i].into, name, json_string(value));
            return;
        }
    }
    if (strcmp(kind, "signer") == 0) {
        r->no_dkim_key = strcmp(name, "no") == 0; /* "no DKIM key for ..." */
    } else if (strcmp(kind, "push") == 0) {
        take_push(r, name, value);
    } else if (strcmp(kind, "silent") == 0) {
        json_array_append_new(r->silent, json_string(name));
    } else if (strcmp(kind, "backup") == 0) {
        r->backup_age_s = strtoll(name, NULL, 10);
    } else if (strcmp(kind, "waiting") == 0) {
        take_waiting(r, name, value);
    } else if (strcmp(kind, "disk") == 0) {
        take_disk(r, name, value);
    } else if (strcmp(kind, "invite") == 0) {
        snprintf(r->invite, sizeof(r->invite), "%.599s", value);
    }
}

static void take_line(struct op_report *r, char *line)
{
    char *save = NULL;
    const char *kind = strtok_r(line, " ", &save);
    const char *name = strtok_r(NULL, " ", &save);
    const char *value = strtok_r(NULL, "", &save);

    if (kind == NULL || name == NULL) {
        return;
    }
    if (strcmp(kind, "queue") == 0) {
        r->queue = strtoll(name, NULL, 10);
    } else if (value != NULL) {
        take_valued(r, kind, name, value);
    }
}

void op_report_take(struct op_report *r, char *text)
{
    char *save = NULL;

    r->answered = true;
    op_plain_text(text);
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(l, "cluster ", 8) == 0) {
            json_decref(r->cluster);
            r->cluster = json_loads(l + 8, 0, NULL);
        } else {
            take_line(r, l);
        }
    }
}

int op_report_ask(struct op_report *r, struct cm_err *err)
{
    struct op_node *store = &r->c->nodes[0];
    struct cm_buf units;
    char *said, port[24];

    snprintf(port, sizeof(port), "%lld", (long long)r->c->conf.store.metrics_port);
    cm_buf_init(&units, 4096);
    for (const struct op_unit *u = store->units; u->name != NULL; u++) {
        cm_buf_fmt(&units, "%s ", u->name);
    }
    struct op_cmd cmd = {.script = store_script,
                         .args = {units.data, port, r->c->conf.mailboxes_dir},
                         .repeatable = true};
    int rc = op_host_run(&store->host, &cmd, &said, err);
    cm_buf_clear(&units);
    if (rc != 0) {
        return -1;
    }
    op_report_take(r, said);
    free(said);
    return 0;
}
