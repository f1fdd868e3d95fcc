#include "docs_table.h"

#include <stddef.h>

#define KEY "6JcBjWhZfP3n5Ag0eVt8Gf2R4vB1mH7yQxZLkT9sDUI="
/* Ctrl-C after that many seconds. */
#define UNTIL(s, words) "timeout --foreground --preserve-status -s INT " s " " words

/* In node operator, in the folder of chatmail.ini. `on ADDRESS ...` is ssh; `bare`
 * makes edge2 a fresh machine. The relay, its store and edge3's machine have other
 * names here. A row stands on those before it: what is removed must come again. */
const struct docs_command docs_commands[] = {
    {"chatops init chat.example.org --ssh root@192.168.1.20",
     "rm -rf ../newcomer && mkdir ../newcomer && cd ../newcomer &&"
     " chatops init _chat.example --ssh root@10.9.0.2",
     "next: chatops gateway add", false},
    {"chatops gateway add edge1 --ssh root@198.51.100.11", NULL,
     "edge1 is part of the cluster", true},
    {"chatops gateway add edge2 --ssh root@203.0.113.12", NULL,
     "edge2 is part of the cluster", true},
    {"chatops dns", NULL, "All your DNS entries are verified", false},
    {"chatops dns --form", NULL, "_dmarc", false},
    {"chatops dns --zonefile -", NULL, " IN MX ", false},

    {"chatops status", NULL, "all is well", false},
    {"chatops status --all --no-probe", NULL, "chatmail-auth.service", false},
    {"chatops status --watch", UNTIL("8", "chatops status --watch"), "all is well",
     true},
    {"chatops status --page",
     UNTIL("8", "chatops status --page") " & for i in $(seq 60); do sleep 0.1;"
                                         " page 7903 && break; done; wait $!",
     "<svg", true},
    {"ssh -N -L localhost:7903:/run/chatmail-monitor/page.sock root@STORE",
     "timeout 5 ssh $opts -N -L localhost:7904:/run/chatmail-monitor/page.sock"
     " root@10.9.0.2 & for i in $(seq 40); do sleep 0.1;"
     " page 7904 && break; done; wait $! ||"
     " true",
     "<svg", true},
    {"ssh STORE touch /var/lib/portico/last-backup",
     "on 10.9.0.2 touch /var/lib/portico/last-backup && chatops status --no-probe &&"
     " on 10.9.0.2 rm /var/lib/portico/last-backup",
     "backup", true},

    {"chatops backup", "chatops backup && rm backup-*.tar", "without mail", false},
    {"chatops backup --mail", "chatops backup --mail && rm backup-*.tar",
     "with their mail", true},
    {"chatops backup --to /media/stick/relay.tar",
     "chatops backup --to /run/relay.tar && rm /run/relay.tar", "/run/relay.tar", true},

    {"chatops restore backup-chat.example.org-2026-11-27-0310.tar --ssh "
     "root@192.168.1.21 --dry-run",
     "chatops backup --to /run/relay.tar && chatops restore /run/relay.tar"
     " --overwrite --dry-run && rm /run/relay.tar",
     "nothing was touched", true},
    {"chatops run --dry-run", NULL, "nothing to change", false},
    {"chatops run", NULL, "nothing to change", true},
    {"chatops run --only edge1", NULL, "(", true},
    {"chatops run --only store", NULL, "(", true},
    {"chatops run --website-only", NULL, "(", true},
    {"chatops run --disable-mail", NULL, "mail is switched off", true},
    {"chatops run", NULL, "is up", true},

    {"chatops gateway list", NULL, "edge2", false},
    {"chatops gateway list --json", NULL, "\"applied_epoch\"", false},
    {"chatops gateway render edge1", NULL, "table inet chatmail", false},
    {"chatops gateway render edge1 --pf", NULL, "pf.conf", false},
    {"chatops gateway drain edge1", NULL, "edge1 is drained", true},
    {"chatops gateway resume edge1", NULL, "edge1", true},
    {"chatops gateway off edge1", NULL, "edge1", true},
    {"chatops gateway resume edge1", NULL, "edge1", true},
    {"chatops gateway hold edge1", NULL, "edge1", true},
    {"chatops gateway resume edge1", NULL, "edge1", true},

    {"chatops gateway add edge9 --wg-key KEY --addresses"
     " \"203.0.113.19 2001:db8:2::19\"",
     "chatops gateway add edge9 --wg-key " KEY
     " --addresses '203.0.113.19 2001:db8:2::19'",
     "chatops gateway render edge9 --pf", true},
    {"chatops gateway render edge9 --pf", NULL, "pf.conf", true},
    {NULL, "chatops gateway remove edge9 --force --for 0", "edge9", true},

    {"chatops gateway remove edge2", NULL, "delete these DNS records", true},
    {"chatops gateway invite edge3", "chatops gateway invite edge3 | tee /run/invite",
     "edge3 is invited", true},
    {NULL, "bare && grep '^t=' /run/invite | on 203.0.113.12 sh", "fingerprint", true},
    {"chatops gateway list", NULL, "fingerprint", true},
    {"chatops gateway accept edge3", /* it asks whether the fingerprint is the same */
     "echo y | script -qec 'chatops gateway accept edge3' /dev/null",
     "edge3 is part of the cluster", true},
    {NULL, "chatops gateway remove edge3 --for 0", "edge3", true},
    {"chatops gateway invite edge3 --for 7d --cloud-init > user-data",
     "chatops gateway invite edge3 --for 7d --cloud-init > /run/user-data &&"
     " head -n 1 /run/user-data",
     "#cloud-config", true},
    {"chatops gateway reject edge3", NULL, "is void", true},
    {"chatops gateway add edge3 --ssh root@203.0.113.14",
     "bare && chatops gateway add edge3 --ssh root@203.0.113.12",
     "edge3 is part of the cluster", true},
    {"chatops gateway rotate edge1 edge3", NULL, "edge1", true},
    {NULL, "cp chatmail.ini.docs chatmail.ini && chatops run --yes", "is up", true},

    {"chatops ban 203.0.113.7 --for 2h", NULL, "on all gateways", false},
    {"chatops bans", NULL, "203.0.113.7", false},
    {"chatops bans --pf | ssh root@203.0.113.19 pfctl -q -t chatmail_banned -T replace"
     " -f -",
     "chatops bans --pf", "203.0.113.7", false},
    {"chatops unban 203.0.113.7", NULL, "on all gateways", false},

    {"chatops test", NULL, "0 wrong", true},
    {"chatops test --gateway edge1", NULL, "0 wrong", true},
    {"chatops test --second relay.example.net --json",
     "chatops test --second _relay2.example --json", "\"ok\":true", true},
    {"chatops bench --save before.json", "chatops bench --save /run/before.json",
     "login_10_at_once", true},
    {"chatops bench --baseline before.json",
     "chatops bench --baseline /run/before.json", "x\n", true},

    {"chatops backup", "rm -f backup-*.tar; chatops backup && rm backup-*.tar",
     "backup-_chat.example-", true},
    {"chatops backup --mail", "chatops backup --mail --to /run/mail.tar",
     "/run/mail.tar", true},
    {"chatops backup --to /media/stick/relay.tar", "chatops backup --to /run/relay.tar",
     "/run/relay.tar", true},
    {"chatops restore backup-chat.example.org-2026-11-27-0310.tar --ssh"
     " root@192.168.1.21 --dry-run",
     "chatops restore /run/relay.tar --ssh root@10.9.0.2 --overwrite --dry-run", NULL,
     true},
    {"chatops restore backup-chat.example.org-2026-11-27-0310.tar --overwrite",
     "chatops restore /run/relay.tar --overwrite --yes && rm /run/mail.tar "
     "/run/relay.tar",
     "_chat.example", true},

    {"chatops log", "chatops log >/run/whole.log && grep -m 1 ' store ' /run/whole.log",
     "store", false},
    {"chatops log --since 2h --unit 'postfix*' --grep 'status=deferred'", NULL, NULL,
     false},
    {"chatops log --node edge1 --follow",
     UNTIL("4", "chatops log --node edge1 --follow"), NULL, false},

    {"chatops registrations", NULL, "registrations open", false},
    {"chatops registrations invite", NULL, "registrations invite", false},
    {"chatops registrations invite --uses 1 --days 7 --count 10", NULL,
     "the password of a new account begins with", false},
    {"chatops registrations invite --uses 1 --days 3 --count 10", NULL,
     "the password of a new account begins with", true},
    {NULL, "chatops registrations open", "registrations open", false},

    {"ssh STORE systemctl reload chatmail-filter-out chatmail-filter-sign",
     "on 10.9.0.2 systemctl reload chatmail-filter-out chatmail-filter-sign", NULL,
     false},
    {NULL, NULL, NULL, false},
};

const struct docs_elsewhere docs_elsewhere[] = {
    {"sudo ./demo", "is what deploys the lab, by build/deploy"},
    {"sudo ./check", "is what runs the tests"},
    {"cmake -G Ninja -S . -B build && ninja -C build packages",
     "make_packages of tools/front.sh, for each ./check and ./demo"},
    {"sudo apt install ./build/packages/portico-chatops_*.deb",
     "build/deploy, by apt in node operator"},
    {"tools/arm64 build", "./check arm64"},
    {"./check unit", "is what runs the tests"},
    {"./check tree", "is what runs the tests"},
    {"./check fuzz", "is what runs the tests"},
    {"./check net", "is what runs the tests"},
    {"./check web", "is what runs the tests"},
    {"./check lab", "is what runs the tests"},
    {"./check arm64", "is what runs the tests"},
    {"./bench road", "./bench, after ./check lab"},
    {"./bench filter", "./bench, after ./check lab"},
    {"./bench edge", "./bench"},
    {"./bench store", "./bench"},
    {"ssh root@198.51.100.11 reboot", "scenario reboot"},
    {"chatops restore backup-chat.example.org-2026-11-27-0310.tar --ssh "
     "root@192.168.1.21",
     "scenario restore"},
    {"chatops dns --apply --dry-run", "scenario dns_apply"},
    {"chatops dns --apply", "scenario dns_apply"},
    {NULL, NULL},
};
