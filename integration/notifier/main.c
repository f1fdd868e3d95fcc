/* notifier: the notification service of the tests (notifier.h).
 *
 *   notifier --host ADDRESS --port N --control PATH
 *            (--ca-cert FILE --ca-key FILE --name NAME | --cert FILE --key FILE)
 *   notifier ask PATH COMMAND...
 *
 * The first serves until SIGTERM; with a CA it makes itself a certificate for NAME. The
 * second tells a running one something, or asks it: "notifier ask PATH help" lists
 * what. "list" without a number prints everything. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"

#include "control.h"

#define ANSWER_MAX (256u << 20)

/* ---- ask ---- */

/* A list comes in pieces. */
static int ask_list(const char *path, struct cm_err *err)
{
    size_t from = 0, count;

    do {
        struct cm_buf out;
        char line[64];
        snprintf(line, sizeof(line), "list %zu", from);
        cm_buf_init(&out, ANSWER_MAX);
        int rc = control_ask(path, line, &out, err);
        count = 0;
        for (size_t i = 0; i < out.len; i++)
            count += out.data[i] == '\n';
        fwrite(out.data, 1, out.len, stdout);
        cm_buf_clear(&out);
        if (rc != 0)
            return -1;
        from += count;
    } while (count > 0);
    return 0;
}

static int ask(int argc, char **argv)
{
    struct cm_buf line, out;
    struct cm_err err;
    int rc;

    cm_buf_init(&line, CONTROL_LINE_MAX);
    cm_buf_init(&out, ANSWER_MAX);
    for (int i = 3; i < argc; i++)
        cm_buf_fmt(&line, "%s%s", i > 3 ? " " : "", argv[i]);
    if (argc == 4 && strcmp(argv[3], "list") == 0)
        rc = ask_list(argv[2], &err);
    else
        rc = control_ask(argv[2], line.data, &out, &err);
    fwrite(out.data, 1, out.len, stdout);
    if (rc != 0)
        fprintf(stderr, "notifier: %s\n", err.text);
    cm_buf_clear(&line);
    cm_buf_clear(&out);
    return rc == 0 ? 0 : 1;
}

/* ---- serve ---- */

static void on_signal(int signo, void *ctx)
{
    (void)signo;
    cm_loop_stop(ctx);
}

static int serve(const struct notifier_want *want, const char *control_path)
{
    struct cm_loop *loop = cm_loop_new();
    struct cm_err err;
    struct notifier *notifier = notifier_new(loop, want, &err);
    struct control *control =
        notifier != NULL ? control_new(loop, notifier, control_path, &err) : NULL;

    if (control != NULL) {
        cm_loop_on_signal(loop, SIGTERM, on_signal, loop);
        cm_loop_on_signal(loop, SIGINT, on_signal, loop);
        printf("notifier: port %d\n", notifier_port(notifier));
        fflush(stdout);
        cm_loop_run(loop);
    } else {
        fprintf(stderr, "notifier: %s\n", err.text);
    }
    int status = control != NULL ? 0 : 1;
    control_free(&control);
    notifier_free(&notifier);
    cm_loop_free(&loop);
    return status;
}

int main(int argc, char **argv)
{
    struct notifier_want want = {.host = "127.0.0.1"};
    const char *port = "443", *control_path = "/run/notifier.sock";
    const struct cm_option options[] = {
        {"host", "ADDRESS", "numeric, to listen on", &want.host, 0},
        {"port", "N", "0: any", &port, 0},
        {"control", "PATH", "socket for \"notifier ask\"", &control_path,
         CM_OPTION_PATH_MAX},
        {"ca-cert", "FILE", "signs a certificate made for --name", &want.tls.ca_cert,
         0},
        {"ca-key", "FILE", "its key", &want.tls.ca_key, 0},
        {"name", "NAME", "what clients call it", &want.tls.name, 0},
        {"cert", "FILE", "instead of those three", &want.tls.cert, 0},
        {"key", "FILE", "its key", &want.tls.key, 0},
        {0}};

    signal(SIGPIPE, SIG_IGN);
    if (argc >= 4 && strcmp(argv[1], "ask") == 0)
        return ask(argc, argv);
    int status = cm_options_parse("notifier", PORTICO_VERSION,
                                  "A notification service for tests; \"notifier ask "
                                  "PATH COMMAND\" tells it how\nto answer.\n",
                                  options, argc, argv);
    if (status >= 0)
        return status;
    char *end;
    long number = strtol(port, &end, 10);
    bool made =
        want.tls.ca_cert != NULL && want.tls.ca_key != NULL && want.tls.name != NULL;
    bool taken = want.tls.cert != NULL && want.tls.key != NULL;
    if (*end != '\0' || number < 0 || number > 65535 || made == taken) {
        fprintf(stderr, "notifier: needs a port, and a certificate or a CA; try "
                        "--help\n");
        return 2;
    }
    want.port = (int)number;
    return serve(&want, control_path);
}
