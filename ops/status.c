/* chatops status: rounds of one question to the store, a probe message from gateway to
 * gateway, and one question to each gateway that does not report. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "certs.h"
#include "cli.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "numbers.h"
#include "say.h"
#include "status.h"

#define EVERY_S     10
#define EVERY_MAX_S 3600
#define FRAME_MAX   (256u << 10)
#define SHOW_CURSOR "\033[?25h"
#define HIDE_CURSOR "\033[?25l"

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
    (void)signo;
    stopped = 1;
}

static int64_t probe_began_ms;

static void say_progress(const struct op_pair *pair)
{
    op_progress(cm_now_mono_ms() - probe_began_ms, "probe %s -> %s", pair->in,
                pair->out);
}

/* Never fails: a store that cannot be asked is the first thing that is wrong. */
static void ask_round(struct op_report *r, const struct op_cli *cli)
{
    bool watched = cli->watch || cli->json || !isatty(STDOUT_FILENO);
    struct cm_err err;

    if (op_report_ask(r, &err) != 0) {
        op_report_wrong(r, "this machine -> store (ssh): %s", err.text);
        return;
    }
    if (!cli->no_probe) {
        probe_began_ms = cm_now_mono_ms();
        op_ring_run(&r->ring, r->c, r->cluster, watched ? NULL : say_progress);
        r->probed = true;
        if (!watched) {
            fputs("\r\033[K", stdout);
        }
    }
    op_report_judge(r);
    op_certs_status(r->c, &r->certificate, op_report_say_wrong, r);
}

/* Each round is an event of --watch; the last one is the answer. */
static void say_json(const struct op_report *r, bool watched)
{
    json_t *o = op_report_json(r);

    if (watched) {
        op_answer_event("round", json_incref(o));
    }
    op_answer(o);
}

/* ---- --watch ---- */

static void draw(const struct op_screen *s)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct cm_buf frame;

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    cm_buf_init(&frame, FRAME_MAX);
    op_screen_frame(s, size.ws_row > 0 ? size.ws_row : 24,
                    size.ws_col > 0 ? size.ws_col : 80, op_say_colour(stdout), &frame);
    fwrite(frame.data, 1, frame.len, stdout);
    fflush(stdout);
    cm_buf_clear(&frame);
}

static void say_round(const struct op_report *r, const struct op_cli *cli,
                      bool in_place)
{
    struct op_screen screen = {.count = 0};
    time_t now = (time_t)(cm_now_wall_ms() / 1000);
    char at[40];
    struct tm tm;

    if (cli->json) {
        say_json(r, cli->watch);
        return;
    }
    if (cli->watch) {
        localtime_r(&now, &tm);
        strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S", &tm);
        op_screen_add(&screen, OP_PLAIN, "%s%s", at, in_place ? "  (Ctrl-C ends)" : "");
    }
    op_report_screen(r, cli->all, &screen);
    if (in_place) {
        draw(&screen);
    } else {
        op_screen_print(&screen);
    }
    op_screen_clear(&screen);
}

/* Only the pause is cut short by a signal: the round under way ends, and cleans up. */
static void rest(int64_t seconds)
{
    struct timespec t = {.tv_sec = 1};

    for (int64_t i = 0; i < seconds && !stopped; i++) {
        nanosleep(&t, NULL);
    }
}

static void watch(struct op_report *r, const struct op_cli *cli, int64_t every_s)
{
    bool in_place = !cli->json && isatty(STDOUT_FILENO);

    if (in_place) {
        op_wait_quiet(true);
        fputs(HIDE_CURSOR "\033[2J", stdout);
    }
    for (;;) {
        ask_round(r, cli);
        say_round(r, cli, in_place);
        if (ferror(stdout)) {
            break; /* nobody reads any more */
        }
        rest(every_s);
        if (stopped) {
            break;
        }
        if (!cli->json && !in_place) {
            op_say(OP_PLAIN, "%s", "");
        }
        op_report_reset(r);
    }
    if (in_place) {
        op_wait_quiet(false);
        fputs(SHOW_CURSOR "\n", stdout);
        fflush(stdout);
    }
}

static int read_every(const struct op_cli *cli, int64_t *every_r, struct cm_err *err)
{
    char *end;
    long long n = cli->every != NULL ? strtoll(cli->every, &end, 10) : EVERY_S;

    if (cli->every != NULL && (*end != '\0' || n < 1 || n > EVERY_MAX_S)) {
        return cm_err_set(err, CM_ERR_REFUSE, "--every %s: seconds, 1 to %d",
                          cli->every, EVERY_MAX_S);
    }
    *every_r = n;
    return 0;
}

int op_status(const struct op_cli *cli, struct cm_err *err)
{
    struct op_cluster c;
    struct op_report *r;
    struct sigaction stop = {.sa_handler = on_stop};
    int64_t every_s = EVERY_S;

    if (read_every(cli, &every_s, err) != 0) {
        op_complain("%s", err->text);
        return OP_EXIT_USAGE;
    }
    if (op_cluster_load(cli, &c, err) != 0) {
        return -1;
    }
    if (cli->page) {
        int rc = op_status_page(&c, err);
        op_cluster_clear(&c);
        return rc;
    }
    stopped = 0;
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    r = cm_calloc(1, sizeof(*r));
    op_report_init(r, &c);
    if (cli->watch) {
        watch(r, cli, every_s);
    } else {
        ask_round(r, cli);
        say_round(r, cli, false);
    }
    op_ring_close(&r->ring, &c);
    int rc = r->wrong_count == 0 ? OP_EXIT_OK : OP_EXIT_FAILED;
    op_report_clear(r);
    free(r);
    op_cluster_clear(&c);
    return rc;
}
