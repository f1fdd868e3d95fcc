/* chatmail-tls: the certificate and key that the store's daemons use.
 *
 * chatmail-tls [install|prepare|check|status] [options]; without a word, install:
 *   install  takes what the CA gave to chatmail-acme, or what the two files of
 *            tls_external_cert_and_key hold, into use and reloads nginx, Dovecot and
 *            Postfix. What is broken is refused, and the old pair stays in use.
 *   prepare  what must be there before the daemons start, for chatops: the key, a
 *            temporary certificate and the request to the CA; or the external pair.
 *   check    says what prepare would make; nothing when all is there.
 *   status   state.json (state.h).
 *
 * It runs as root, who may read but has no other power, without network, by a path unit
 * when the source changes and by a timer. It trusts chatmail.ini; the certificate's
 * bytes come from outside and are only parsed. The private key never leaves the store,
 * and with ACME is made here and kept: chatmail-acme sees a request for it, no more.
 *
 * Known limits: a daemon that is started in the instant between the two files of a pair
 * whose key changes too may read one of each; it is told right afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "common/run.h"
#include "work.h"

#define SAID_MAX  1024
#define SETTLE_MS 1500
#define STATE_MAX 65536

static const char *config = CM_CONF_PATH, *root = "", *roots_file = CM_CERT_ROOTS,
                  *systemctl = "systemctl";

static const struct cm_option options[] = {
    {"config", "FILE", "settings", &config, 0},
    {"root", "DIR", "goes before every path; for tests", &root, 0},
    {"roots", "FILE", "certificates to trust", &roots_file, 0},
    {"systemctl", "PROGRAM", "reloads the daemons", &systemctl, 0},
    {NULL, NULL, NULL, NULL, 0},
};

static const char about[] =
    "The certificate that the store's daemons use. Words before the options:\n"
    "install (the default), prepare, check, status. ";

/* ---- the daemons ---- */

static int ask_systemd(const char *verb, const char *unit, bool *yes_r,
                       struct cm_err *err)
{
    const char *argv[] = {systemctl, verb, unit, NULL};
    struct cm_run_result res;
    int rc = cm_run(&(struct cm_run){.argv = argv}, &res, err);

    if (rc == 0) {
        *yes_r = res.exit_code == 0;
    }
    cm_run_result_clear(&res);
    return rc;
}

/* All are told, though one fails; the first failure counts. */
static int reload_all(void *ctx, struct cm_err *err)
{
    static const char *const units[] = {"nginx.service", "dovecot.service",
                                        "postfix@-.service"};
    struct cm_err one;
    int rc = 0;

    (void)ctx;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        bool active = false, told = true;
        int asked = ask_systemd("is-active", units[i], &active, &one);
        if (asked == 0 && active) {
            asked = ask_systemd("reload", units[i], &told, &one);
        }
        if (asked == 0 && !told) {
            asked = cm_err_set(&one, CM_ERR_WORLD,
                               "%s could not be reloaded; see: journalctl -u %s",
                               units[i], units[i]);
        }
        if (asked != 0 && rc == 0) {
            *err = one;
            rc = -1;
        }
    }
    return rc;
}

/* ---- words ---- */

static int run_install(const struct tls_work *work)
{
    struct cm_buf said;
    struct cm_err err, late;

    cm_buf_init(&said, SAID_MAX);
    int rc = tls_install(work, false, &said, &err);
    if (rc != 0) {
        cm_log(CM_LOG_ERROR, "certificate_refused", "reason", err.text, "effect",
               "the one in use stays in use", NULL);
    } else if (said.len > 0) {
        cm_log(CM_LOG_INFO, "certificate_taken", "what", said.data, NULL);
    }
    if (tls_report(work, rc != 0 ? &err : NULL, &late) != 0) {
        cm_log_err(CM_LOG_ERROR, "state", &late);
        rc = -1;
    }
    cm_buf_clear(&said);
    return rc == 0 ? 0 : 1;
}

/* For chatops: what was made, on stdout; why not, on stderr. An external pair that is
 * refused while an older one is in use does not stop a run: it says "kept: WHY". */
static int run_prepare(const struct tls_work *work, bool dry)
{
    bool acme = work->place->conf->tls_mode == CM_TLS_ACME;
    struct cm_buf said;
    struct cm_err err, late;

    cm_buf_init(&said, SAID_MAX);
    int rc = acme ? tls_prepare(work, dry, &said, &err)
                  : tls_install(work, dry, &said, &err);
    int reported = dry ? 0 : tls_report(work, rc != 0 ? &err : NULL, &late);
    struct stat st;
    if (rc == 0) {
        printf("%s%s", said.data, said.len > 0 ? "\n" : "");
    } else if (!acme && stat(work->place->live_cert, &st) == 0) {
        printf("kept: %s\n", err.text);
        rc = 0;
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    if (reported != 0) {
        fprintf(stderr, "%s\n", late.text);
    }
    cm_buf_clear(&said);
    return rc == 0 && reported == 0 ? 0 : 1;
}

static int run_status(const struct tls_work *work)
{
    char *text;
    struct cm_err err;
    int rc = cm_file_read(work->place->state, STATE_MAX, &text, NULL, &err);

    if (rc == 1) {
        fputs(text, stdout);
        free(text);
    } else if (rc == 0) {
        puts("{}");
    } else {
        fprintf(stderr, "chatmail-tls: %s\n", err.text);
    }
    return rc < 0;
}

static int run(const char *word, const struct tls_work *work)
{
    if (strcmp(word, "install") == 0) {
        return run_install(work);
    }
    if (strcmp(word, "status") == 0) {
        return run_status(work);
    }
    return run_prepare(work, strcmp(word, "check") == 0);
}

/* One at a time: chatops' prepare may meet the unit. The lock ends with the process. */
static int wait_for_others(const struct tls_place *place, struct cm_err *err)
{
    char *dir =
        cm_strndup(place->state, (size_t)(strrchr(place->state, '/') - place->state));
    int fd = -1, rc = cm_file_mkdirs(dir, 0755, err);

    if (rc == 0) {
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) != 0) {
            rc = cm_err_set(err, CM_ERR_WORLD, "%s: %s", dir, strerror(errno));
        }
    }
    free(dir);
    return rc;
}

/* Self-signed: chatops made the certificate, and nothing ever changes it. */
static int begin(const char *word)
{
    struct cm_conf conf;
    struct cm_err err;
    struct tls_place place;
    int status = 0;

    if (cm_conf_load(config, &conf, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "settings", &err);
        return 1;
    }
    if (conf.tls_mode == CM_TLS_SELF) {
        if (strcmp(word, "status") == 0) {
            puts("{}");
        }
    } else {
        tls_place_init(&place, &conf, root);
        struct cm_roots *roots = cm_roots_load(roots_file);
        struct tls_work work = {.place = &place,
                                .roots = roots,
                                .reload = reload_all,
                                .settle_ms = SETTLE_MS};
        bool reads = strcmp(word, "status") == 0 || strcmp(word, "check") == 0;
        if (!reads && wait_for_others(&place, &err) != 0) {
            cm_log_err(CM_LOG_ERROR, "lock", &err);
            status = 1;
        } else {
            status = run(word, &work);
        }
        cm_roots_free(&roots);
        tls_place_clear(&place);
    }
    cm_conf_clear(&conf);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const words[] = {"install", "prepare", "check", "status"};
    const char *word = words[0];

    for (size_t i = 0; argc > 1 && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(argv[1], words[i]) == 0) {
            word = words[i];
            argv[1] = argv[0];
            argc--;
            argv++;
            break;
        }
    }
    cm_log_init("chatmail-tls", CM_LOG_INFO);
    int status =
        cm_options_parse("chatmail-tls", PORTICO_VERSION, about, options, argc, argv);
    return status >= 0 ? status : begin(word);
}
