#include "status_probe.h"

#include <crypt.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "say.h"
#include "status.h"
#include "store_sql.h"

#define REPORT_MS 6000 /* a gateway reports every other second */
#define BOX_MS    12000
#define NAME_LEN  12
#define NOTE      "probe."
#define NOTE_MAX  512

/* ---- the account ---- */

static int random_word(char *out, size_t n)
{
    static const char set[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char raw[64];

    cm_assert(n < sizeof(raw));
    if (getrandom(raw, n, 0) != (ssize_t)n) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = set[raw[i] % 32];
    }
    out[n] = '\0';
    return 0;
}

/* As chatmail-auth would store it. */
static int hash_password(const char *password, char *out, size_t size)
{
    static struct crypt_data data;
    char salt[17], setting[24];

    if (random_word(salt, 16) != 0) {
        return -1;
    }
    snprintf(setting, sizeof(setting), "$6$%s", salt);
    const char *hash = crypt_r(password, setting, &data);
    int n = hash != NULL ? snprintf(out, size, "{SHA512-CRYPT}%s", hash) : -1;
    cm_wipe(&data, sizeof(data));
    return n > 0 && (size_t)n < size ? 0 : -1;
}

/* Marked as being removed first: no login and no delivery makes anything anew. */
static const char drop_script[] =
    "sql() { runuser -u postgres -- psql -XAtq1 -v ON_ERROR_STOP=1 -v a=\"$1\""
    " -d chatmail -f -; }\n"
    "echo \"with g as (delete from account where addr = :'a' returning addr)"
    " insert into account_removal (addr) select addr from g on conflict do nothing;\""
    " | sql \"$1\" || exit 1\n"
    "postqueue -j 2>/dev/null | grep -F \"\\\"address\\\": \\\"$1\\\"\" |"
    " sed -n 's/.*\"queue_id\": \"\\([^\"]*\\)\".*/\\1/p' | postsuper -d - "
    "2>/dev/null\n"
    "doveadm kick \"$1\" >/dev/null 2>&1\n"
    "rm -rf -- \"$2/$1\"\n"
    "echo \"delete from account_removal where addr = :'a';\" | sql \"$1\"";

static int drop_account(struct op_cluster *c, const char *addr, struct cm_err *err)
{
    struct op_cmd cmd = {.script = drop_script,
                         .args = {addr, c->conf.mailboxes_dir},
                         .repeatable = true};

    return op_host_run(&c->nodes[0].host, &cmd, NULL, err);
}

/* Is it a name of ours? It becomes part of a path on the store. */
static bool is_probe_addr(const struct op_cluster *c, const char *addr)
{
    const char *at = strchr(addr, '@');

    return at != NULL && at - addr == NAME_LEN + 3 && strncmp(addr, "ci-", 3) == 0 &&
           strspn(addr + 3, "abcdefghijklmnopqrstuvwxyz234567") == NAME_LEN &&
           strcmp(at + 1, c->conf.domain) == 0;
}

static char *note_path(const struct op_cluster *c, pid_t pid)
{
    return cm_asprintf("%s/" NOTE "%ld", c->state_dir, (long)pid);
}

static void drop_noted(struct op_cluster *c, const char *name)
{
    char *path = cm_asprintf("%s/%s", c->state_dir, name), *addr = NULL;
    struct cm_err err;

    if (cm_file_read(path, NOTE_MAX, &addr, NULL, &err) == 1 &&
        (!is_probe_addr(c, addr) || drop_account(c, addr, &err) == 0)) {
        (void)unlink(path);
    }
    free(addr);
    free(path);
}

/* What a chatops left that was killed. */
static void drop_leftovers(struct op_cluster *c)
{
    DIR *dir = opendir(c->state_dir);

    if (dir == NULL) {
        return;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        long pid = strncmp(e->d_name, NOTE, strlen(NOTE)) == 0
                       ? strtol(e->d_name + strlen(NOTE), NULL, 10)
                       : 0;
        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
            drop_noted(c, e->d_name);
        }
    }
    closedir(dir);
}

static int insert_account(struct op_ring *ring, struct op_cluster *c,
                          struct cm_err *err)
{
    char hash[160], *said = NULL;

    if (hash_password(ring->account.password, hash, sizeof(hash)) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "this system has no SHA512-CRYPT");
    }
    char *sql = cm_asprintf("insert into account (addr, password) values ('%s', '%s') "
                            "on conflict do nothing returning 'made';",
                            ring->account.addr, hash);
    int rc = op_store_sql(&c->nodes[0].host, sql, &said, err);
    if (rc == 0 && strstr(said, "made") == NULL) {
        rc = cm_err_set(err, CM_ERR_RETRY, "the name is taken");
    }
    free(said);
    free(sql);
    return rc;
}

static int make_account(struct op_ring *ring, struct op_cluster *c, struct cm_err *err)
{
    char name[NAME_LEN + 1];
    struct op_probe_account *a = &ring->account;

    drop_leftovers(c);
    if (random_word(name, NAME_LEN) != 0 || random_word(a->password, 32) != 0) {
        return cm_err_set(err, CM_ERR_WORLD, "no randomness");
    }
    snprintf(a->addr, sizeof(a->addr), "ci-%s@%s", name, c->conf.domain);
    char *path = note_path(c, getpid());
    int rc = cm_file_mkdirs(c->state_dir, 0700, err);
    if (rc == 0) {
        rc = cm_file_replace(path, a->addr, strlen(a->addr), 0600, err);
    }
    if (rc == 0) {
        rc = insert_account(ring, c, err);
    }
    if (rc != 0) {
        (void)unlink(path);
        a->addr[0] = '\0';
    }
    free(path);
    return rc;
}

void op_ring_close(struct op_ring *ring, struct op_cluster *c)
{
    struct cm_err err;

    if (ring->account.addr[0] == '\0') {
        return;
    }
    if (drop_account(c, ring->account.addr, &err) == 0) {
        char *path = note_path(c, getpid());
        (void)unlink(path);
        free(path);
    }
    cm_wipe(&ring->account, sizeof(ring->account));
}

/* ---- the ring ---- */

static const json_t *row_of(const json_t *status, const char *name)
{
    const json_t *list = json_object_get(status, "gateways");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *g = json_array_get(list, i);
        const char *have = json_string_value(json_object_get(g, "name"));
        if (have != NULL && strcmp(have, name) == 0) {
            return g;
        }
    }
    return NULL;
}

static bool text_is(const json_t *row, const char *key, const char *want)
{
    const char *have = json_string_value(json_object_get(row, key));

    return have != NULL && strcmp(have, want) == 0;
}

bool op_ring_tunnel(const json_t *status, const char *gateway)
{
    const json_t *g = row_of(status, gateway);
    long long age = json_integer_value(json_object_get(g, "report_age_ms"));

    if (json_is_false(json_object_get(g, "agent"))) {
        return text_is(g, "health", "up");
    }
    return g != NULL && age >= 0 && age <= REPORT_MS;
}

static void set_end(char *name, char *address, const struct cm_conf_gateway *g)
{
    char words[CM_ADDRESSES_MAX][64];
    size_t n = cm_conf_words(g->addresses, words, CM_ADDRESSES_MAX);

    snprintf(name, 40, "%.39s", g->name);
    snprintf(address, 46, "%.45s", n > 0 ? words[0] : "");
}

void op_ring_plan(struct op_ring *ring, const struct op_cluster *c,
                  const json_t *status)
{
    const struct cm_conf_gateway *in_use[CM_GATEWAYS_MAX];
    size_t n = 0;

    ring->count = 0;
    for (size_t i = 1; i < c->node_count && n < CM_GATEWAYS_MAX; i++) {
        const struct cm_conf_gateway *g = c->nodes[i].gateway;
        if (status == NULL ? g->mode == CM_MODE_ACTIVE
                           : text_is(row_of(status, g->name), "mode", "active")) {
            in_use[n++] = g;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct op_pair *p = &ring->pairs[ring->count++];
        *p = (struct op_pair){.ms = -1, .accepted_ms = -1};
        set_end(p->in, p->in_address, in_use[i]);
        set_end(p->out, p->out_address, in_use[(i + 1) % n]);
    }
}

/* ---- why ---- */

static const char facts_script[] =
    "for u in postfix@-.service chatmail-filter-out.service"
    " chatmail-filter-out.socket dovecot.service chatmail-auth.service; do"
    " echo unit $u $(systemctl is-active $u); done\n" OP_SILENT_SCRIPT
    "postqueue -j 2>/dev/null | grep -F \"\\\"address\\\": \\\"$1\\\"\" | tail -n1 |"
    " sed 's/.*\"delay_reason\": \"\\([^\"]*\\)\".*/\\1/; s/^{.*/active/;"
    " s/^/wait /'\n"
    "chatmail-cluster ctl status 2>/dev/null | sed 's/^/cluster /'; true";

static void take_unit(struct op_probe_facts *f, const char *name, bool active)
{
    const struct {
        const char *unit;
        bool *up;
    } units[] = {
        {"postfix@-.service", &f->postfix},
        {"chatmail-filter-out.service", &f->filter},
        {"chatmail-filter-out.socket", &f->filter},
        {"dovecot.service", &f->dovecot},
        {"chatmail-auth.service", &f->auth},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].unit, name) == 0) {
            *units[i].up = *units[i].up && active;
        }
    }
}

void op_ring_take_facts(char *text, struct op_probe_facts *f)
{
    char *save = NULL, unit[80], state[40], name[96];

    f->known = f->postfix = f->filter = f->dovecot = f->auth = true;
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        if (sscanf(l, "unit %79s %39s", unit, state) == 2) {
            take_unit(f, unit, strcmp(state, "active") == 0);
        } else if (sscanf(l, "silent %70s", unit) == 1) {
            snprintf(name, sizeof(name), "%s.service", unit);
            take_unit(f, name, false);
        } else if (strncmp(l, "wait ", 5) == 0) {
            f->queued = true;
            snprintf(f->reason, sizeof(f->reason), "%.199s", l + 5);
        }
    }
}

/* The newest "ctl status" among what was said; NULL. Caller owns it. */
static json_t *cluster_in(const char *text)
{
    const char *at = strstr(text, "cluster {");

    return at != NULL
               ? json_loads(at + strlen("cluster "), JSON_DISABLE_EOF_CHECK, NULL)
               : NULL;
}

static bool box_answers(struct op_cluster *c, const char *gateway)
{
    struct op_node *node = op_cluster_gateway(c, gateway);
    struct op_cmd cmd = {.script = "true", .timeout_ms = BOX_MS};
    struct cm_err err;

    return node != NULL && !node->skipped &&
           op_host_run(&node->host, &cmd, NULL, &err) == 0;
}

static void blame(struct op_ring *ring, struct op_cluster *c, struct op_pair *pair)
{
    struct op_probe_facts facts = {.known = false};
    char port[24];
    struct op_cmd cmd = {
        .script = facts_script, .args = {ring->account.addr, port}, .repeatable = true};
    const char *door = op_probe_door(pair);
    struct cm_err err;
    char *said = NULL;

    snprintf(port, sizeof(port), "%lld", (long long)c->conf.store.metrics_port);
    if (op_host_run(&c->nodes[0].host, &cmd, &said, &err) == 0) {
        json_t *status = cluster_in(said);
        facts.tunnel = door == NULL || op_ring_tunnel(status, door);
        json_decref(status);
        op_plain_text(said);
        op_ring_take_facts(said, &facts);
        free(said);
    }
    if (door != NULL && !facts.tunnel && pair->reach == OP_REACH_TIMEOUT) {
        facts.box = box_answers(c, door);
    }
    pair->hop = op_probe_blame(pair, &facts);
    if (facts.reason[0] != '\0' && pair->stage == OP_STAGE_ARRIVE) {
        snprintf(pair->said, sizeof(pair->said), "the message waits in the queue: %s",
                 facts.reason);
    }
}

void op_ring_run(struct op_ring *ring, struct op_cluster *c, const json_t *status,
                 void (*progress)(const struct op_pair *pair))
{
    struct cm_err err;

    op_ring_plan(ring, c, status);
    ring->trouble[0] = '\0';
    if (ring->count == 0) {
        snprintf(ring->trouble, sizeof(ring->trouble), "%s",
                 c->node_count > 1 ? "no gateway is published as active"
                                   : "chatmail.ini names no gateway");
        return;
    }
    if (ring->account.addr[0] == '\0' && make_account(ring, c, &err) != 0) {
        snprintf(ring->trouble, sizeof(ring->trouble), "%s: no probe account: %.300s",
                 op_hop_name(OP_HOP_DATABASE), err.text);
        op_plain_text(ring->trouble);
        ring->count = 0;
        return;
    }
    for (size_t i = 0; i < ring->count; i++) {
        struct op_pair *pair = &ring->pairs[i];
        if (progress != NULL) {
            progress(pair);
        }
        op_probe_pair(pair, c->conf.mail_domain, &ring->account);
        if (pair->stage != OP_STAGE_DONE) {
            blame(ring, c, pair);
        }
    }
}
