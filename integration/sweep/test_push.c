/* The plugin chatmail_push in a real Dovecot's lmtp, with a bell of the test's own; and
 * the Lua script that stands in for it, with a dict of the test's own. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/doorbell.h"
#include "common/run.h"
#include "dovecot.h"

#define WAIT_MS  10000
#define QUOTA_KB 100

static const char *root;
static char dir[64], bell_path[96], spool[96], dict_path[96];
static struct dovecot dovecot;

/* ---- the bell ---- */

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener;
    bool silent;
    bool dict; /* heard and answered as a dict server */
    char heard[4096];
} bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .listener = -1};

static void note(const char *line)
{
    pthread_mutex_lock(&bell.lock);
    size_t have = strlen(bell.heard),
           more = strnlen(line, sizeof(bell.heard) - have - 1);
    memcpy(bell.heard + have, line, more);
    bell.heard[have + more] = '\0';
    pthread_mutex_unlock(&bell.lock);
}

/* A line of Dovecot's dict protocol: the sets, with their user, are what is noted. */
static void serve_dict(int fd, const char *line, char user[256])
{
    char text[600];
    const char *tab = strchr(line, '\t');

    if (line[0] == 'B' && tab != NULL) {
        snprintf(user, 256, "%.255s", tab + 1);
        user[strcspn(user, "\t\n")] = '\0';
    } else if (line[0] == 'S' && strstr(line, "/messagenew") != NULL) {
        snprintf(text, sizeof(text), "%s\n", user);
        note(text);
    } else if (line[0] == 'L' || line[0] == 'I') {
        dprintf(fd, line[0] == 'L' ? "N\n" : "\n");
    } else if (line[0] == 'C') {
        dprintf(fd, "O%.*s\n", (int)strspn(line + 1, "0123456789"), line + 1);
    }
}

static void serve_one(int fd)
{
    char line[4096], user[256] = "";
    FILE *in = fdopen(fd, "r");

    while (fgets(line, sizeof(line), in) != NULL) {
        if (bell.dict) {
            serve_dict(fd, line, user);
            continue;
        }
        note(line);
        if (!bell.silent)
            (void)send(fd, "+\n", 2, MSG_NOSIGNAL);
    }
    fclose(in);
}

static void *serve(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(bell.listener, NULL, NULL)) >= 0)
        serve_one(fd);
    return NULL;
}

static void bell_start(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    bell.heard[0] = '\0';
    bell.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bell.listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(chown(path, 0, getgrnam("games")->gr_gid), 0);
    assert_int_equal(chmod(path, 0660), 0);
    assert_int_equal(listen(bell.listener, 64), 0);
    assert_int_equal(pthread_create(&bell.thread, NULL, serve, NULL), 0);
}

static void bell_stop(void)
{
    struct sockaddr_un sun;
    socklen_t len = sizeof(sun);

    if (bell.listener < 0)
        return;
    getsockname(bell.listener, (struct sockaddr *)&sun, &len);
    shutdown(bell.listener, SHUT_RDWR);
    pthread_join(bell.thread, NULL);
    close(bell.listener);
    unlink(sun.sun_path);
    bell.listener = -1;
    bell.silent = bell.dict = false;
}

/* What was heard since the last look. The bell rings before LMTP answers, so nothing
 * comes later. */
static void assert_heard(const char *lines)
{
    char heard[sizeof(bell.heard)];

    pthread_mutex_lock(&bell.lock);
    memcpy(heard, bell.heard, sizeof(heard));
    bell.heard[0] = '\0';
    pthread_mutex_unlock(&bell.lock);
    assert_string_equal(heard, lines);
}

/* The files left, in order of their names, each with LF; they are removed. */
static void assert_left(const char *lines)
{
    struct dirent **names;
    char left[2048] = "", path[512];
    int n = scandir(spool, &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.') {
            strncat(left, names[i]->d_name, sizeof(left) - strlen(left) - 2);
            strcat(left, "\n");
            snprintf(path, sizeof(path), "%s/%s", spool, names[i]->d_name);
            unlink(path);
        }
        free(names[i]);
    }
    free(names);
    assert_string_equal(left, lines);
}

/* ---- mail ---- */

static const char *last_line(struct wire *wire)
{
    static char line[WIRE_LINE];
    struct cm_err err;

    do {
        int rc = wire_line(wire, line, &err);
        if (rc != 1)
            fail_msg("LMTP: %s", rc == 0 ? "closed" : err.text);
    } while (line[0] != '\0' && line[3] == '-');
    return line;
}

static void say(struct wire *wire, const char *text, const char *code)
{
    struct cm_err err;

    if (wire_write(wire, text, &err) != 0)
        fail_msg("LMTP: %s", err.text);
    const char *line = last_line(wire);
    if (strncmp(line, code, strlen(code)) != 0)
        fail_msg("LMTP: %s, not %s", line, code);
}

static struct wire *lmtp(void)
{
    struct wire_to to = {.host = "127.0.0.1", .port = dovecot.lmtp_port};
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);

    assert_non_null(wire);
    say(wire, "", "220");
    say(wire, "LHLO test\r\n", "250");
    return wire;
}

/* One message with this head to all of them; each is answered with `code`. */
static void send_mail(struct wire *wire, const char *head, const char *const *to,
                      size_t body, const char *code)
{
    size_t count = 0, size = strlen(head) + body + 64;
    char line[300], *text = calloc(1, size);

    say(wire, "MAIL FROM:<bounce@example.org>\r\n", "250");
    for (; to[count] != NULL; count++) {
        snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", to[count]);
        say(wire, line, "250");
    }
    say(wire, "DATA\r\n", "354");
    snprintf(text, size, "%sSubject: x\r\n\r\n", head);
    for (size_t i = 0; i + 64 <= body; i += 64)
        strcat(text,
               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    strcat(text, "x\r\n.\r\n");
    say(wire, text, code);
    for (size_t i = 1; i < count; i++)
        say(wire, "", code);
    free(text);
}

static void deliver(const char *head, const char *to)
{
    struct wire *wire = lmtp();

    send_mail(wire, head, (const char *[]){to, NULL}, 0, "250");
    wire_close(&wire);
}

#define OTHER "From: other@example.org\r\n"

/* ---- tests ---- */

static void test_rings_once(void **state)
{
    (void)state;
    bell_start(bell_path);
    deliver(OTHER, "someone@chat.example");
    assert_heard("someone@chat.example\n");
    deliver(OTHER, "SomeOne+detail@Chat.Example"); /* the name of the login */
    assert_heard("someone@chat.example\n");
    assert_left("");
}

static void test_self_sent_is_silent(void **state)
{
    (void)state;
    static const char *const own[] = {
        "From: self@chat.example\r\n",
        "From: <Self@Chat.EXAMPLE>\r\n",
        "From: \"Someone, <x@y>\" <self@chat.example>\r\n",
        "From: =?utf-8?q?S=C3=A9lf?= <self@chat.example>\r\n",
        "From:\r\n self@chat.example (me)\r\n",
        "From: self@chat.example, other@example.org\r\n"};
    static const char *const others[] = {
        "",
        "From:\r\n",
        "From: self\r\n",
        "From: other@example.org\r\n",
        "From: \"self@chat.example\" <other@example.org>\r\n",
        "From: undisclosed:;\r\n",
        "From: xself@chat.example\r\n",
        "From: self@chat.example.org\r\nReply-To: self@chat.example\r\n",
        "From: other@example.org, self@chat.example\r\n",
        "Sender: self@chat.example\r\n"};
    bell_start(bell_path);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        deliver(own[i], "self@chat.example");
        assert_heard("");
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        deliver(others[i], "self@chat.example");
        assert_heard("self@chat.example\n");
    }
    assert_left("");
}

static void test_each_recipient(void **state)
{
    (void)state;
    static const char *const to[] = {"one@chat.example", "two@chat.example",
                                     "three@chat.example", NULL};
    bell_start(bell_path);
    struct wire *wire = lmtp();
    send_mail(wire, "From: Two <two@chat.example>\r\n", to, 0, "250");
    assert_heard("one@chat.example\nthree@chat.example\n");
    send_mail(wire, OTHER, to, 0, "250"); /* the same connection goes on */
    assert_heard("one@chat.example\ntwo@chat.example\nthree@chat.example\n");
    wire_close(&wire);
    assert_left("");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    deliver(OTHER, "away@chat.example");
    deliver(OTHER, "away@chat.example");
    assert_left("away@chat.example\n");
    assert_int_equal(chmod(spool, 0700), 0); /* not even that: still delivered */
    deliver(OTHER, "away@chat.example");
    assert_int_equal(chmod(spool, 0730), 0);
    assert_left("");
    assert_true(dovecot_log_count(&dovecot, "chatmail_push: not told, and no file") >
                0);
}

/* Push does not answer: one wait, not one per recipient. */
static void test_silent_push(void **state)
{
    (void)state;
    static const char *const to[] = {"s1@x.org", "s2@x.org", "s3@x.org",
                                     "s4@x.org", "s5@x.org", "s6@x.org",
                                     "s7@x.org", "s8@x.org", NULL};
    bell.silent = true;
    bell_start(bell_path);
    struct wire *wire = lmtp();
    send_mail(wire, OTHER, to, 0, "250");
    assert_left("s1@x.org\ns2@x.org\ns3@x.org\ns4@x.org\ns5@x.org\ns6@x.org\n"
                "s7@x.org\ns8@x.org\n");
    assert_heard("s1@x.org\n");
    wire_close(&wire);
}

static void test_refused_is_silent(void **state)
{
    (void)state;
    bell_start(bell_path);
    struct wire *wire = lmtp();
    send_mail(wire, OTHER, (const char *[]){"full@chat.example", NULL},
              (size_t)QUOTA_KB * 2048, "552");
    assert_heard("");
    send_mail(wire, OTHER, (const char *[]){"full@chat.example", NULL}, 0, "250");
    assert_heard("full@chat.example\n");
    wire_close(&wire);
    assert_left("");
}

static void imap(struct wire *wire, const char *command, const char *until)
{
    char line[WIRE_LINE];
    struct cm_err err;

    if (wire_write(wire, command, &err) != 0)
        fail_msg("IMAP: %s", err.text);
    do {
        int rc = wire_line(wire, line, &err);
        if (rc != 1)
            fail_msg("IMAP: %s after %s", rc == 0 ? "closed" : err.text, command);
    } while (strncmp(line, until, strlen(until)) != 0);
}

static void test_imap_is_silent(void **state)
{
    (void)state;
    struct wire_to to = {.host = "127.0.0.1", .port = dovecot.imap_port};
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);
    assert_non_null(wire);
    bell_start(bell_path);
    imap(wire, "", "* OK");
    imap(wire, "1 LOGIN imap@chat.example " DOVECOT_PASSWORD "\r\n", "1 OK");
    imap(wire, "2 APPEND INBOX {30}\r\n", "+");
    imap(wire, "From: other@example.org\r\n\r\nx\r\n\r\n", "2 OK");
    imap(wire, "3 SELECT INBOX\r\n", "3 OK");
    imap(wire, "4 COPY 1 INBOX\r\n", "4 OK");
    wire_close(&wire);
    assert_heard("");
    assert_left("");
}

#define COPY                                                                           \
    OTHER "Message-ID: <1@example.org>\r\nDate: Fri, 27 Nov 2026 10:00:00 +0000\r\n"   \
          "Content-Type: multipart/encrypted; boundary=b1\r\n"

static void has(const char *user, const char *exists)
{
    struct wire_to to = {.host = "127.0.0.1", .port = dovecot.imap_port};
    struct cm_err err;
    struct wire *wire = wire_open(&to, &err);
    char line[200];
    assert_non_null(wire);
    snprintf(line, sizeof(line), "1 LOGIN %s " DOVECOT_PASSWORD "\r\n", user);
    imap(wire, "", "* OK");
    imap(wire, line, "1 OK");
    snprintf(line, sizeof(line), "* %s EXISTS", exists);
    imap(wire, "2 SELECT INBOX\r\n", line);
    wire_close(&wire);
}

/* The same message again, whoever brings it, is taken and not saved; nobody rings. */
static void test_second_copy(void **state)
{
    (void)state;
    static const char *const both[] = {"c1@x.org", "c2@x.org", NULL};
    bell_start(bell_path);
    deliver(COPY, "c1@x.org");
    assert_heard("c1@x.org\n");
    deliver("Received: from elsewhere\r\n" COPY, "c1@x.org");
    deliver(COPY, "C1+detail@x.org");
    assert_heard("");
    struct wire *wire = lmtp();
    send_mail(wire, COPY, both, 0, "250"); /* the other one has not got it yet */
    wire_close(&wire);
    assert_heard("c2@x.org\n");
    has("c1@x.org", "1");
    has("c2@x.org", "1");
    deliver("Message-ID: <2@example.org>\r\n" OTHER, "c1@x.org");
    deliver("Message-ID: <2@example.org>\r\nFrom: third@example.org\r\n", "c1@x.org");
    deliver(OTHER, "c1@x.org"); /* no Message-ID: nothing says that it is the same */
    deliver(OTHER, "c1@x.org");
    has("c1@x.org", "5");
    assert_int_equal(dovecot_log_count(&dovecot, "a second copy, not saved again"), 3);
}

/* What did not fit the first time is no second copy when there is room. */
static void test_refused_comes_again(void **state)
{
    (void)state;
    bell_start(bell_path);
    struct wire *wire = lmtp();
    const char *const to[] = {"full2@chat.example", NULL};
    send_mail(wire, COPY, to, (size_t)QUOTA_KB * 2048, "552");
    send_mail(wire, COPY, to, 0, "250");
    wire_close(&wire);
    assert_heard("full2@chat.example\n");
    has("full2@chat.example", "1");
}

/* ---- Lua in place of the plugin ---- */

static void test_lua_sets_messagenew(void **state)
{
    (void)state;
    bell.dict = true;
    bell_start(dict_path);
    assert_int_equal(chmod(dict_path, 0777), 0);
    deliver(OTHER, "lua@chat.example");
    assert_heard("lua@chat.example\n");
    deliver("From: Me <LUA@chat.example>\r\n", "lua@chat.example");
    assert_heard("");
    bell_stop();
    deliver(OTHER, "lua@chat.example"); /* metadata is away: delivered all the same */
}

/* ---- fixture ---- */

/* The bell and its directory belong to a group that lmtp gets, as on the store. */
static const char push_config[] =
    "mail_plugin_dir = %s/modules\n"
    "protocol lmtp {\n  mail_plugins = quota chatmail_push\n}\n"
    "plugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=%dK\n"
    "  chatmail_push_socket = %s\n  chatmail_push_dir = %s\n}\n"
    "recipient_delimiter = +\nservice lmtp {\n  extra_groups = daemon,games\n}\n";

static const char lua_config[] =
    "mail_plugin_dir = %s/modules\n"
    "mail_attribute_dict = proxy:%s:metadata\n"
    "protocol lmtp {\n"
    "  mail_plugins = notify mail_lua push_notification push_notification_lua\n}\n"
    "plugin {\n  push_notification_driver = lua:file=%s\n}\n";

static int lay_out(void)
{
    static const char script[] =
        "mkdir $1/modules $1/spool; chmod 755 $1\n"
        "chown root:games $1/spool; chmod 730 $1/spool\n"
        "ln -s $2 $1/modules/lib20_chatmail_push_plugin.so\n"
        "for f in $3/usr/lib/dovecot/modules/*.so; do\n"
        "  ln -s /usr/lib/dovecot/modules/${f##*/} $1/modules/\n"
        "done";
    snprintf(dir, sizeof(dir), "/tmp/test-push-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(bell_path, sizeof(bell_path), "%s/bell", dir);
    snprintf(spool, sizeof(spool), "%s/spool", dir);
    snprintf(dict_path, sizeof(dict_path), "%s/dict", dir);
    const char *argv[] = {"sh", "-ec", script, "sh", dir, PUSH_PLUGIN, root, NULL};
    struct cm_err err;
    if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) != 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int start(const char *extra)
{
    struct dovecot_want want = {.root = root, .plugin_name = "", .extra = extra};
    struct cm_err err;

    if (dovecot_start(&dovecot, &want, &err) == 0)
        return 0;
    print_error("%s\n", err.text);
    dovecot_stop(&dovecot, true);
    return -1;
}

static int with_plugin(void **state)
{
    char extra[1024];

    (void)state;
    if (lay_out() != 0)
        return -1;
    snprintf(extra, sizeof(extra), push_config, dir, QUOTA_KB, bell_path, spool);
    return start(extra);
}

static int with_lua(void **state)
{
    char extra[1024];

    (void)state;
    if (lay_out() != 0)
        return -1;
    snprintf(extra, sizeof(extra), lua_config, dir, dict_path, PUSH_LUA);
    return start(extra);
}

static int after_each(void **state)
{
    (void)state;
    bell_stop();
    return 0;
}

static int drop(void **state)
{
    const char *argv[] = {"rm", "-rf", dir, NULL};
    struct cm_err err;

    (void)state;
    bool keep = getenv("PORTICO_KEEP") != NULL;
    if (keep)
        print_message("left: %s\n", dovecot.dir);
    dovecot_stop(&dovecot, keep);
    return cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err);
}

#define EACH(f) cmocka_unit_test_teardown(f, after_each)

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_push_plugin DIR (filled by testing/unpack)\n");
        return 2;
    }
    root = argv[1];
    const struct CMUnitTest plugin[] = {
        EACH(test_rings_once),        EACH(test_self_sent_is_silent),
        EACH(test_each_recipient),    EACH(test_nobody_listens),
        EACH(test_refused_is_silent), EACH(test_imap_is_silent),
        EACH(test_second_copy),       EACH(test_refused_comes_again),
        EACH(test_silent_push), /* its process then leaves files for a second */
    };
    const struct CMUnitTest lua[] = {EACH(test_lua_sets_messagenew)};
    int failed = cmocka_run_group_tests_name("plugin", plugin, with_plugin, drop);
    return failed + cmocka_run_group_tests_name("lua", lua, with_lua, drop);
}
