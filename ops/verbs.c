/* The verbs and options of chatops, as every user of cli.h sees them. */
#include "cli.h"

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
     "write a fresh chatmail.ini; look at the store",
     "Write a fresh chatmail.ini for DOMAIN. With --ssh, which is how the store is "
     "reached: pin its host key, name everything that is in the way there, and make "
     "the "
     "cluster key on it. Without, the store is this machine.",
     op_init},
    {"gateway add", "NAME",
     "--ssh --addresses --number --wg-key --no-run --yes --packages",
     "make a machine a gateway, and measure it",
     "Make a machine gateway NAME, over SSH: look at it, append it to chatmail.ini, "
     "set it up, let it serve, and print what was measured: the address that the "
     "store saw, added latency, open ports, MTU, and the DNS records to publish. What "
     "was interrupted goes on with the same command. Of a gateway that joined by an "
     "invite: adopt it, with the key it has, so that run updates it too.",
     op_gateway_add},
    {"gateway invite", "NAME", "--for --cloud-init --number --packages",
     "print a line for the console of a new machine",
     "Print one line to paste into the console of a fresh machine, which then waits to "
     "be gateway NAME: it needs no SSH from here. It comes to the store through a "
     "gateway that serves, so the first one needs gateway add.",
     op_gateway_invite},
    {"gateway accept", "NAME", "--addresses --yes --packages",
     "let in the machine that waits as NAME",
     "Make the machine that waits as NAME a gateway, once its console shows the same "
     "fingerprint; then as gateway add.",
     op_gateway_accept},
    {"gateway reject", "NAME", "", "take the invite of NAME back",
     "Take the invite of NAME back, whoever has it.", op_gateway_reject},
    {"gateway list", "", "", "all gateways: mode, state, version, addresses",
     "List all gateways: mode, state, epoch applied and wanted, weight, version, "
     "addresses; and those that wait to be accepted.",
     op_gateway_list},
    {"gateway drain", "NAME", "--for --force",
     "refuse new connections, let the others end",
     "Let NAME refuse new connections, wait until the present ones have ended, and cut "
     "the rest: it may then be rebooted, and nobody notices.",
     op_gateway_drain},
    {"gateway resume", "NAME", "", "take connections again",
     "Let NAME take connections again.", op_gateway_resume},
    {"gateway hold", "NAME", "", "let new connections wait without an answer",
     "Let NAME leave new connections without an answer, so that clients wait; present "
     "ones go on.",
     op_gateway_hold},
    {"gateway off", "NAME", "--force", "refuse new and present connections alike",
     "Let NAME refuse new and present connections alike.", op_gateway_off},
    {"gateway remove", "NAME", "--for --force",
     "drain it, and take it out of the cluster",
     "Drain NAME, take it out of the cluster and of chatmail.ini, and say which DNS "
     "records to delete. Works though NAME is lost. Its number is never given again.",
     op_gateway_remove},
    {"gateway rotate", "OLD NEW", "--for", "let NEW serve, then drain and remove OLD",
     "Make sure that NEW serves, then drain and remove OLD, and say what to change in "
     "DNS.",
     op_gateway_rotate},
    {"gateway render", "NAME", "--pf", "print its network as text for nft, wg, ip, pf",
     "Print what NAME's network should look like, as text for nft, wg and ip, or for "
     "FreeBSD. Changes nothing.",
     op_gateway_render},
    {"run", "",
     "--dry-run --only --disable-mail --website-only --skip-dns-check --yes --packages",
     "bring all nodes to what chatmail.ini says",
     "Look at all nodes and name everything that is in the way there, before anything "
     "is changed; then bring store and gateways to what chatmail.ini says. May be "
     "repeated at any time: what is right already is left alone, what was interrupted "
     "goes on. A service that does not start with its new files gets its former ones "
     "back.",
     op_run},
    {"backup", "", "--mail --to", "copy what the relay needs into one file here",
     "Copy what the relay needs to live on into one file on this machine: accounts and "
     "all else in the database, every key, where each mailbox counts on, chatmail.ini; "
     "with --mail the messages. The store goes on meanwhile. The file is read back "
     "before it gets its name; it holds secrets and is not encrypted.",
     op_backup},
    {"restore", "FILE", "--ssh --overwrite --dry-run --skip-dns-check --yes --packages",
     "set up a store from such a file",
     "Set up a store from a file of chatops backup: the one in chatmail.ini, or the "
     "fresh "
     "machine that --ssh names. The file is checked to its end before anything is "
     "touched. Then as run; gateways, DNS and clients need no change. Without a "
     "chatmail.ini here it writes that of the backup. What was interrupted goes on "
     "with the same command.",
     op_restore},
    {"status", "", "--watch --every --all --no-probe --page",
     "is all well, and if not, where is it",
     "Ask the store about itself and every gateway, and send a probe message in "
     "through each gateway and out through the next; what is broken is named by its "
     "hop. Exit 1 when something is wrong.",
     op_status},
    {"dns", "", "--zonefile --form --apply --server --key --dry-run --yes",
     "the records to publish, and what is missing",
     "Compare the DNS records that the cluster needs with what every name server of "
     "the "
     "zone and the resolver show: missing, wrong, or not yet visible. Exit 1 when a "
     "required one is missing or wrong.",
     op_dns},
    {"test", "", "--gateway --second", "check the relay from outside, as users meet it",
     "Check the relay from outside as its users and strangers meet it: logins at every "
     "port, what may be sent and what is refused, delivery, quota, web, port 25; a row "
     "for each check and public address. Makes three accounts and takes them away. "
     "Exit 1 when something is wrong.",
     op_test},
    {"bench", "", "--gateway --quick --save --baseline",
     "time logins and messages; compare to earlier",
     "Time logins and messages through one public address as their clients see them, "
     "ten "
     "logins at once, and the memory of the store's services; compare them to an "
     "earlier "
     "run. Makes accounts and takes them away.",
     op_bench},
    {"log", "", "--node --unit --since --grep --follow --raw",
     "the journals of all nodes, merged and blanked",
     "Show the journals of all nodes, merged by time. Mail addresses, IP addresses, "
     "names "
     "of clients and tokens are replaced by words that are the same for the same "
     "thing, "
     "and mean nothing the next time.",
     op_log},
    {"webdev", "", "--out --once", "build the web pages here, at each change",
     "Build the web pages on this machine and again whenever a source changes.",
     op_webdev},
    {"registrations open", "", "", "let everyone have a new account",
     "Let everyone have a new account; at once.", op_registrations_open},
    {"registrations closed", "", "", "let nobody have a new account",
     "Let nobody have a new account; at once. Who has one goes on as before.",
     op_registrations_closed},
    {"registrations invite", "", "--uses --days --count",
     "new accounts by invite; make invite tokens",
     "Let those with an invite token have a new account; at once. With one of the "
     "options: make invite tokens, and print them; they are shown only now.",
     op_registrations_invite},
    {"registrations revoke", "TOKEN|ID", "", "take an invite token back",
     "Take an invite token back. Accounts that were made with it stay.",
     op_registrations_revoke},
    {"registrations", "", "", "who gets a new account, and the tokens",
     "Show who gets a new account, and the invite tokens.", op_registrations},
    {"completion", "SHELL", "", "print the completion for bash",
     "Print the completion of chatops for SHELL, which is bash; the package has it "
     "installed already.",
     op_completion},
    {"ban", "ADDRESS", "--for", "let no gateway take anything from ADDRESS",
     "Let no gateway take anything for its public ports from ADDRESS (of IPv6: its "
     "/64) "
     "until the time is over.",
     op_ban},
    {"unban", "ADDRESS", "", "end a ban", "End a ban.", op_unban},
    {"bans", "", "--pf", "who is banned, for how long, and why",
     "Show who is banned, for how long, and why; or the sources alone, for a table of "
     "pf. The store bans by itself who only ever guesses passwords, or floods it with "
     "new accounts.",
     op_bans},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
