/* chatmail-web over the real gateways: accounts, their limits, mail over HTTPS,
 * figures.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "mailbox.h"
#include "probe/http.h"
#include "probe/mail.h"

#define STEP_MS  20000
#define KNOCK_MS 2500
#define FIND_MS  60000
#define INI      "/etc/chatmail/chatmail.ini"
#define SAVED    INI ".scenario"
#define LARGEST  31457280
#define LARGE    (29u << 20)
#define REPORT_S 150 /* after the start of chatmail-fsreport.timer, and generous */

/* What a client might say to be taken for another. */
#define LIES "X-Real-IP: 203.0.113.99\r\nX-Portico-Local: 10.77.9.2\r\n"

static const struct entry {
    const char *node;
    int family;
} entries[] = {
    {"edge1", AF_INET}, {"edge1", AF_INET6}, {"edge2", AF_INET}, {"edge2", AF_INET6}};

static int ask(struct stage *stage, const struct entry *e,
               const struct http_request *request, struct http_answer *answer_r,
               struct cm_err *err)
{
    struct door door = door_at(e->node, e->family, 443, false);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    struct http_request r = *request;
    r.host = SCENE_DOMAIN;
    if (http_ask(&to, false, &r, answer_r, err) == 0) {
        return 0;
    }
    return cm_err_prefix(err, "%s v%d %s %s", e->node, e->family == AF_INET ? 4 : 6,
                         r.method, r.target);
}

/* The answer's status must be that; its body is the caller's to free when body_r is not
 * NULL. */
static int must_say(struct stage *stage, const struct entry *e,
                    const struct http_request *request, int status, char **body_r,
                    struct cm_err *err)
{
    struct http_answer a;
    if (ask(stage, e, request, &a, err) != 0) {
        return -1;
    }
    int rc = 0;
    if (a.status != status) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%s v%d %s %s: %d '%.200s', not %d",
                        e->node, e->family == AF_INET ? 4 : 6, request->method,
                        request->target, a.status, a.body, status);
    } else if (body_r != NULL) {
        *body_r = a.body;
        a.body = NULL;
    }
    http_answer_clear(&a);
    return rc;
}

/* ---- accounts ---- */

static int read_account(const char *body, struct scene_account *account_r,
                        struct cm_err *err)
{
    json_t *root = json_loads(body, 0, NULL);
    const char *email = json_string_value(json_object_get(root, "email"));
    const char *password = json_string_value(json_object_get(root, "password"));
    const char *url = json_string_value(json_object_get(root, "dclogin_url"));
    int rc = 0;
    if (email == NULL || password == NULL || url == NULL ||
        strncmp(url, "dclogin:", 8) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "not an account: %.300s", body);
    } else {
        snprintf(account_r->addr, sizeof account_r->addr, "%s", email);
        snprintf(account_r->password, sizeof account_r->password, "%s", password);
    }
    json_decref(root);
    return rc;
}

/* The lab's certificates are self-signed, so GET is answered like POST. */
static int get_account(struct stage *stage, const struct entry *e, const char *method,
                       const char *target, struct cm_err *err)
{
    struct http_request r = {.method = method, .target = target, .fields = LIES};
    struct scene_account account;
    struct door door = door_at(e->node, e->family, 993, true);
    char *body = NULL;
    r.body = strcmp(method, "POST") == 0 ? "" : NULL;
    int rc = must_say(stage, e, &r, 200, &body, err) != 0 ||
                     read_account(body, &account, err) != 0 ||
                     door_must_let_in(stage, &door, &account, err) != 0
                 ? -1
                 : 0;
    free(body);
    return rc;
}

static int accounts(struct stage *stage, struct cm_err *err)
{
    for (size_t i = 0; i < 4; i++) {
        if (get_account(stage, &entries[i], "POST", "/new", err) != 0) {
            return -1;
        }
    }
    struct http_request put = {.method = "PUT", .target = "/new", .body = ""};
    return get_account(stage, &entries[0], "GET", "/new", err) != 0 ||
                   get_account(stage, &entries[3], "POST", "/cgi-bin/newemail.py",
                               err) != 0 ||
                   must_say(stage, &entries[0], &put, 405, NULL, err) != 0
               ? -1
               : 0;
}

/* ---- limits ---- */

/* New lines below [store]; the counts so far are forgotten. */
static int set_limits(struct stage *stage, const char *lines, struct cm_err *err)
{
    return scene_sh(
        &stage->scene, "store", 0, NULL, err,
        "test -e " SAVED " || cp -p " INI " " SAVED "; "
        "sed '/^creations_per_/d; /^registrations/d; "
        "s/^\\[store\\].*/[store]\\n%s/' " SAVED " >" INI ".new && "
        "cat " INI ".new >" INI " && grep -q '^%.12s' " INI " && "
        "redis-cli -s /run/redis/redis-server.sock --raw eval \"for _, k in "
        "ipairs(redis.call('keys', 'netlimit:new:*')) do "
        "redis.call('del', k) end\" 0 >/dev/null && "
        "systemctl reload chatmail-web",
        lines, lines);
}

int scenario_web_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "! test -e " SAVED " || { cat " SAVED " >" INI " && rm -f " SAVED
                    " " INI ".new && systemctl reload chatmail-web; }");
}

static int refused(struct stage *stage, const struct entry *e, int status,
                   const char *words, struct cm_err *err)
{
    struct http_request r = {
        .method = "POST", .target = "/new", .fields = LIES, .body = ""};
    char *body = NULL;
    if (must_say(stage, e, &r, status, &body, err) != 0) {
        return -1;
    }
    json_t *root = json_loads(body, 0, NULL);
    const char *reason = json_string_value(json_object_get(root, "reason"));
    int rc = reason != NULL && strstr(reason, words) != NULL
                 ? 0
                 : cm_err_set(err, CM_ERR_REFUSE, "%s: '%.200s', not '%s'", e->node,
                              body, words);
    json_decref(root);
    free(body);
    return rc;
}

/* Two from one network, three through one gateway. The client's v4 and v6 addresses are
 * two networks; both families of a gateway are one gateway. */
static int limits(struct stage *stage, struct cm_err *err)
{
    const struct entry *one4 = &entries[0], *one6 = &entries[1], *two4 = &entries[2],
                       *two6 = &entries[3];
    if (set_limits(stage, "creations_per_net = 2\\ncreations_per_gateway = 3", err) !=
            0 ||
        get_account(stage, one4, "POST", "/new", err) != 0 ||
        get_account(stage, one4, "POST", "/new", err) != 0 ||
        refused(stage, one4, 429, "your network", err) != 0 ||
        refused(stage, two4, 429, "your network", err) != 0 ||
        get_account(stage, one6, "POST", "/new", err) != 0 ||
        refused(stage, one6, 429, "this server", err) != 0 ||
        get_account(stage, two6, "POST", "/new", err) != 0 ||
        refused(stage, two6, 429, "your network", err) != 0) {
        return cm_err_prefix(err, "limits");
    }
    if (set_limits(stage, "registrations = closed", err) != 0 ||
        refused(stage, one4, 403, "does not take new accounts", err) != 0 ||
        set_limits(stage, "registrations = invite", err) != 0 ||
        refused(stage, one6, 403, "by invitation only", err) != 0) {
        return cm_err_prefix(err, "registrations");
    }
    return scenario_web_back(stage, err);
}

/* ---- mail over HTTPS ---- */

/* A letter with an encrypted part of about that size: one PKESK and one SEIPD packet of
 * nonsense. Its sender has a literal domain, which no DKIM key can stand for. */
static char *large_letter(const char *from, const char *to, const char *id, size_t size)
{
    static const unsigned char head[] = {0xc1, 13, 3, 0, 0,    0,    0,    0,   0,
                                         0,    0,  1, 0, 0x08, 0xff, 0xd2, 0xff};
    size_t bytes = size / 78 * 57 / 57 * 57;
    unsigned char *raw = cm_malloc(bytes);
    uint32_t seipd = (uint32_t)(bytes - sizeof head - 4);
    memset(raw, 0x5a, bytes);
    memcpy(raw, head, sizeof head);
    for (int i = 0; i < 4; i++) {
        raw[sizeof head + (size_t)i] = (unsigned char)(seipd >> (24 - 8 * i));
    }
    raw[sizeof head + 4] = 1;
    char *small = mail_text(from, to, id);
    char *at = strstr(small, "wQ0D"), *end = strstr(small, "-----END");
    cm_assert(at != NULL && end != NULL);
    struct cm_buf out;
    cm_buf_init(&out, 2 * size + 65536);
    cm_buf_add(&out, small, (size_t)(at - small));
    for (size_t i = 0; i < bytes; i += 57) {
        unsigned char line[80];
        int n = EVP_EncodeBlock(line, raw + i, 57);
        cm_buf_add(&out, line, (size_t)n);
        cm_buf_str(&out, "\r\n");
    }
    cm_buf_str(&out, end);
    free(raw);
    free(small);
    return cm_buf_steal(&out);
}

#define SENDER "alice@[198.51.100.77]"

static int mxdeliv(struct stage *stage, const struct entry *e, const char *to,
                   const char *text, int status, const char *answer, struct cm_err *err)
{
    char *fields = cm_asprintf("X-MAIL-FROM: " SENDER "\r\nX-MAIL-TO: %s\r\n", to);
    struct http_request r = {
        .method = "POST", .target = "/mxdeliv", .fields = fields, .body = text};
    char *body = NULL;
    int rc = must_say(stage, e, &r, status, &body, err);
    if (rc == 0 && strncmp(body, answer, strlen(answer)) != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "/mxdeliv to %s: '%.200s', not '%s'", to,
                        body, answer);
    }
    free(body);
    free(fields);
    return rc;
}

static int one_letter(struct stage *stage, const struct entry *e, const char *to,
                      size_t size, struct ledger *ledger, struct cm_err *err)
{
    char name[13], id[64];
    mail_random(name, sizeof name);
    snprintf(id, sizeof id, "%s@198.51.100.77", name);
    char *text =
        size == 0 ? mail_text(SENDER, to, id) : large_letter(SENDER, to, id, size);
    int64_t start = cm_now_mono_ms();
    int rc = mxdeliv(stage, e, to, text, 200, "250 OK", err);
    if (rc == 0) {
        ledger_add(ledger, id, LEDGER_ACCEPTED);
        stage_note(stage, "%zu bytes over HTTPS in %lld ms", strlen(text),
                   (long long)(cm_now_mono_ms() - start));
    }
    free(text);
    return rc;
}

static int refusals(struct stage *stage, const char *to, struct cm_err *err)
{
    const struct entry *e = &entries[1];
    struct http_request get = {.method = "GET", .target = "/mxdeliv"};
    struct http_request nobody = {
        .method = "POST", .target = "/mxdeliv/", .body = "A: b\r\n"};
    char *body = NULL, *text = mail_text(SENDER, to, "x@198.51.100.77");
    char *huge = cm_malloc(LARGEST + 2);
    memset(huge, 'x', LARGEST + 1);
    huge[LARGEST + 1] = '\0';
    char *smuggled = cm_asprintf("%s.\r\nMAIL FROM:<" SENDER ">\r\n", text);
    int rc =
        mxdeliv(stage, e, "someone@elsewhere.example", text, 400, "554 5.7.1", err) !=
                    0 ||
                mxdeliv(stage, e, "no address", text, 400, "553 Invalid email", err) !=
                    0 ||
                mxdeliv(stage, e, to, smuggled, 400, "500 Invalid DATA", err) != 0 ||
                mxdeliv(stage, e, to, huge, 413, "552 Message exceeds maximum size",
                        err) != 0 ||
                must_say(stage, e, &nobody, 200, NULL, err) != 0 ||
                must_say(stage, e, &get, 405, &body, err) != 0
            ? -1
            : 0;
    if (rc == 0 && strcmp(body, "Method Not Allowed") != 0) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "405: '%.200s'", body);
    }
    free(body);
    free(text);
    free(huge);
    free(smuggled);
    return rc;
}

static int over_https(struct stage *stage, struct cm_err *err)
{
    struct scene_account account;
    struct ledger ledger;
    if (account_make(stage, &account, SCENE_DOMAIN, err) != 0) {
        return -1;
    }
    char shouted[sizeof account.addr];
    snprintf(shouted, sizeof shouted, "%s", account.addr);
    shouted[0] =
        (char)(shouted[0] >= 'a' && shouted[0] <= 'z' ? shouted[0] - 32 : shouted[0]);
    struct door door = door_at("edge2", AF_INET, 993, true);
    ledger_init(&ledger);
    int rc = one_letter(stage, &entries[0], account.addr, 0, &ledger, err) != 0 ||
                     one_letter(stage, &entries[3], shouted, 0, &ledger, err) != 0 ||
                     one_letter(stage, &entries[2], account.addr, LARGE, &ledger,
                                err) != 0 ||
                     refusals(stage, account.addr, err) != 0 ||
                     mailbox_even(stage, &door, &account, &ledger, FIND_MS, err) != 0
                 ? -1
                 : 0;
    ledger_clear(&ledger);
    return rc;
}

/* ---- figures ---- */

/* Each family once, and what must be among them. */
static int judge_page(const char *page, struct cm_err *err)
{
    static const char *const wanted[] = {
        "\nchatmail_up{program=\"chatmail-auth\"} 1\n",
        "\nchatmail_up{program=\"chatmail-cluster\"} 1\n",
        "\nchatmail_up{program=\"chatmail-filter-in\"} 1\n",
        "\nchatmail_up{program=\"chatmail-filter-out\"} 1\n",
        "\nchatmail_up{program=\"chatmail-lastlogin\"} 1\n",
        "\nchatmail_up{program=\"chatmail-metadata\"} 1\n",
        "\nchatmail_up{program=\"chatmail-push\"} 1\n",
        "\nchatmail_up{program=\"chatmail-transport\"} 1\n",
        "\nchatmail_up{program=\"chatmail-turn@1\"} 1\n",
        "\nchatmail_up{program=\"chatmail-turn@2\"} 1\n",
        "\nchatmail_up{program=\"chatmail-web\"} 1\n",
        "\nchatmail_accounts{kind=\"all\"} ",
        "\nchatmail_accounts_active{days=\"1\"} ",
        "\nchatmail_accounts_active{days=\"30\"} ",
        "\nchatmail_storage_bytes{kind=\"total\"} ",
        "\nchatmail_messages_bytes{min_size=\"",
        "\nchatmail_messages_age_count{min_days=\"",
        "\nchatmail_push_queue_length ",
        "\nchatmail_push_oldest_age_seconds ",
        "\nchatmail_push_seconds_since_last_success ",
        "\nchatmail_queue_up 1\n",
        "\nchatmail_queue_messages{state=\"deferred\"} ",
        "\nchatmail_web_rejected_registrations_total{reason=\"net\"} ",
        "\nchatmail_auth_rejected_total{reason=\"",
        "\nchatmail_web_answers_total{route=\"mxdeliv\",code=\"200\"} ",
        "chatmail_process_resident_bytes{program=\"chatmail-web\"} "};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strstr(page, wanted[i]) == NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "/metrics has no '%s': %.400s",
                              wanted[i], page);
        }
    }
    for (const char *p = page; (p = strstr(p, "# TYPE ")) != NULL; p++) {
        size_t n = strcspn(p + 7, " ") + 8;
        for (const char *q = p + 1; (q = strstr(q, "# TYPE ")) != NULL; q++) {
            if (strncmp(p, q, n) == 0) {
                return cm_err_set(err, CM_ERR_REFUSE, "/metrics: %.*s twice", (int)n,
                                  p);
            }
        }
    }
    return 0;
}

static const struct look {
    const char *node; /* who asks */
    const char *host; /* NULL: the first public address of edge1 */
    bool opens;
} looks[] = {
    {"store", "127.0.0.1", true},  {"store", "::1", true},
    {"edge1", "10.77.1.2", true},  {"edge2", "fd77:2::2", true},
    {"edge2", "10.77.1.2", false}, {"client", NULL, false},
    {"relay2", NULL, false},       {"operator", SCENE_STORE_LAN, false},
};

static int look_at(struct stage *stage, const struct look *look, struct cm_err *err)
{
    char netns[64];
    struct cm_err why = {.text = ""};
    struct http_answer a;
    if (scene_netns(&stage->scene, look->node, netns, err) != 0) {
        return -1;
    }
    const char *host = look->host != NULL ? look->host : lab_address("edge1", AF_INET);
    struct wire_to to = {.netns = netns,
                         .host = host,
                         .port = 3903,
                         .timeout_ms = look->opens ? STEP_MS : KNOCK_MS};
    struct http_request r = {.method = "GET", .target = "/metrics", .host = "store"};
    bool opened = http_ask(&to, true, &r, &a, &why) == 0;
    int rc = 0;
    if (opened != look->opens) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "/metrics at %s from %s: %s%s", host,
                        look->node, opened ? "answered" : "", why.text);
    } else if (opened) {
        rc = judge_page(a.body, err);
    }
    if (opened) {
        http_answer_clear(&a);
    }
    return rc;
}

static int figures(struct stage *stage, struct cm_err *err)
{
    if (scene_until(&stage->scene, "store", REPORT_S, err,
                    "test -e /var/lib/chatmail-fsreport/fsreport.prom") != 0) {
        return cm_err_prefix(err, "no report of storage and accounts");
    }
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        if (look_at(stage, &looks[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- files ---- */

static int files(struct stage *stage, struct cm_err *err)
{
    static const struct {
        const char *target, *words;
    } cases[] = {
        {"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a@b",
         "<emailProvider id=\"" SCENE_DOMAIN "\">"},
        {"/mail/config-v1.1.xml", "<emailProvider id=\"" SCENE_DOMAIN "\">"},
        {"/.well-known/mta-sts.txt",
         "version: STSv1\nmode: enforce\nmx: " SCENE_DOMAIN "\nmax_age: 2419200\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request r = {.method = "GET", .target = cases[i].target};
        char *body = NULL;
        int rc = must_say(stage, &entries[i], &r, 200, &body, err);
        if (rc == 0 && strstr(body, cases[i].words) == NULL) {
            rc = cm_err_set(err, CM_ERR_REFUSE, "%s: %.200s", cases[i].target, body);
        }
        free(body);
        if (rc != 0) {
            return -1;
        }
    }
    return 0;
}

int scenario_web(struct stage *stage, struct cm_err *err)
{
    return accounts(stage, err) != 0 || limits(stage, err) != 0 ||
                   files(stage, err) != 0 || over_https(stage, err) != 0 ||
                   figures(stage, err) != 0
               ? -1
               : 0;
}
