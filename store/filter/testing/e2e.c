#include "testing/e2e.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/mem.h"
#include "daemonkit/daemonkit.h"

#include "testing/mta.h"

struct e2e e2e = {.out = {.mode = "outgoing"},
                  .in = {.mode = "incoming"},
                  .sign = {.mode = "signing"}};

void e2e_start(struct side *side)
{
    char db[256];
    snprintf(db, sizeof(db), "%s",
             pgfixture_conninfo(e2e.pg, "chatmail", "chatmail_filter"));
    const char *argv[] = {FILTER_PROGRAM,
                          "--mode",
                          side->mode,
                          "--config",
                          e2e.ini,
                          "--db",
                          db,
                          "--redis",
                          redisfixture_path(e2e.redis),
                          "--dns",
                          ds_list(e2e.dns),
                          "--keep-rejected",
                          e2e.kept,
                          "--key",
                          e2e.key_file,
                          NULL};
    side->pid = daemonkit_start(argv, side->listener, "milter", side->log);
    struct mta m;
    mta_open(&m, side->path);
    mta_close(&m);
}

void e2e_stop(struct side *side)
{
    if (side->pid > 0) {
        assert_int_equal(daemonkit_stop(side->pid, SIGTERM), 0);
        side->pid = 0;
    }
}

void e2e_wait_for_log(const struct side *side, const char *text)
{
    for (int i = 0; i < 500; i++) {
        if (daemonkit_log_has(side->log, text)) {
            return;
        }
        usleep(10000);
    }
    fail_msg("%s: no %s", side->log, text);
}

void e2e_write_ini(const char *more)
{
    char text[512];
    struct cm_err err;
    int len = snprintf(text, sizeof(text),
                       "[params]\nmail_domain = chat.example.org\n%s", more);
    assert_int_equal(cm_file_replace(e2e.ini, text, (size_t)len, 0644, &err), 0);
}

void e2e_write_key(const struct sg_key *k)
{
    struct cm_err err;
    char *pem = sg_key_pem(k);
    assert_int_equal(cm_file_replace(e2e.key_file, pem, strlen(pem), 0600, &err), 0);
    free(pem);
}

int e2e_set_up(void **state)
{
    (void)state;
    snprintf(e2e.dir, sizeof(e2e.dir), "/tmp/test_filter.XXXXXX");
    assert_non_null(mkdtemp(e2e.dir));
    chmod(e2e.dir, 0755);
    snprintf(e2e.ini, sizeof(e2e.ini), "%s/chatmail.ini", e2e.dir);
    snprintf(e2e.kept, sizeof(e2e.kept), "%s/kept", e2e.dir);
    assert_int_equal(mkdir(e2e.kept, 0700), 0);
    e2e_write_ini(
        "max_user_send_per_minute = 60000\nmax_user_send_burst_size = 10000\n");
    snprintf(e2e.key_file, sizeof(e2e.key_file), "%s/opendkim.private", e2e.dir);
    e2e.our_key = sg_key_rsa(2048);
    e2e_write_key(e2e.our_key);
    e2e.pg = pgfixture_chatmail(SCHEMA_DIR, "001-account", "009-filter", NULL);
    e2e.redis = redisfixture_new();
    assert_non_null(e2e.pg);
    assert_non_null(e2e.redis);
    pgfixture_sql(
        e2e.pg, "chatmail",
        "insert into account (addr, password, disabled, enforce_e2ee_incoming)"
        " values ('" ONE "', 'x', false, true), ('" TWO "', 'x', false, true),"
        " ('" LAX "', 'x', false, false), ('" OFF "', 'x', true, true)");
    e2e.dns = ds_start();
    e2e.key = sg_key_ed25519();
    e2e.record = sg_key_record(e2e.key);
    const struct ds_row row = {.name = "sel._domainkey.example.net",
                               .mood = DS_ANSWER,
                               .txt = {e2e.record},
                               .ttl = 60};
    ds_set(e2e.dns, &row);
    struct side *const sides[] = {&e2e.out, &e2e.in, &e2e.sign};
    for (int i = 0; i < 3; i++) {
        snprintf(sides[i]->path, sizeof(sides[i]->path), "%s/%s", e2e.dir,
                 sides[i]->mode);
        snprintf(sides[i]->log, sizeof(sides[i]->log), "%s/%s.log", e2e.dir,
                 sides[i]->mode);
        sides[i]->listener = daemonkit_listen(sides[i]->path);
        e2e_start(sides[i]);
    }
    return 0;
}

int e2e_tear_down(void **state)
{
    (void)state;
    e2e_stop(&e2e.out);
    e2e_stop(&e2e.in);
    e2e_stop(&e2e.sign);
    ds_stop(&e2e.dns);
    sg_key_free(&e2e.key);
    sg_key_free(&e2e.our_key);
    free(e2e.record);
    redisfixture_free(&e2e.redis);
    pgfixture_free(&e2e.pg);
    char *clean = cm_asprintf("rm -rf %s", e2e.dir);
    assert_int_equal(system(clean), 0);
    free(clean);
    return 0;
}

/* One message out, over a connection of its own. changes: those asked for; may be NULL.
 */
void e2e_expect_out(enum letter letter, const char *from, const char *author,
                    const char *to, const char *answer, const char *changes)
{
    struct mta m;
    char *text = letter_text(letter, author, to, "x@y");
    mta_open(&m, e2e.out.path);
    assert_string_equal(mta_send(&m, from, from[0] != '\0' ? from : ONE, to, text),
                        answer);
    if (changes != NULL) {
        assert_string_equal(m.changes, changes);
    }
    mta_close(&m);
    free(text);
}

char *e2e_signed_letter(enum letter letter, const char *author, const char *to)
{
    char *text = letter_text(letter, author, to, "x@y");
    const struct sg_how how = {.key = e2e.key,
                               .domain = strchr(author, '@') + 1,
                               .selector = "sel",
                               .canon = "relaxed/simple",
                               .body_length = -1};
    struct sg_text result = sg_sign(&how, text, strlen(text));
    free(text);
    return result.data;
}

void e2e_expect_in_text(const char *text, const char *from, const char *to,
                        const char *answer, const char *changes)
{
    struct mta m;
    mta_open(&m, e2e.in.path);
    assert_string_equal(mta_send(&m, from, NULL, to, text), answer);
    assert_string_equal(m.changes, changes);
    mta_close(&m);
}

void e2e_expect_in(enum letter letter, const char *from, const char *author,
                   const char *to, const char *answer, const char *changes)
{
    char *text = e2e_signed_letter(letter, author, to);
    e2e_expect_in_text(text, from, to, answer, changes);
    free(text);
}

void e2e_reload(struct side *side, const char *more)
{
    daemonkit_log_has(side->log, "");
    e2e_write_ini(more);
    kill(side->pid, SIGHUP);
    e2e_wait_for_log(side, "event=reloaded");
}
