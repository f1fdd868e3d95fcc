/* dovecot-plugin, against a made-up /usr/lib/dovecot. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/run.h"

static const char *const plugins[] = {"idle", "push"};
static char dir[64], conf[128];

static void sh(const char *script)
{
    const char *argv[] = {"sh", "-ec",       script,      "sh",
                          dir,  IDLE_PLUGIN, PUSH_PLUGIN, NULL};
    struct cm_err err;

    if (cm_run_ok(&(struct cm_run){.argv = argv}, NULL, &err) != 0)
        fail_msg("%s: %s", script, err.text);
}

/* A Dovecot whose storage library says it has that ABI. */
static void dovecot_of(const char *abi)
{
    char path[128];
    struct cm_err err;

    snprintf(path, sizeof(path), "%s/libdovecot-storage.so.0", dir);
    assert_int_equal(cm_file_replace(path, abi, strlen(abi), 0644, &err), 0);
}

static char *glue(const char *verb, const char *plugin)
{
    const char *argv[] = {GLUE, verb, plugin, NULL};
    struct cm_err err;
    char *said;

    if (cm_run_ok(&(struct cm_run){.argv = argv}, &said, &err) != 0)
        fail_msg("%s", err.text);
    return said;
}

static char *applied(void)
{
    struct cm_err err;
    char *text;

    free(glue("apply", NULL));
    assert_int_equal(cm_file_read(conf, 4096, &text, NULL, &err), 1);
    return text;
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-glue-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(conf, sizeof(conf), "%s/run/plugins.conf", dir);
    setenv("PORTICO_DOVECOT_LIB", dir, 1);
    setenv("PORTICO_PLUGINS_CONF", conf, 1);
    sh("mkdir $1/modules; cp $2 $3 $1/modules/");
    return 0;
}

static int drop(void **state)
{
    (void)state;
    sh("rm -rf $1");
    return 0;
}

static void the_same_build_is_loaded(void **state)
{
    (void)state;
    sh("mkdir -p $1/run");
    dovecot_of("x\n" DOVECOT_ABI "\n");
    char *text = applied();
    assert_non_null(strstr(text, "protocol imap {\n  mail_plugins = $mail_plugins "
                                 "chatmail_idle\n}"));
    assert_non_null(strstr(text, "protocol lmtp {\n  mail_plugins = $mail_plugins "
                                 "chatmail_push\n}"));
    assert_null(strstr(text, "lua"));
    free(text);
    for (size_t i = 0; i < 2; i++) {
        text = glue("status", plugins[i]);
        assert_memory_equal(text, "loaded: in ", 11);
        assert_non_null(strstr(text, DOVECOT_ABI));
        free(text);
    }
}

static void another_build_is_not(void **state)
{
    static const char *const others[] = {"2.3.ABIv20(2.3.21)", "2.3.ABIv19(2.3.19.2)",
                                         "2.4.ABIv2(2.4.1)", "none"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        dovecot_of(others[i]);
        char *text = applied();
        assert_null(strstr(text, "mail_plugins"));
        assert_null(strstr(text, "hibernate"));
        free(text);
        for (size_t k = 0; k < 2; k++) {
            text = glue("status", plugins[k]);
            assert_memory_equal(text, "off: built for " DOVECOT_ABI,
                                strlen("off: built for " DOVECOT_ABI));
            free(text);
        }
    }
}

/* Dovecot brings what runs the script; nothing of ours is loaded into it. */
static void another_build_with_lua_runs_the_script(void **state)
{
    (void)state;
    dovecot_of("2.3.ABIv20(2.3.21)");
    sh("for m in 01_mail_lua 15_notify 20_push_notification 22_push_notification_lua; "
       "do"
       " : > $1/modules/lib${m}_plugin.so; done");
    char *text = applied(), *at = strstr(text, "lua:file=");
    assert_non_null(at);
    at += strlen("lua:file=");
    at[strcspn(at, "\n")] = '\0';
    assert_int_equal(access(at, R_OK), 0);
    assert_non_null(strstr(at + strlen(at) + 1,
                           "mail_plugins = $mail_plugins notify mail_lua "
                           "push_notification push_notification_lua\n"));
    free(text);
    text = glue("status", "push");
    assert_memory_equal(text, "lua: built for ", 15);
    free(text);
    text = glue("status", "idle");
    assert_memory_equal(text, "off: built for ", 15);
    free(text);
    sh("rm $1/modules/lib22_*");
    text = applied();
    assert_null(strstr(text, "mail_plugins"));
    free(text);
}

/* Each is looked at alone. */
static void a_plugin_that_is_missing_takes_no_other_along(void **state)
{
    (void)state;
    dovecot_of(DOVECOT_ABI);
    sh("mv $1/modules/*chatmail_push* $1/");
    char *text = applied();
    assert_non_null(strstr(text, "chatmail_idle\n"));
    assert_null(strstr(text, "protocol lmtp"));
    free(text);
    text = glue("status", "push");
    assert_memory_equal(text, "off: built for nothing", 22);
    free(text);
    sh("mv $1/*chatmail_push* $1/modules/");
}

static void without_the_plugins_nothing_is_loaded(void **state)
{
    (void)state;
    dovecot_of(DOVECOT_ABI);
    sh("mv $1/modules $1/away");
    char *text = applied();
    assert_null(strstr(text, "mail_plugins"));
    free(text);
    sh("mv $1/away $1/modules");
}

static void map(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        _exit(1);
}

/* A process that is taken for Dovecot's imap, and has the plugin after so long. */
static pid_t imap_with_plugin_after(int ms)
{
    char lib[128], plugin[128];
    int up[2];
    char c;

    snprintf(lib, sizeof(lib), "%s/libdovecot-storage.so.0", dir);
    snprintf(plugin, sizeof(plugin), "%s/modules/lib20_chatmail_idle_plugin.so", dir);
    assert_int_equal(pipe(up), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "imap");
        map(lib);
        if (write(up[1], "", 1) != 1)
            _exit(1);
        nanosleep(&wait, NULL);
        map(plugin);
        pause();
        _exit(0);
    }
    assert_true(pid > 0);
    close(up[1]);
    assert_int_equal(read(up[0], &c, 1), 1);
    close(up[0]);
    return pid;
}

static void end_of(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Status came, in a busy lab, between a process's start and its first login. */
static void a_process_that_has_just_begun_is_waited_for(void **state)
{
    (void)state;
    dovecot_of(DOVECOT_ABI);
    free(applied());
    pid_t late = imap_with_plugin_after(500);
    char *text = glue("status", "idle");
    end_of(late);
    assert_memory_equal(text, "loaded: in ", 11);
    assert_true(strtol(text + 11, NULL, 10) >= 1);
    free(text);
    pid_t never = imap_with_plugin_after(60000);
    text = glue("status", "idle");
    end_of(never);
    assert_memory_equal(text, "partly: in ", 11);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_build_is_loaded),
        cmocka_unit_test(another_build_is_not),
        cmocka_unit_test(another_build_with_lua_runs_the_script),
        cmocka_unit_test(a_plugin_that_is_missing_takes_no_other_along),
        cmocka_unit_test(without_the_plugins_nothing_is_loaded),
        cmocka_unit_test(a_process_that_has_just_begun_is_waited_for),
    };

    return cmocka_run_group_tests(tests, make, drop);
}
