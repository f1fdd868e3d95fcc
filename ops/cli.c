#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "wrap.h"

#define HELP_MAX (64 * 1024)
#define COLUMN   22 /* where the explanations begin */

const struct op_option op_options[] = {
    {"--config", NULL, "FILE", offsetof(struct op_cli, config), true,
     "settings of the cluster (default: $CHATMAIL_INI, else chatmail.ini)"},
    {"--json", NULL, NULL, offsetof(struct op_cli, json), true,
     "answer in JSON, one object per line"},
    {"--verbose", "-v", NULL, offsetof(struct op_cli, verbose), true,
     "show every command on the nodes and what it says"},
    {"--help", "-h", NULL, offsetof(struct op_cli, help), true, "this text"},
    {"--version", NULL, NULL, offsetof(struct op_cli, version), true,
     "print the version"},
    {"--force", NULL, NULL, offsetof(struct op_cli, force), false,
     "replace an existing file; with gateway: though it is the last one that serves"},
    {"--dry-run", NULL, NULL, offsetof(struct op_cli, dry_run), false,
     "show what would change (run: with diffs of all files); change nothing"},
    {"--yes", "-y", NULL, offsetof(struct op_cli, yes), false,
     "do not ask before the first change"},
    {"--only", NULL, "NODE", offsetof(struct op_cli, only), false,
     "\"store\" or the name of one gateway: leave the others, and the desired state, "
     "as "
     "they are"},
    {"--disable-mail", NULL, NULL, offsetof(struct op_cli, disable_mail), false,
     "switch Postfix and Dovecot off; all else runs, and run without this brings mail "
     "back"},
    {"--website-only", NULL, NULL, offsetof(struct op_cli, website_only), false,
     "bring the web pages to the store, and nothing else"},
    {"--skip-dns-check", NULL, NULL, offsetof(struct op_cli, skip_dns_check), false,
     "do not look whether the mail domain leads here"},
    {"--mail", NULL, NULL, offsetof(struct op_cli, mail), false,
     "take the messages too"},
    {"--to", NULL, "FILE", offsetof(struct op_cli, to), false,
     "where to write it (default: backup-DOMAIN-DATE.tar beside chatmail.ini)"},
    {"--overwrite", NULL, NULL, offsetof(struct op_cli, overwrite), false,
     "though the store has accounts: those of the backup replace them"},
    {"--packages", NULL, "DIR", offsetof(struct op_cli, packages), false,
     "take the nodes' packages from DIR"},
    {"--ssh", NULL, "TARGET", offsetof(struct op_cli, ssh), false,
     "how ssh reaches the node, for example root@198.51.100.11"},
    {"--addresses", NULL, "\"A B\"", offsetof(struct op_cli, addresses), false,
     "its public addresses (default: those on its interfaces)"},
    {"--number", NULL, "N", offsetof(struct op_cli, number), false,
     "its tunnel number (default: the lowest never used)"},
    {"--wg-key", NULL, "KEY", offsetof(struct op_cli, wg_key), false,
     "public key of the tunnel of a gateway without SSH and agent"},
    {"--no-run", NULL, NULL, offsetof(struct op_cli, no_run), false,
     "only write chatmail.ini: chatops run does the rest"},
    {"--uses", NULL, "N", offsetof(struct op_cli, uses), false,
     "accounts that may be made with one token (default: 1)"},
    {"--days", NULL, "D", offsetof(struct op_cli, days), false,
     "how long a token is good (default: 7)"},
    {"--count", NULL, "K", offsetof(struct op_cli, count), false,
     "how many tokens to make (default: 1)"},
    {"--for", NULL, "TIME", offsetof(struct op_cli, for_s), false,
     "how long: flows may take to end before they are cut, in seconds (default: 60); "
     "a ban is to last, or an invite is good, also as in 15m, 2h, 7d (default: 1d)"},
    {"--cloud-init", NULL, NULL, offsetof(struct op_cli, cloud_init), false,
     "print user-data for cloud-init instead of a line"},
    {"--pf", NULL, NULL, offsetof(struct op_cli, pf), false,
     "for an edge that runs FreeBSD: pf.conf and a WireGuard file, or lines of a "
     "table"},
    {"--form", NULL, NULL, offsetof(struct op_cli, form), false,
     "print the records as the fields of a registrar's web form, long texts in one "
     "piece and split; check nothing"},
    {"--apply", NULL, NULL, offsetof(struct op_cli, apply), false,
     "make the changes at the primary name server (RFC 2136 with TSIG), after showing "
     "them; with --dry-run: only show them"},
    {"--server", NULL, "ADDRESS[@PORT]", offsetof(struct op_cli, server), false,
     "the primary name server that takes changes, which may be hidden (default: "
     "dns_server of [store])"},
    {"--key", NULL, "FILE", offsetof(struct op_cli, key), false,
     "the key for it, as tsig-keygen writes it, mode 0600 (default: dns_key of "
     "[store])"},
    {"--zonefile", NULL, "FILE", offsetof(struct op_cli, zonefile), false,
     "write the zone to FILE (\"-\": standard output) and check nothing"},
    {"--gateway", NULL, "NAME", offsetof(struct op_cli, gateway), false,
     "only that gateway, in whatever mode it is"},
    {"--second", NULL, "DOMAIN", offsetof(struct op_cli, second), false,
     "another relay with open registrations, for mail there and back"},
    {"--node", NULL, "NODE", offsetof(struct op_cli, node), false,
     "only that node: store, or a gateway"},
    {"--unit", NULL, "PATTERN", offsetof(struct op_cli, unit), false,
     "only that unit, for example chatmail-auth or \"postfix*\" (default: all of the "
     "relay)"},
    {"--since", NULL, "TIME", offsetof(struct op_cli, since), false,
     "how far back: 15m, 2h, 3d, or \"2026-11-27 08:00\" (default: 15m)"},
    {"--grep", NULL, "TEXT", offsetof(struct op_cli, grep), false,
     "only lines in which this is found, as a regular expression, before they are "
     "blanked"},
    {"--follow", "-f", NULL, offsetof(struct op_cli, follow), false,
     "show what comes from now on, until interrupted"},
    {"--raw", NULL, NULL, offsetof(struct op_cli, raw), false,
     "show addresses and tokens as they are"},
    {"--quick", NULL, NULL, offsetof(struct op_cli, quick), false,
     "fewer turns of each, in some seconds"},
    {"--save", NULL, "FILE", offsetof(struct op_cli, save), false,
     "keep the figures in FILE"},
    {"--baseline", NULL, "FILE", offsetof(struct op_cli, baseline), false,
     "compare to the figures in FILE: ratios, over 1 is slower or more"},
    {"--out", NULL, "DIR", offsetof(struct op_cli, out), false,
     "where to put the pages (default: .chatops/www beside chatmail.ini)"},
    {"--watch", NULL, NULL, offsetof(struct op_cli, watch), false,
     "again and again until Ctrl-C: in place on a terminal, else one report after the "
     "other"},
    {"--every", NULL, "SECONDS", offsetof(struct op_cli, every), false,
     "pause between two rounds of --watch (default: 10)"},
    {"--all", NULL, NULL, offsetof(struct op_cli, all), false,
     "list every service and address, well or not"},
    {"--no-probe", NULL, NULL, offsetof(struct op_cli, no_probe), false,
     "send no probe message"},
    {"--page", NULL, NULL, offsetof(struct op_cli, page), false,
     "instead: open the store's status page by SSH to http://localhost:7903/, until "
     "Ctrl-C"},
    {"--once", NULL, NULL, offsetof(struct op_cli, once), false,
     "build, and do not watch for changes"},
    {NULL, NULL, NULL, 0, false, NULL},
};

const struct op_verb op_verbs[] = {
    {"init", "DOMAIN", "--ssh --force --packages",
     "Write a fresh chatmail.ini for DOMAIN. With --ssh, which is how the store is "
     "reached: pin its host key, name everything that is in the way there, and make "
     "the "
     "cluster key on it. Without, the store is this machine.",
     op_init},
    {"gateway add", "NAME",
     "--ssh --addresses --number --wg-key --no-run --yes --packages",
     "Make a machine gateway NAME, over SSH: look at it, append it to chatmail.ini, "
     "set it up, let it serve, and print what was measured: the address that the "
     "store saw, added latency, open ports, MTU, and the DNS records to publish. What "
     "was interrupted goes on with the same command. Of a gateway that joined by an "
     "invite: adopt it, with the key it has, so that run updates it too.",
     op_gateway_add},
    {"gateway invite", "NAME", "--for --cloud-init --number --packages",
     "Print one line to paste into the console of a fresh machine, which then waits to "
     "be gateway NAME: it needs no SSH from here. It comes to the store through a "
     "gateway that serves, so the first one needs gateway add.",
     op_gateway_invite},
    {"gateway accept", "NAME", "--addresses --yes --packages",
     "Make the machine that waits as NAME a gateway, once its console shows the same "
     "fingerprint; then as gateway add.",
     op_gateway_accept},
    {"gateway reject", "NAME", "", "Take the invite of NAME back, whoever has it.",
     op_gateway_reject},
    {"gateway list", "", "",
     "List all gateways: mode, state, epoch applied and wanted, weight, version, "
     "addresses; and those that wait to be accepted.",
     op_gateway_list},
    {"gateway drain", "NAME", "--for --force",
     "Let NAME refuse new connections, wait until the present ones have ended, and cut "
     "the rest: it may then be rebooted, and nobody notices.",
     op_gateway_drain},
    {"gateway resume", "NAME", "", "Let NAME take connections again.",
     op_gateway_resume},
    {"gateway hold", "NAME", "",
     "Let NAME leave new connections without an answer, so that clients wait; present "
     "ones go on.",
     op_gateway_hold},
    {"gateway off", "NAME", "--force",
     "Let NAME refuse new and present connections alike.", op_gateway_off},
    {"gateway remove", "NAME", "--for --force",
     "Drain NAME, take it out of the cluster and of chatmail.ini, and say which DNS "
     "records to delete. Works though NAME is lost. Its number is never given again.",
     op_gateway_remove},
    {"gateway rotate", "OLD NEW", "--for",
     "Make sure that NEW serves, then drain and remove OLD, and say what to change in "
     "DNS.",
     op_gateway_rotate},
    {"gateway render", "NAME", "--pf",
     "Print what NAME's network should look like, as text for nft, wg and ip, or for "
     "FreeBSD. Changes nothing.",
     op_gateway_render},
    {"run", "",
     "--dry-run --only --disable-mail --website-only --skip-dns-check --yes --packages",
     "Look at all nodes and name everything that is in the way there, before anything "
     "is changed; then bring store and gateways to what chatmail.ini says. May be "
     "repeated at any time: what is right already is left alone, what was interrupted "
     "goes on. A service that does not start with its new files gets its former ones "
     "back.",
     op_run},
    {"backup", "", "--mail --to",
     "Copy what the relay needs to live on into one file on this machine: accounts and "
     "all else in the database, every key, where each mailbox counts on, chatmail.ini; "
     "with --mail the messages. The store goes on meanwhile. The file is read back "
     "before it gets its name; it holds secrets and is not encrypted.",
     op_backup},
    {"restore", "FILE", "--ssh --overwrite --dry-run --skip-dns-check --yes --packages",
     "Set up a store from a file of chatops backup: the one in chatmail.ini, or the "
     "fresh "
     "machine that --ssh names. The file is checked to its end before anything is "
     "touched. Then as run; gateways, DNS and clients need no change. Without a "
     "chatmail.ini here it writes that of the backup. What was interrupted goes on "
     "with the same command.",
     op_restore},
    {"status", "", "--watch --every --all --no-probe --page",
     "Ask the store about itself and every gateway, and send a probe message in "
     "through each gateway and out through the next; what is broken is named by its "
     "hop. Exit 1 when something is wrong.",
     op_status},
    {"dns", "", "--zonefile --form --apply --server --key --dry-run --yes",
     "Compare the DNS records that the cluster needs with what every name server of "
     "the "
     "zone and the resolver show: missing, wrong, or not yet visible. Exit 1 when a "
     "required one is missing or wrong.",
     op_dns},
    {"test", "", "--gateway --second",
     "Check the relay from outside as its users and strangers meet it: logins at every "
     "port, what may be sent and what is refused, delivery, quota, web, port 25; a row "
     "for each check and public address. Makes three accounts and takes them away. "
     "Exit 1 when something is wrong.",
     op_test},
    {"bench", "", "--gateway --quick --save --baseline",
     "Time logins and messages through one public address as their clients see them, "
     "ten "
     "logins at once, and the memory of the store's services; compare them to an "
     "earlier "
     "run. Makes accounts and takes them away.",
     op_bench},
    {"log", "", "--node --unit --since --grep --follow --raw",
     "Show the journals of all nodes, merged by time. Mail addresses, IP addresses, "
     "names "
     "of clients and tokens are replaced by words that are the same for the same "
     "thing, "
     "and mean nothing the next time.",
     op_log},
    {"webdev", "", "--out --once",
     "Build the web pages on this machine and again whenever a source changes.",
     op_webdev},
    {"registrations open", "", "", "Let everyone have a new account; at once.",
     op_registrations_open},
    {"registrations closed", "", "",
     "Let nobody have a new account; at once. Who has one goes on as before.",
     op_registrations_closed},
    {"registrations invite", "", "--uses --days --count",
     "Let those with an invite token have a new account; at once. With one of the "
     "options: make invite tokens, and print them; they are shown only now.",
     op_registrations_invite},
    {"registrations revoke", "TOKEN|ID", "",
     "Take an invite token back. Accounts that were made with it stay.",
     op_registrations_revoke},
    {"registrations", "", "", "Show who gets a new account, and the invite tokens.",
     op_registrations},
    {"completion", "SHELL", "",
     "Print the completion of chatops for SHELL, which is bash; the package has it "
     "installed already.",
     op_completion},
    {"ban", "ADDRESS", "--for",
     "Let no gateway take anything for its public ports from ADDRESS (of IPv6: its "
     "/64) "
     "until the time is over.",
     op_ban},
    {"unban", "ADDRESS", "", "End a ban.", op_unban},
    {"bans", "", "--pf",
     "Show who is banned, for how long, and why; or the sources alone, for a table of "
     "pf. The store bans by itself who only ever guesses passwords, or floods it with "
     "new accounts.",
     op_bans},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- help ---- */

static void put_entry(struct cm_buf *b, const char *left, const char *text)
{
    cm_buf_fmt(b, "  %-*s", COLUMN - 2, left);
    if (strlen(left) + 3 > COLUMN) {
        cm_buf_fmt(b, "\n%*s", COLUMN, "");
    }
    op_wrap(b, text, COLUMN, COLUMN);
    cm_buf_str(b, "\n");
}

static void put_option(struct cm_buf *b, const struct op_option *o)
{
    char *left = cm_asprintf(
        "%s%s%s%s%s", o->letter != NULL ? o->letter : "", o->letter != NULL ? ", " : "",
        o->name, o->metavar != NULL ? " " : "", o->metavar != NULL ? o->metavar : "");
    put_entry(b, left, o->help);
    free(left);
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)) != NULL; p += n) {
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

static void put_verb(struct cm_buf *b, const struct op_verb *v)
{
    cm_buf_fmt(b, "usage: chatops %s%s%s [options]\n\n", v->name,
               v->args[0] != '\0' ? " " : "", v->args);
    op_wrap(b, v->help, 0, 0);
    cm_buf_str(b, "\n");
    cm_buf_str(b, "\noptions:\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common || has_word(v->options, o->name)) {
            put_option(b, o);
        }
    }
}

static void put_overview(struct cm_buf *b)
{
    cm_buf_str(b, "usage: chatops VERB [options]\n\n");
    op_wrap(b,
            "Sets up and looks after a chatmail relay whose gateways have the public "
            "addresses and whose store has the mail, from your own machine over SSH. "
            "chatmail.ini says what there shall be.",
            0, 0);
    cm_buf_str(b, "\n");
    cm_buf_str(b, "\nverbs:\n");
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        char *left = cm_asprintf("%s %s", v->name, v->args);
        put_entry(b, left, v->help);
        free(left);
    }
    cm_buf_str(b, "\noptions of every verb:\n");
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if (o->common) {
            put_option(b, o);
        }
    }
    cm_buf_str(b,
               "\nfirst steps:\n"
               "  chatops init chat.example.org --ssh root@192.168.1.20\n"
               "  chatops gateway add edge1 --ssh root@198.51.100.11\n"
               "  chatops dns\n"
               "\n\"chatops VERB --help\" explains a verb; chatops(1) explains all.\n"
               "Exit: 0 well, 1 failed or something is wrong, 2 usage, 130 "
               "interrupted.\n");
}

char *op_cli_help(const struct op_verb *verb)
{
    struct cm_buf b;

    cm_buf_init(&b, HELP_MAX);
    if (verb != NULL) {
        put_verb(&b, verb);
    } else {
        put_overview(&b);
    }
    return cm_buf_steal(&b);
}

/* ---- parsing ---- */

/* "gateway add" is two words of argv. Returns how many words the verb took, 0 for none.
 */
static int match_verb(const struct op_verb *v, int count, char **words)
{
    const char *blank = strchr(v->name, ' ');

    if (blank == NULL) {
        return strcmp(v->name, words[0]) == 0 ? 1 : 0;
    }
    size_t n = (size_t)(blank - v->name);
    bool first = strlen(words[0]) == n && strncmp(v->name, words[0], n) == 0;
    return first && count > 1 && strcmp(blank + 1, words[1]) == 0 ? 2 : 0;
}

static int unknown_verb(const char *word, struct cm_err *err)
{
    struct cm_buf b;

    cm_buf_init(&b, 1600);
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        cm_buf_fmt(&b, "%s%s", v == op_verbs ? "" : ", ", v->name);
    }
    cm_err_set(err, CM_ERR_REFUSE, "unknown verb \"%s\"; there are: %s", word, b.data);
    cm_buf_clear(&b);
    return -1;
}

static const struct op_option *find_option(const char *word, size_t len)
{
    for (const struct op_option *o = op_options; o->name != NULL; o++) {
        if ((strlen(o->name) == len && strncmp(o->name, word, len) == 0) ||
            (o->letter != NULL && strlen(o->letter) == len &&
             strncmp(o->letter, word, len) == 0)) {
            return o;
        }
    }
    return NULL;
}

/* Takes argv[*i] (and the next for a value). "--name=value" is understood too. */
static int take_option(struct op_cli *cli, const struct op_verb *verb, char **argv,
                       int *i, struct cm_err *err)
{
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const struct op_option *o = find_option(word, len);

    if (o == NULL ||
        !(o->common || (verb != NULL && has_word(verb->options, o->name)))) {
        return cm_err_set(err, CM_ERR_REFUSE,
                          "unknown option %s; see: chatops %s%s--help", word,
                          verb != NULL ? verb->name : "", verb != NULL ? " " : "");
    }
    char *field = (char *)cli + o->offset;
    if (o->metavar == NULL) {
        if (equals != NULL) {
            return cm_err_set(err, CM_ERR_REFUSE, "%s takes no value", o->name);
        }
        *(bool *)field = true;
        return 0;
    }
    const char *value = equals != NULL ? equals + 1 : argv[*i + 1];
    if (value == NULL || value[0] == '\0') {
        return cm_err_set(err, CM_ERR_REFUSE, "%s needs a value: %s %s", o->name,
                          o->name, o->metavar);
    }
    *i += equals == NULL;
    *(const char **)field = value;
    return 0;
}

/* "registrations sometimes": the first word is a verb, and begins others. */
static bool is_wrong_second(const struct op_verb *verb, int words, int count,
                            char **argv)
{
    size_t n = strlen(verb->name);

    if (words > 1 || count < 2 || argv[1][0] == '-' || verb->args[0] != '\0') {
        return false;
    }
    for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
        if (strncmp(v->name, verb->name, n) == 0 && v->name[n] == ' ') {
            return true;
        }
    }
    return false;
}

/* Options may stand before the verb; those with a value must not be taken for it. */
static int find_verb(int argc, char **argv, int *at_r, int *words_r,
                     const struct op_verb **verb_r, struct cm_err *err)
{
    *verb_r = NULL;
    *at_r = argc;
    *words_r = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            const struct op_option *o = find_option(argv[i], strlen(argv[i]));
            i += o != NULL && o->metavar != NULL;
            continue;
        }
        *at_r = i;
        for (const struct op_verb *v = op_verbs; v->name != NULL; v++) {
            *words_r = match_verb(v, argc - i, argv + i);
            if (*words_r > 0 && is_wrong_second(v, *words_r, argc - i, argv + i)) {
                return unknown_verb(argv[i + 1], err);
            }
            if (*words_r > 0) {
                *verb_r = v;
                return 0;
            }
        }
        return unknown_verb(argv[i], err);
    }
    return 0;
}

static int check_args(const struct op_cli *cli, const struct op_verb *verb,
                      struct cm_err *err)
{
    size_t wanted = verb->args[0] != '\0';

    for (const char *p = verb->args; (p = strchr(p, ' ')) != NULL; p++) {
        wanted++;
    }
    if (cli->help || cli->version || cli->arg_count == wanted) {
        return 0;
    }
    return cm_err_set(err, CM_ERR_REFUSE, "usage: chatops %s%s%s [options]", verb->name,
                      wanted > 0 ? " " : "", verb->args);
}

int op_cli_parse(int argc, char **argv, struct op_cli *cli_r,
                 const struct op_verb **verb_r, struct cm_err *err)
{
    struct op_cli cli = {.config = NULL};
    const struct op_verb *verb;
    int at, words;

    if (find_verb(argc, argv, &at, &words, &verb, err) != 0) {
        return -1;
    }
    for (int i = 1; i < argc; i++) {
        if (i == at) {
            i += words - 1;
        } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_option(&cli, verb, argv, &i, err) != 0) {
                return -1;
            }
        } else if (cli.arg_count == 2) {
            return cm_err_set(err, CM_ERR_REFUSE, "too many words: \"%s\"", argv[i]);
        } else {
            cli.args[cli.arg_count++] = argv[i];
        }
    }
    if (verb != NULL && check_args(&cli, verb, err) != 0) {
        return -1;
    }
    if (cli.config == NULL) {
        const char *env = getenv("CHATMAIL_INI");
        cli.config = env != NULL && env[0] != '\0' ? env : "chatmail.ini";
    }
    *cli_r = cli;
    *verb_r = verb;
    return 0;
}
