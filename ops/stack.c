#include "stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/template.h"
#include "embed.h"
#include "proxied.h"
#include "turn.h"

#define JOURNALD   "systemd-journald.service"
#define SYSCTL     "systemd-sysctl.service"
#define POSTGRESQL "postgresql@15-main.service"
#define REDIS      "redis-server.service"
#define DOVECOT    "dovecot.service"
#define POSTFIX    "postfix@-.service"
#define NGINX      "nginx.service"
#define CLUSTER    "chatmail-cluster.service"
#define DNS        "chatmail-dns.service"
#define ECHO       "chatmail-echo.service"
#define SIGNER     "chatmail-filter-sign"
#define TUNNEL     "chatmail-tunnel@wg0.service"
#define GATEWAY    "chatmail-gateway.service"
#define TLS_PATH   "chatmail-tls.path"
#define TLS_TIMER  "chatmail-tls.timer"
#define ACME_TIMER "chatmail-acme.timer"

#define PG_ETC    "/etc/postgresql/15/main"
#define DROPIN(u) "/etc/systemd/system/" u ".d/chatmail.conf"

/* The daemon that must answer comes before the one that asks. Only what is said on
 * stderr counts: a warning of postconf is a setting that does nothing, so it fails the
 * check. */
const struct op_unit op_store_units[] = {
    {SYSCTL, NULL, false},
    {JOURNALD, NULL, false},
    {POSTGRESQL,
     "runuser -u postgres -- /usr/lib/postgresql/15/bin/postgres -C shared_buffers"
     " -D /var/lib/postgresql/15/main -c config_file=" PG_ETC "/postgresql.conf"
     " >/dev/null",
     false},
    {REDIS, NULL, false},
    {"chatmail-auth.socket", NULL, false},
    {"chatmail-auth-sasl.socket", NULL, false},
    {"chatmail-auth.service", NULL, true},
    {"chatmail-expire.timer", NULL, false},
    {"chatmail-fsreport.timer", NULL, false},
    {"chatmail-filter-out.socket", NULL, false},
    {"chatmail-filter-out.service", NULL, true},
    {SIGNER ".socket", NULL, false},
    {SIGNER ".service", NULL, true},
    {"chatmail-filter-in.socket", NULL, false},
    {"chatmail-filter-in.service", NULL, true},
    {"chatmail-lastlogin.socket", NULL, false},
    {"chatmail-lastlogin.service", NULL, false},
    {"chatmail-push.socket", NULL, false},
    {"chatmail-push.service", NULL, false},
    {"chatmail-metadata.socket", NULL, false},
    {"chatmail-metadata.service", NULL, false},
    {"chatmail-transport.socket", NULL, false},
    {"chatmail-transport.service", NULL, false},
    {"chatmail-queue.socket", NULL, false},
    {"chatmail-web.socket", NULL, false},
    {"chatmail-web.service", NULL, false},
    {"chatmail-monitor.socket", NULL, false},
    {"chatmail-monitor.service", NULL, false},
    {CLUSTER, NULL, false},
    {DOVECOT, "ulimit -n $(ulimit -H -n); doveconf -n >/dev/null", false},
    {"chatmail-clock.timer", NULL, false},
    {POSTFIX,
     "said=$( { postconf -n; postconf -M; } 2>&1 >/dev/null | sort -u);"
     " if test -n \"$said\"; then echo \"$said\" >&2; false; else postfix check; fi",
     false},
    {NGINX, "nginx -t -q", true},
    {TLS_PATH, NULL, false},
    {TLS_TIMER, NULL, false},
    {ACME_TIMER, NULL, false},
    {ECHO, NULL, false},
    {DNS, NULL, false},
    {NULL, NULL, false},
};

const struct op_unit op_gateway_units[] = {
    {SYSCTL, NULL, false},  {JOURNALD, NULL, false}, {TUNNEL, NULL, false},
    {GATEWAY, NULL, false}, {NULL, NULL, false},
};

/* Which nodes a file is for. */
typedef bool wanted_fn(const struct cm_conf *conf);

static bool has_name(const struct cm_conf *conf)
{
    return !conf->is_ip;
}

static bool has_echo(const struct cm_conf *conf)
{
    return conf->store.echo_core[0] != '\0';
}

static bool has_dns_follow(const struct cm_conf *conf)
{
    return conf->store.dns_follow && !conf->is_ip;
}

static bool is_external(const struct cm_conf *conf)
{
    return conf->tls_mode == CM_TLS_EXTERNAL;
}

static bool is_acme(const struct cm_conf *conf)
{
    return conf->tls_mode == CM_TLS_ACME;
}

static bool is_renewed(const struct cm_conf *conf)
{
    return is_external(conf) || is_acme(conf);
}

/* Units that only some stores have. */
static const struct {
    const char *unit;
    wanted_fn *wanted;
} optional[] = {
    {SIGNER ".socket", has_name}, /* without a name it has nothing to sign for */
    {SIGNER ".service", has_name}, {ECHO, has_echo},      {TLS_PATH, is_renewed},
    {TLS_TIMER, is_renewed},       {ACME_TIMER, is_acme}, {DNS, has_dns_follow},
};

static bool unit_wanted(const char *unit, const struct cm_conf *conf)
{
    for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        if (strcmp(optional[i].unit, unit) == 0)
            return optional[i].wanted(conf);
    }
    return true;
}

struct op_unit *op_stack_units(const struct cm_conf *conf)
{
    int64_t numbers[CM_GATEWAYS_MAX];
    size_t turns = op_turn_numbers(conf, numbers), max = 0, count = 0;

    while (op_store_units[max].name != NULL)
        max++;
    struct op_unit *units = cm_calloc(max + turns + 1, sizeof(*units));
    for (size_t i = 0; i < max; i++) {
        if (unit_wanted(op_store_units[i].name, conf))
            units[count++] = op_store_units[i];
    }
    for (size_t i = 0; i < turns; i++)
        units[count++] = (struct op_unit){.name = op_turn_unit(numbers[i])};
    return units;
}

struct source {
    const char *name; /* below ops/templates */
    const char *path; /* on the node */
    const char *owner;
    mode_t mode;
    const char *unit;
    wanted_fn *wanted; /* NULL: always */
};

#define ROOT "root:root"

static const struct source store_sources[] = {
    {"system/sysctl-store.conf", "/etc/sysctl.d/60-chatmail.conf", ROOT, 0644, SYSCTL,
     NULL},
    {"system/journald.conf", "/etc/systemd/journald.conf.d/chatmail.conf", ROOT, 0644,
     JOURNALD, NULL},
    {"system/mailname", "/etc/mailname", ROOT, 0644, NULL, NULL},
    {"postgresql/chatmail.conf", PG_ETC "/conf.d/chatmail.conf", "postgres:postgres",
     0644, POSTGRESQL, NULL},
    {"postgresql/pg_hba.conf", PG_ETC "/pg_hba.conf", "postgres:postgres", 0640,
     POSTGRESQL, NULL},
    {"postgresql/pg_ident.conf", PG_ETC "/pg_ident.conf", "postgres:postgres", 0640,
     POSTGRESQL, NULL},
    {"systemd/postgresql.conf", DROPIN(POSTGRESQL), ROOT, 0644, POSTGRESQL, NULL},
    {"redis/redis.conf", "/etc/redis/redis.conf", "redis:redis", 0640, REDIS, NULL},
    {"systemd/redis.conf", DROPIN(REDIS), ROOT, 0644, REDIS, NULL},
    {"dovecot/dovecot.conf", "/etc/dovecot/dovecot.conf", ROOT, 0644, DOVECOT, NULL},
    {"dovecot/chatmail-auth.conf.ext", "/etc/dovecot/chatmail-auth.conf.ext", ROOT,
     0644, DOVECOT, NULL},
    {"dovecot/chatmail-failed.conf.ext", "/etc/dovecot/chatmail-failed.conf.ext", ROOT,
     0644, DOVECOT, NULL},
    {"systemd/dovecot.conf", DROPIN(DOVECOT), ROOT, 0644, DOVECOT, NULL},
    {"systemd/expire.conf", DROPIN("chatmail-expire.service"), ROOT, 0644, NULL, NULL},
    {"postfix/main.cf", "/etc/postfix/main.cf", ROOT, 0644, POSTFIX, NULL},
    {"postfix/master.cf", "/etc/postfix/master.cf", ROOT, 0644, POSTFIX, NULL},
    {"postfix/lmtp_header_checks", "/etc/postfix/lmtp_header_checks", ROOT, 0644,
     POSTFIX, NULL},
    {"postfix/submission_header_checks", "/etc/postfix/submission_header_checks", ROOT,
     0644, POSTFIX, NULL},
    {"postfix/smtp_header_checks", "/etc/postfix/smtp_header_checks", ROOT, 0644,
     POSTFIX, NULL},
    {"postfix/login_map", "/etc/postfix/login_map", ROOT, 0644, POSTFIX, NULL},
    {"postfix/tls_policy", "/etc/postfix/tls_policy", ROOT, 0644, POSTFIX, NULL},
    {"systemd/postfix.conf", DROPIN(POSTFIX), ROOT, 0644, POSTFIX, NULL},
    {"nginx/nginx.conf", "/etc/nginx/nginx.conf", ROOT, 0644, NGINX, NULL},
    {"systemd/nginx.conf", DROPIN(NGINX), ROOT, 0644, NGINX, NULL},
    {"systemd/tls-path.conf", DROPIN(TLS_PATH), ROOT, 0644, TLS_PATH, is_external},
    {"nginx/autoconfig.xml",
     "/var/www/html/.well-known/autoconfig/mail/config-v1.1.xml", ROOT, 0644, NULL,
     NULL},
    {"nginx/mta-sts.txt", "/var/www/html/.well-known/mta-sts.txt", ROOT, 0644, NULL,
     has_name},
    {NULL, NULL, NULL, 0, NULL, NULL},
};

static const struct source gateway_sources[] = {
    {"system/sysctl-gateway.conf", "/etc/sysctl.d/60-chatmail.conf", ROOT, 0644, SYSCTL,
     NULL},
    {"system/journald.conf", "/etc/systemd/journald.conf.d/chatmail.conf", ROOT, 0644,
     JOURNALD, NULL},
    {"gateway/gateway.conf", "/etc/chatmail/gateway.conf", ROOT, 0644, GATEWAY, NULL},
    {NULL, NULL, NULL, 0, NULL, NULL},
};

#define VARS_MAX 48

struct vars {
    struct cm_template_var items[VARS_MAX];
    char *owned[VARS_MAX]; /* the values; freed by vars_clear */
    bool used[VARS_MAX];
    size_t count;
};

static void vars_text(struct vars *vars, const char *name, const char *value)
{
    cm_assert(vars->count < VARS_MAX);
    char *copy = cm_strdup(value != NULL ? value : "");
    vars->owned[vars->count] = copy;
    vars->items[vars->count++] = (struct cm_template_var){name, copy};
}

static void vars_int(struct vars *vars, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    vars_text(vars, name, text);
}

static void vars_flag(struct vars *vars, const char *name, bool value)
{
    vars_text(vars, name, value ? "yes" : "no");
}

static void vars_clear(struct vars *vars)
{
    for (size_t i = 0; i < vars->count; i++)
        free(vars->owned[i]);
    vars->count = 0;
}

/* Paths and contacts go into the files of six daemons with six ways of quoting. Words
 * that would need quoting in any of them are refused instead. */
static int check_word(const char *key, const char *value, struct cm_err *err)
{
    size_t ok = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "0123456789@./_+-[]:");

    if (value[ok] == '\0')
        return 0;
    return cm_err_set(err, CM_ERR_WORLD,
                      "chatmail.ini: [params] %s: \"%s\" has a character that cannot "
                      "stand in configuration files; use letters, digits and @./_+-:",
                      key, value);
}

static int check_words(const struct cm_conf *conf, struct cm_err *err)
{
    if (check_word("mail_domain", conf->mail_domain, err) < 0 ||
        check_word("mailboxes_dir", conf->mailboxes_dir, err) < 0 ||
        check_word("tls_external_cert_and_key", conf->tls_cert, err) < 0 ||
        check_word("tls_external_cert_and_key", conf->tls_key, err) < 0)
        return -1;
    if (conf->privacy_mail != NULL)
        return check_word("privacy_mail", conf->privacy_mail, err);
    return 0;
}

static bool use_ipv6(const struct cm_conf *conf, const struct op_facts *facts)
{
    return facts->ipv6 && !conf->disable_ipv6;
}

static void common_vars(struct vars *vars, const struct cm_conf *conf,
                        const struct op_facts *facts)
{
    vars_flag(vars, "ipv6", use_ipv6(conf, facts));
    vars_flag(vars, "container", facts->container);
}

/* Logins that wait for chatmail-auth at a time: more than those that wait there for a
 * new account (CREATE_WAITING_MAX, 256), so that a flood of those leaves some for the
 * others. Dovecot starts one only when all are busy, and ends it after a minute of
 * silence. */
#define AUTH_WORKERS 288

/* Each imap process holds a connection to anvil and to stats, whose limit comes from
 * here; a full one stops every login. The rest is for the services with few processes.
 */
static int64_t dovecot_clients(const struct cm_conf *conf)
{
    return conf->max_imap_connections / 2 * 3 + 1000;
}

static void dovecot_vars(struct vars *vars, const struct cm_conf *conf)
{
    int64_t clients = dovecot_clients(conf);
    int64_t nofile = clients + 1000;

    vars_int(vars, "dovecot_clients", clients);
    vars_int(vars, "dovecot_nofile", nofile < 65535 ? 65535 : nofile);
    vars_int(vars, "auth_workers", AUTH_WORKERS);
    vars_int(vars, "max_imap_connections", conf->max_imap_connections);
    vars_int(vars, "max_mailbox_size_mib", conf->max_mailbox_size_mib);
    vars_int(vars, "quota_trim_mib", conf->max_mailbox_size_mib * 70 / 100);
    vars_text(vars, "mailboxes_dir", conf->mailboxes_dir);
    vars_text(vars, "privacy_mail", conf->privacy_mail);
    vars_flag(vars, "imap_compress", conf->imap_compress);
    vars_flag(vars, "imap_rawlog", conf->imap_rawlog);
}

static void postfix_vars(struct vars *vars, const struct cm_conf *conf,
                         const struct op_facts *facts)
{
    int64_t per_client = conf->max_smtp_connections / 5;

    vars_flag(vars, "chatmail_transport",
              conf->store.transport == CM_TRANSPORT_CHATMAIL);
    vars_text(vars, "myhostname", conf->myhostname);
    vars_text(vars, "inet_protocols", use_ipv6(conf, facts) ? "all" : "ipv4");
    vars_int(vars, "smtpd_maxproc", conf->max_smtp_connections);
    vars_int(vars, "mxdeliv_port", conf->postfix_reinject_port_incoming);
    /* 0 would mean no limit. */
    vars_int(vars, "smtpd_per_client", per_client > 0 ? per_client : 1);
}

static void store_vars(struct vars *vars, const struct cm_conf *conf,
                       const struct op_facts *facts)
{
    common_vars(vars, conf, facts);
    dovecot_vars(vars, conf);
    postfix_vars(vars, conf, facts);
    vars_text(vars, "domain", conf->domain);
    vars_text(vars, "mail_domain", conf->mail_domain);
    vars_int(vars, "max_message_size", conf->max_message_size);
    vars_text(vars, "tls_cert", conf->tls_use_cert);
    vars_text(vars, "tls_key", conf->tls_use_key);
    vars_flag(vars, "is_ip", conf->is_ip);
    vars_flag(vars, "acme", is_acme(conf));
    if (is_external(conf)) {
        vars_text(vars, "tls_source_cert", conf->tls_cert);
        vars_text(vars, "tls_source_key", conf->tls_key);
    }
    vars_flag(vars, "turn", conf->store.turn);
    vars_int(vars, "turn_port_min", conf->store.turn_port_min);
    vars_int(vars, "turn_port_max", conf->store.turn_port_max);
}

static void gateway_vars(struct vars *vars, const struct cm_conf *conf,
                         const struct cm_conf_gateway *gateway,
                         const struct op_facts *facts)
{
    common_vars(vars, conf, facts);
    vars_text(vars, "name", gateway->name);
    vars_int(vars, "number", gateway->number);
    vars_int(vars, "wg_port", gateway->wg_port);
    vars_int(vars, "bus_port", conf->store.bus_port);
    vars_text(vars, "cluster_key", facts->cluster_key);
    vars_text(vars, "store_wg_key", facts->store_wg_key);
}

static const char *embedded(const char *name)
{
    for (const struct op_embedded *e = op_embedded; e->name != NULL; e++) {
        if (strcmp(e->name, name) == 0)
            return e->data;
    }
    return NULL;
}

static int render_one(const struct source *source, struct vars *vars,
                      struct op_file *file_r, struct cm_err *err)
{
    const char *text = embedded(source->name);
    char *content;

    cm_assert(text != NULL);
    if (cm_template_render_used(source->name, text, vars->items, vars->count,
                                vars->used, &content, err) < 0)
        return -1;
    *file_r = (struct op_file){
        .path = cm_strdup(source->path),
        .content = content,
        .len = strlen(content),
        .owner = source->owner,
        .mode = source->mode,
        .unit = source->unit,
    };
    return 0;
}

static int render_all(const struct source *sources, const struct cm_conf *conf,
                      struct vars *vars, struct op_files *files_r, struct cm_err *err)
{
    struct op_files files = {0};
    size_t max = 0;

    while (sources[max].name != NULL)
        max++;
    files.items = cm_calloc(max, sizeof(*files.items));
    for (const struct source *s = sources; s->name != NULL; s++) {
        if (s->wanted != NULL && !s->wanted(conf))
            continue;
        if (render_one(s, vars, &files.items[files.count], err) < 0) {
            op_files_clear(&files);
            return -1;
        }
        files.count++;
    }
    if (cm_template_unused(vars->items, vars->count, vars->used, err) < 0) {
        op_files_clear(&files);
        return -1;
    }
    *files_r = files;
    return 0;
}

static int proxied_vars(struct vars *vars, const struct cm_conf *conf,
                        const struct op_facts *facts, struct cm_err *err)
{
    struct op_proxied p;

    if (op_proxied_make(conf, embedded("postfix/proxied.cf"), use_ipv6(conf, facts), &p,
                        err) < 0)
        return -1;
    vars_text(vars, "proxied_smtp", p.smtp);
    vars_text(vars, "proxied_near", p.near);
    vars_text(vars, "proxied_far", p.far);
    vars_text(vars, "proxied_443", p.https);
    vars_text(vars, "proxied_80", p.http);
    vars_text(vars, "proxied_from", p.from);
    op_proxied_clear(&p);
    return 0;
}

int op_stack_store(const struct cm_conf *conf, const struct op_facts *facts,
                   struct op_files *files_r, struct cm_err *err)
{
    struct vars vars = {0};

    if (check_words(conf, err) < 0 || proxied_vars(&vars, conf, facts, err) < 0)
        return -1;
    store_vars(&vars, conf, facts);
    int ret = render_all(store_sources, conf, &vars, files_r, err);
    vars_clear(&vars);
    if (ret == 0) {
        ret = op_turn_files(conf, embedded("turn/turnserver.conf"),
                            use_ipv6(conf, facts), files_r, err);
        if (ret != 0)
            op_files_clear(files_r);
    }
    return ret;
}

int op_stack_gateway(const struct cm_conf *conf, const struct cm_conf_gateway *gateway,
                     const struct op_facts *facts, struct op_files *files_r,
                     struct cm_err *err)
{
    struct vars vars = {0};

    if (facts->cluster_key[0] == '\0' || facts->store_wg_key[0] == '\0')
        return cm_err_set(err, CM_ERR_WORLD,
                          "gateway %s: the store's public keys are not known yet; the "
                          "store has to be installed first",
                          gateway->name);
    gateway_vars(&vars, conf, gateway, facts);
    int ret = render_all(gateway_sources, conf, &vars, files_r, err);
    vars_clear(&vars);
    return ret;
}

void op_files_clear(struct op_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].path);
        free(files->items[i].content);
    }
    free(files->items);
    *files = (struct op_files){0};
}
