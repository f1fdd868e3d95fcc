#include "conf_setting.h"

#define PORT_MIN  1
#define PORT_MAX  65535
#define DAYS_MAX  36500
#define BUS_PORTS 3 /* PUB, REP, PULL lie beside each other */

#define P(field) offsetof(struct cm_conf, field)
#define G(field) offsetof(struct cm_conf_gateway, field)

/* clang-format off */
const struct cm_setting cm_settings[] = {
    {"params", "mail_domain", &cm_type_domain, P(mail_domain), NULL, 0, 0,
     "The domain of this relay, the part behind the @. A name that begins with _ or an "
     "IPv4 address gets a self-signed certificate.", CM_INI_LIVE},

    {"params", "max_user_send_per_minute", &cm_type_int, P(max_user_send_per_minute),
     "60", 1, 1000000, "Messages one user may send in a minute.", CM_INI_COMMENT},
    {"params", "max_user_send_burst_size", &cm_type_int, P(max_user_send_burst_size),
     "10", 1, 1000000, "Messages one user may send at once before the rate counts.",
     CM_INI_COMMENT},
    {"params", "max_mailbox_size", &cm_type_size, P(max_mailbox_size), "500M", 0, 0,
     "Quota of a mailbox; from three quarters on the oldest messages are removed.",
     CM_INI_COMMENT},
    {"params", "max_message_size", &cm_type_int, P(max_message_size),
     "31457280", 1, 2147483647,
     "Largest message, in bytes.", CM_INI_COMMENT},
    {"params", "delete_mails_after", &cm_type_days, P(delete_mails_after),
     "20", 0, DAYS_MAX,
     "Messages are removed after so many days, read or not.", CM_INI_COMMENT},
    {"params", "delete_large_after", &cm_type_days, P(delete_large_after),
     "7", 0, DAYS_MAX,
     "Messages over 200 kB are removed after so many days.", CM_INI_COMMENT},
    {"params", "delete_inactive_users_after", &cm_type_int,
     P(delete_inactive_users_after), "90", 1, DAYS_MAX,
     "An account without login or fetched mail for so many days goes with its mail.",
     CM_INI_COMMENT},
    {"params", "username_min_length", &cm_type_int, P(username_min_length), "9", 1, 64,
     "Shortest user name of a new account.", CM_INI_COMMENT},
    {"params", "username_max_length", &cm_type_int, P(username_max_length), "9", 1, 64,
     "Longest user name of a new account.", CM_INI_COMMENT},
    {"params", "password_min_length", &cm_type_int, P(password_min_length), "9", 1, 128,
     "Shortest password of a new account, in characters.", CM_INI_COMMENT},
    {"params", "max_load_1m", &cm_type_load, P(max_load_1m), "5", 0, 0,
     "Above this load (average of one minute) no account is created.", CM_INI_COMMENT},
    {"params", "min_available_memory", &cm_type_size, P(min_available_memory),
     "200M", 0, 0,
     "Below so much available memory no account is created.", CM_INI_COMMENT},
    {"params", "min_free_disk_space", &cm_type_size, P(min_free_disk_space), "1G", 0, 0,
     "Below so much free space for mail no account is created.", CM_INI_COMMENT},
    {"params", "max_imap_connections", &cm_type_int, P(max_imap_connections),
     "10000", 1, 1000000,
     "IMAP connections at the same time.", CM_INI_COMMENT},
    {"params", "max_smtp_connections", &cm_type_int, P(max_smtp_connections),
     "1000", 1, 1000000,
     "SMTP connections at the same time on each port; one client address gets "
     "a fifth.", CM_INI_COMMENT},
    {"params", "tls_external_cert_and_key", &cm_type_two_paths,
     P(tls_external_cert_and_key), "", 0, 0,
     "Certificate chain and key that something else renews, two paths on the store.",
     CM_INI_COMMENT},
    {"params", "www_folder", &cm_type_text, P(www_folder), "", 0, 0,
     "Sources of your own web pages; a folder that does not exist, such as disabled, "
     "means no pages.", CM_INI_COMMENT},
    {"params", "disable_ipv6", &cm_type_true, P(disable_ipv6), "false", 0, 0,
     "Do not use IPv6.", CM_INI_COMMENT},
    {"params", "acme_email", &cm_type_text, P(acme_email), "", 0, 0,
     "Where the certificate authority may write to.", CM_INI_COMMENT},
    {"params", "iroh_relay", &cm_type_text_null, P(iroh_relay), NULL, 0, 0,
     "URL of an iroh relay for clients to use. Unset or empty: none is offered.",
     CM_INI_COMMENT},
    {"params", "turn_socket_path", &cm_type_path, P(turn_socket_path),
     CM_TURN_SOCKET, 0, 0,
     "Another socket than this one: where another TURN server gives credentials.",
     CM_INI_COMMENT},
    {"params", "mtail_address", &cm_type_host_null, P(mtail_address), NULL, 0, 0,
     "Address on which counters are offered to a monitoring system. Unset: off.",
     CM_INI_COMMENT},
    {"params", "imap_rawlog", &cm_type_true, P(imap_rawlog), "false", 0, 0,
     "Write down everything said over IMAP, for debugging only: it holds private data.",
     CM_INI_COMMENT},
    {"params", "imap_compress", &cm_type_true, P(imap_compress), "false", 0, 0,
     "Offer COMPRESS to IMAP clients; each then costs more memory.", CM_INI_COMMENT},
    {"params", "privacy_postal", &cm_type_prose, P(privacy_postal), NULL, 0, 0,
     "Postal address of the operator, for the privacy page.", CM_INI_LIVE},
    {"params", "privacy_mail", &cm_type_prose, P(privacy_mail), NULL, 0, 0,
     "Mail address of the operator, for the privacy page and for clients.",
     CM_INI_LIVE},
    {"params", "privacy_pdo", &cm_type_prose, P(privacy_pdo), NULL, 0, 0,
     "Postal address of the data protection officer.", CM_INI_LIVE},
    {"params", "privacy_supervisor", &cm_type_prose, P(privacy_supervisor), NULL, 0, 0,
     "Postal address of the data protection authority.", CM_INI_LIVE},

    {"params", "filtermail_smtp_port", &cm_type_int, P(filtermail_smtp_port), "10080",
     PORT_MIN, PORT_MAX, "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "filtermail_smtp_port_incoming", &cm_type_int,
     P(filtermail_smtp_port_incoming), "10081", PORT_MIN, PORT_MAX,
     "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "filtermail_http_port_incoming", &cm_type_int,
     P(filtermail_http_port_incoming), "10082", PORT_MIN, PORT_MAX,
     "Port on loopback for mail that comes over HTTPS.", CM_INI_HIDDEN},
    {"params", "filtermail_lmtp_port_transport", &cm_type_int,
     P(filtermail_lmtp_port_transport), "10083", PORT_MIN, PORT_MAX,
     "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "postfix_reinject_port", &cm_type_int, P(postfix_reinject_port), "10025",
     PORT_MIN, PORT_MAX, "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "postfix_reinject_port_incoming", &cm_type_int,
     P(postfix_reinject_port_incoming), "10026", PORT_MIN, PORT_MAX,
     "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "filtermail_host", &cm_type_host, P(filtermail_host), "127.0.0.1", 0, 0,
     "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "postfix_host", &cm_type_host, P(postfix_host), "127.0.0.1", 0, 0,
     "Read for upstream's sake.", CM_INI_HIDDEN},
    {"params", "mailboxes_dir", &cm_type_path, P(mailboxes_dir),
     "/home/vmail/mail/<mail_domain>", 0, 0, "Where the mailboxes lie.", CM_INI_HIDDEN},
    {"params", "passdb_path", &cm_type_path, P(passdb_path),
     "/home/vmail/passdb.sqlite", 0, 0,
     "Read for upstream's sake: nothing uses it yet.", CM_INI_HIDDEN},

    {"store", "ssh", &cm_type_ssh, P(store.ssh), "", 0, 0,
     "How to reach the store, as in root@10.9.0.2. Empty: it is this machine.",
     CM_INI_COMMENT},
    {"store", "addresses", &cm_type_addresses, P(store.addresses), "", 0, 0,
     "Public addresses of a store that has no gateways.", CM_INI_COMMENT},
    {"store", "egress", &cm_type_egress, P(store.egress), "direct", 0, 0,
     "How mail leaves: direct, through gateways, or all packets through gateways. "
     "Unset: gateways as soon as one has egress = yes.", CM_INI_COMMENT},
    {"store", "transport", &cm_type_transport, P(store.transport), "chatmail", 0, 0,
     "Who brings mail to other relays: chatmail (HTTPS, else SMTP) or postfix (SMTP "
     "only).", CM_INI_COMMENT},
    {"store", "bus_port", &cm_type_int, P(store.bus_port), "4710", 1024,
     PORT_MAX - BUS_PORTS + 1,
     "First of three ports between store and gateways, inside the tunnels.",
     CM_INI_COMMENT},
    {"store", "metrics_port", &cm_type_int, P(store.metrics_port), "3903", 1024,
     PORT_MAX, "TCP port of /metrics, on loopback and inside the tunnels only.",
     CM_INI_COMMENT},
    {"store", "registrations", &cm_type_registrations, P(store.registrations), "open",
     0, 0, "Who gets a new account: open, everyone; closed, nobody; invite, who has an "
     "invite token.", CM_INI_COMMENT},
    {"store", "creations_per_net", &cm_type_int, P(store.creations_per_net), "600", 0,
     1000000, "New accounts in an hour from one network (IPv4 /24, IPv6 /48); 0: no "
     "limit.", CM_INI_COMMENT},
    {"store", "creations_per_gateway", &cm_type_int, P(store.creations_per_gateway),
     "6000", 0, 1000000, "New accounts in an hour through one gateway; 0: no limit.",
     CM_INI_COMMENT},
    {"store", "source_rate", &cm_type_int, P(store.source_rate), "100", 0, 100000,
     "New TCP connections a second from one source (an IPv4 address, an IPv6 /64), on each "
     "gateway, once source_burst is used up; 0: no limit. A thousand phones behind one "
     "address of a mobile network need about three each, all at once when another gateway "
     "has gone: the burst is for them, the rate refills it within a minute.",
     CM_INI_COMMENT},
    {"store", "source_burst", &cm_type_int, P(store.source_burst), "4000", 1, 1000000,
     "New TCP connections from one source at once, before source_rate counts.",
     CM_INI_COMMENT},
    {"store", "stranger_rate", &cm_type_int, P(store.stranger_rate), "500", 0, 100000,
     "New TCP connections a second, on each gateway, from all sources together that never "
     "finished a handshake there; sixteen times as many at once; 0: no limit. It keeps a "
     "flood with invented sources from the store; who was there within twelve hours is "
     "not counted.", CM_INI_COMMENT},
    {"store", "acme_directory", &cm_type_url, P(store.acme_directory),
     "https://acme-v02.api.letsencrypt.org/directory", 0, 0,
     "Directory of the certificate authority (RFC 8555) that gives the certificate.",
     CM_INI_COMMENT},
    {"store", "notification_url", &cm_type_url, P(store.notification_url),
     "https://notifications.delta.chat/notify", 0, 0,
     "Where phones are woken up; gets a device token and nothing else.",
     CM_INI_COMMENT},
    {"store", "turn", &cm_type_yesno, P(store.turn), "yes", 0, 0,
     "Relay calls between phones that cannot reach each other.", CM_INI_COMMENT},
    {"store", "turn_port_min", &cm_type_int, P(store.turn_port_min), "49160", 1024,
     PORT_MAX, "First UDP port of calls; the gateways forward the range.",
     CM_INI_COMMENT},
    {"store", "turn_port_max", &cm_type_int, P(store.turn_port_max), "49359", 1024,
     PORT_MAX, "Last UDP port of calls.", CM_INI_COMMENT},
    {"store", "echo_core", &cm_type_path, P(store.echo_core), "", 0, 0,
     "The file deltachat-rpc-server on this machine, for the store's CPU; with it the "
     "relay has a bot that echoes. Empty: no bot.", CM_INI_COMMENT},
    {"store", "dns_server", &cm_type_text, P(store.dns_server), "", 0, 0,
     "Primary name server that takes changes (RFC 2136), ADDRESS or ADDRESS@PORT: for "
     "chatops dns --apply, and for dns_follow. It may be hidden.", CM_INI_COMMENT},
    {"store", "dns_key", &cm_type_path, P(store.dns_key), "", 0, 0,
     "File on this machine with the key (TSIG) for it, as tsig-keygen writes it, mode 0600.",
     CM_INI_COMMENT},
    {"store", "dns_follow", &cm_type_yesno, P(store.dns_follow), "no", 0, 0,
     "Whether the store takes the addresses of a gateway that is drained, off or lost out "
     "of DNS, and puts them back. The key is copied to the store.", CM_INI_COMMENT},
    {"store", "dns_settle", &cm_type_int, P(store.dns_settle), "60", 1, 3600,
     "Seconds that a gateway is lost before its addresses leave DNS, and well before they "
     "come back.", CM_INI_COMMENT},

    {"gateway", "ssh", &cm_type_ssh, G(ssh), "", 0, 0,
     "How to reach the gateway, as in root@198.51.100.11. Empty: it was enrolled by an "
     "invite, or is set up by hand.",
     CM_INI_COMMENT},
    {"gateway", "number", &cm_type_int, G(number), NULL, 1, CM_GATEWAYS_MAX,
     "Names its tunnel; never given to another gateway later.", CM_INI_COMMENT},
    {"gateway", "addresses", &cm_type_addresses, G(addresses), NULL, 0, 0,
     "Its public addresses, for DNS and for clients.", CM_INI_COMMENT},
    {"gateway", "endpoint", &cm_type_host, G(endpoint), "", 0, 0,
     "Where the store dials. Empty: the first of its addresses.", CM_INI_COMMENT},
    {"gateway", "wg_port", &cm_type_int, G(wg_port), "51820", PORT_MIN, PORT_MAX,
     "UDP port of its tunnel.", CM_INI_COMMENT},
    {"gateway", "mode", &cm_type_mode, G(mode), "active", 0, 0,
     "active serves; drain lets connections finish; hold lets new ones wait; off.",
     CM_INI_COMMENT},
    {"gateway", "egress", &cm_type_yesno, G(egress), "yes", 0, 0,
     "Whether the store's mail may leave here.", CM_INI_COMMENT},
    {"gateway", "egress_weight", &cm_type_int, G(egress_weight), "100", 0, 1000,
     "Its share of that mail, beside the weights of the others; 0: only when no other "
     "gateway is well.",
     CM_INI_COMMENT},
    {"gateway", "data_plane", &cm_type_plane, G(data_plane), "auto", 0, 0,
     "What moves the bytes: kernel, by address translation; proxy, which ends TCP on the "
     "gateway; auto, what docs/data-planes.md found better.",
     CM_INI_COMMENT},

    {"gateway", "proxy_protocol", &cm_type_yesno, G(proxy_protocol), "no", 0, 0,
     "yes: the proxy there cannot connect from the clients' addresses and says them by "
     "PROXY v2, to listeners of the store's for this tunnel alone. Only with data_plane = "
     "proxy or agent = no.",
     CM_INI_COMMENT},

    {"gateway", "traffic_budget", &cm_type_bytes, G(traffic_budget), "0", 0, 0,
     "Bytes in a month (UTC), in and out together, as the provider counts them; 0: no "
     "budget. chatops status warns from 80 % on; beyond it mail leaves by the other "
     "gateways. A provider that counts one direction only: twice its figure.",
     CM_INI_COMMENT},

    {"gateway", "wg_public_key", &cm_type_key, G(wg_public_key), "", 0, 0,
     "Public key of its tunnel, where chatops cannot read it from the machine: without "
     "ssh, or without agent.", CM_INI_COMMENT},
    {"gateway", "agent", &cm_type_yesno, G(agent), "yes", 0, 0,
     "Whether chatmail-gateway runs there. no: it is set up by hand, as by \"chatops "
     "gateway render NAME --pf\" for FreeBSD, and does not report.", CM_INI_COMMENT},

    {NULL, NULL, NULL, 0, NULL, 0, 0, NULL, CM_INI_HIDDEN},
};
/* clang-format on */
