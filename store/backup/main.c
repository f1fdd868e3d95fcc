/* chatmail-backup: the store's end of chatops backup and chatops restore.
 *
 *   chatmail-backup send [--mail]        tar on standard output
 *   chatmail-backup take store           keys, from a tar on standard input
 *   chatmail-backup take database --made SECONDS
 *   chatmail-backup take mail
 *
 * Runs as root, by SSH; opens no socket. It trusts chatmail.ini and, when it takes, the
 * archive, which chatops has held against its list of SHA-256 before; even so nothing
 * is written outside of the directories in place.h.
 *
 * What it does not send: rate limits and the push queue (Redis), the mail queue, counts
 * for plots, the echo bot's own files. Known limits: a message that is delivered while
 * it sends may be missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf.h"

#include "box.h"
#include "database.h"
#include "mail.h"
#include "place.h"
#include "take.h"

static const char usage[] =
    "usage: chatmail-backup send [--mail]\n"
    "       chatmail-backup take store|mail\n"
    "       chatmail-backup take database --made SECONDS\n"
    "\n"
    "The store's end of chatops backup and restore: an archive on standard output, or\n"
    "a part of one put back from standard input.\n"
    "\n"
    "  --config FILE     settings [" CM_CONF_PATH "]\n"
    "  --mail            messages too\n"
    "  --made SECONDS    when the backup was made, as Unix time\n"
    "  --root DIR        stands before every path (for tests)\n"
    "  --db CONNINFO     PostgreSQL as this user [as user postgres]\n"
    "  --help, --version\n";

struct words {
    const char *config, *root, *db, *made;
    bool mail;
    const char *verb, *part;
};

static bool take_value(struct words *w, char **argv, int *i)
{
    const struct {
        const char *name;
        const char **field;
    } options[] = {{"--config", &w->config},
                   {"--root", &w->root},
                   {"--db", &w->db},
                   {"--made", &w->made}};

    for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
        if (strcmp(argv[*i], options[k].name) == 0 && argv[*i + 1] != NULL) {
            *options[k].field = argv[++*i];
            return true;
        }
    }
    return false;
}

/* -1 go on, else the exit status. */
static int parse(struct words *w, char **argv)
{
    for (int i = 1; argv[i] != NULL; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("chatmail-backup " PORTICO_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--mail") == 0) {
            w->mail = true;
        } else if (argv[i][0] != '-' && w->verb == NULL) {
            w->verb = argv[i];
        } else if (argv[i][0] != '-' && w->part == NULL) {
            w->part = argv[i];
        } else if (!take_value(w, argv, &i)) {
            fprintf(stderr, "chatmail-backup: \"%s\" is not understood\n%s", argv[i],
                    usage);
            return 2;
        }
    }
    return -1;
}

static int send_all(const struct place *p, bool mail, struct cm_err *err)
{
    struct box b;

    box_init(&b, STDOUT_FILENO);
    if (database_send(&b, p, err) != 0) {
        return -1;
    }
    for (size_t i = 0; place_trees[i] != NULL; i++) {
        if (box_tree(&b, p, place_trees[i], err) != 0) {
            return -1;
        }
    }
    /* Unless they were sent with a tree. */
    const char *own[] = {p->conf.tls_cert + 1, p->conf.tls_key + 1};
    for (size_t i = 0; i < 2; i++) {
        if (!place_in_tree(own[i]) && box_tree(&b, p, own[i], err) != 0) {
            return -1;
        }
    }
    return mail_send(&b, p, mail, err) == 0 ? box_end(&b, err) : -1;
}

static int take_part(const struct place *p, const struct words *w, struct cm_err *err)
{
    struct take_counts n = {.files = 0};
    int64_t made = 0;
    int rc;

    if (strcmp(w->part, "store") == 0) {
        rc = take_store(p, STDIN_FILENO, &n, err);
    } else if (strcmp(w->part, "mail") == 0) {
        rc = take_mail(p, STDIN_FILENO, &n, err);
    } else if (w->made == NULL ||
               cm_value_int(w->made, 0, INT64_MAX, &made, err) != 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "--made is missing, or no number");
    } else {
        rc = take_database(p, STDIN_FILENO, made, &n, err);
    }
    if (rc == 0) {
        printf("files %llu boxes %llu present %llu\n", (unsigned long long)n.files,
               (unsigned long long)n.boxes, (unsigned long long)n.present);
    }
    return rc;
}

static bool is_part(const char *part)
{
    return part != NULL && (strcmp(part, "store") == 0 || strcmp(part, "mail") == 0 ||
                            strcmp(part, "database") == 0);
}

int main(int argc, char **argv)
{
    struct words w = {.config = CM_CONF_PATH, .root = ""};
    struct place p = {.root = ""};
    struct cm_err err = {.text = ""};
    int rc;

    (void)argc;
    rc = parse(&w, argv);
    if (rc >= 0) {
        return rc;
    }
    bool sends = w.verb != NULL && strcmp(w.verb, "send") == 0 && w.part == NULL;
    bool takes = w.verb != NULL && strcmp(w.verb, "take") == 0 && is_part(w.part);
    if (!sends && !takes) {
        fputs(usage, stderr);
        return 2;
    }
    umask(022); /* of directories on the way; what is secret has a mode of its own */
    p.root = w.root;
    p.mail_owner = w.root[0] != '\0' ? "root" : "vmail";
    p.conninfo = w.db;
    if (place_open(&p, w.config, &err) == 0) {
        rc = sends ? send_all(&p, w.mail, &err) : take_part(&p, &w, &err);
        place_close(&p);
    }
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.text);
    }
    return rc == 0 ? 0 : 1;
}
