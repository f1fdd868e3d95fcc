/* chatmail-acme: the store's certificate from an ACME CA (RFC 8555), in time.
 *
 * A timer runs it; chatops starts it after a deployment. It asks the CA of [store]
 * acme_directory when the certificate is missing or a third of its life is left, proves
 * the names by http-01, and leaves the answer for chatmail-tls, which judges it and
 * takes it into use. The CA's questions on port 80 reach the store through every
 * gateway; nginx answers them from the files that are put into challenge/ here.
 *
 * Debian's uacme speaks the protocol. It calls this program for each challenge, with
 * five words (hook.h). This is the only program of ours that talks to the CA: it runs
 * as a user of its own, has the account's key and a request, and never sees the
 * certificate's key.
 *
 * After a refusal the timer's runs rest for 50 minutes, or until the names lead to
 * other addresses; while a name has no address the CA is not asked at all. Exit status:
 * 0 well, or nothing to do now; 1 no certificate.
 *
 * Known limits: http-01 only, so no wildcards; one CA at a time. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/options.h"
#include "hook.h"
#include "order.h"

static const char *config = CM_CONF_PATH, *dir = "/var/lib/chatmail-acme",
                  *request = CM_TLS_DIR "/request.csr", *uacme = "uacme",
                  *pause_s = "5";

static const struct cm_option options[] = {
    {"config", "FILE", "settings", &config, 0},
    {"dir", "DIR", "its own files, and challenges", &dir, 0},
    {"request", "FILE", "that chatmail-tls made", &request, 0},
    {"uacme", "PROGRAM", "the ACME client", &uacme, 0},
    {"pause", "SECONDS", "between tries, longer each time", &pause_s, 0},
    {NULL, NULL, NULL, NULL, 0},
};

static const char about[] =
    "Asks the certificate authority for the store's certificate "
    "when it is due.\n";

static int run(const char *self)
{
    struct cm_conf conf;
    struct cm_err err;
    int64_t pause;

    if (cm_value_int(pause_s, 0, 60, &pause, &err) != 0) {
        fprintf(stderr, "chatmail-acme: --pause: %s\n", err.text);
        return 2;
    }
    if (cm_conf_load(config, &conf, &err) != 0) {
        cm_log_err(CM_LOG_ERROR, "settings", &err);
        return 1;
    }
    int rc = 0;
    if (conf.tls_mode == CM_TLS_ACME) {
        struct order order = {.conf = &conf,
                              .dir = dir,
                              .request = request,
                              .uacme = uacme,
                              .hook = self,
                              .pause_ms = pause * 1000};
        rc = order_run(&order, &err);
    }
    if (rc > 0) {
        cm_log(CM_LOG_WARNING, "certificate_later", "reason", err.text, NULL);
    } else if (rc < 0) {
        cm_log_err(CM_LOG_ERROR, "no_certificate", &err);
    }
    cm_conf_clear(&conf);
    return rc < 0;
}

int main(int argc, char **argv)
{
    char self[PATH_MAX];
    const char *challenges = getenv(HOOK_ENV);

    cm_log_init("chatmail-acme", CM_LOG_INFO);
    if (challenges != NULL && hook_called(argc, argv)) {
        return hook_run(challenges, argv);
    }
    int status =
        cm_options_parse("chatmail-acme", PORTICO_VERSION, about, options, argc, argv);
    if (status >= 0) {
        return status;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        cm_log(CM_LOG_ERROR, "self", "reason", "/proc/self/exe", NULL);
        return 1;
    }
    self[n] = '\0';
    return run(self);
}
