/* conf: chatmail.ini as one struct. The settings table in conf.c is the only list of
 * keys: it feeds defaults, checks, the generated file, `chatops` help and
 * docs/settings.md.
 *
 * [params] has every key of upstream's HEAD with upstream's default
 * (relay-spec.md 1.6). [store] and [gateway NAME] are ours. Sizes are MiB where
 * upstream's size grammar is used, bytes where the name says so. All strings are owned
 * by the struct; unset is NULL only where said, else "". */
#ifndef CM_CONF_H
#define CM_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum cm_tls_mode { CM_TLS_ACME, CM_TLS_SELF, CM_TLS_EXTERNAL };
enum cm_plane { CM_PLANE_AUTO, CM_PLANE_KERNEL, CM_PLANE_PROXY };
enum cm_egress { CM_EGRESS_DIRECT, CM_EGRESS_GATEWAYS, CM_EGRESS_ALL };
enum cm_registrations {
    CM_REGISTRATIONS_OPEN,
    CM_REGISTRATIONS_CLOSED,
    CM_REGISTRATIONS_INVITE
};
enum cm_transport { CM_TRANSPORT_CHATMAIL, CM_TRANSPORT_POSTFIX };
enum cm_mode { CM_MODE_ACTIVE, CM_MODE_DRAIN, CM_MODE_HOLD, CM_MODE_OFF };

#define CM_CONF_PATH "/etc/chatmail/chatmail.ini" /* on the store */

#define CM_TLS_DIR "/var/lib/chatmail-tls" /* chatmail-tls(8) */

#define CM_GATEWAYS_MAX  32 /* gateway numbers are 1..32 */
#define CM_ADDRESSES_MAX 8  /* public addresses of one gateway */

/* Added to a public port: where the store's listeners for PROXY v2 are, which are there
 * for a gateway with proxy_protocol = yes, at its tunnel. */
#define CM_HEADER_PORTS 12000

#define CM_TURN_PORT   3478                             /* UDP, what clients are told */
#define CM_TURN_SOCKET "/run/chatmail-turn/turn.socket" /* turn_socket_path unset */

struct cm_conf_gateway {
    char *name;     /* [gateway NAME]: a-z 0-9 -, at most 32 */
    char *ssh;      /* ssh = root@198.51.100.11, as given to ssh(1) */
    int64_t number; /* number = 1: names the tunnel; never reused for another gateway */
    char *addresses; /* addresses = 198.51.100.11 2001:db8:1::11: public, DNAT and DNS;
                      * required; in inet_ntop(3) spelling with one blank between */
    char *endpoint;  /* endpoint: where the store dials; default: first address */
    int64_t wg_port; /* wg_port = 51820 */
    enum cm_mode mode;        /* mode = active | drain | hold | off */
    bool egress;              /* egress = yes: the store's mail may leave here */
    int64_t egress_weight;    /* egress_weight = 100: its share of that mail; 0: only
                               * when no other is well */
    enum cm_plane data_plane; /* data_plane = auto | kernel | proxy */
    bool proxy_protocol;      /* proxy_protocol = no: its proxy cannot keep the clients'
                               * addresses, and names them by PROXY v2 */
    char *wg_public_key;      /* wg_public_key: where it cannot be read over ssh; "" */
    bool agent;             /* agent = yes: chatmail-gateway runs there, and reports */
    int64_t traffic_budget; /* bytes in a month; 0: none */
    unsigned line;          /* of the section header, for messages */
};

struct cm_conf_store {
    char *ssh;             /* ssh = root@10.9.0.2; "" means: this machine */
    char *addresses;       /* public addresses of a store without gateways; "" else */
    enum cm_egress egress; /* egress = gateways | direct | all; default gateways when
                            * one has egress = yes, else direct; gateways and all are
                            * refused when none has */
    enum cm_transport transport; /* transport = chatmail | postfix: who brings mail
                                  * to other relays */
    int64_t bus_port;            /* bus_port = 4710: PUB; +1 REP; +2 PULL */
    int64_t metrics_port; /* metrics_port = 3903: on loopback and in the tunnels */
    enum cm_registrations registrations; /* registrations = open | closed | invite */
    int64_t creations_per_net; /* new accounts in an hour from one /24 or /48, and */
    int64_t creations_per_gateway;     /* through one gateway; 0: no limit */
    int64_t source_rate, source_burst; /* new connections of one source: per second, at
                                        * once; rate 0: no limit */
    int64_t stranger_rate;             /* of all strangers together; 0: no limit */
    char *notification_url;            /* where chatmail-push posts device tokens */
    char *acme_directory;              /* of the CA that certificates come from */
    bool turn;                         /* turn = yes: relay calls with coturn */
    int64_t turn_port_min, turn_port_max; /* relay range, UDP, max >= min */
    char *echo_core;  /* deltachat-rpc-server on the operator's machine; "": no echo */
    char *dns_server; /* ADDRESS[@PORT] that takes updates; "": none */
    char *dns_key;    /* key file on the operator's machine */
    bool dns_follow;  /* dns_follow = yes: the store changes addresses by itself */
    int64_t dns_settle; /* seconds */
};

struct cm_conf {
    /* [params], in the order of relay-spec.md 1.6 */
    char *mail_domain;
    int64_t max_user_send_per_minute;
    int64_t max_user_send_burst_size;
    char *max_mailbox_size;   /* the text as written; see max_mailbox_size_mib */
    int64_t max_message_size; /* bytes */
    char *delete_mails_after; /* days, text as upstream */
    char *delete_large_after;
    int64_t delete_inactive_users_after;
    int64_t username_min_length;
    int64_t username_max_length;
    int64_t password_min_length;
    double max_load_1m;
    char *min_available_memory;
    char *min_free_disk_space;
    int64_t max_imap_connections;
    int64_t max_smtp_connections;
    char *tls_external_cert_and_key;
    char *www_folder;
    bool disable_ipv6;
    char *acme_email;
    char *iroh_relay; /* NULL when unset */
    char *turn_socket_path;
    char *mtail_address; /* NULL when unset */
    bool imap_rawlog;
    bool imap_compress;
    char *privacy_postal; /* the four are NULL when unset or empty */
    char *privacy_mail;
    char *privacy_pdo;
    char *privacy_supervisor;
    int64_t filtermail_smtp_port;
    int64_t filtermail_smtp_port_incoming;
    int64_t filtermail_http_port_incoming;
    int64_t filtermail_lmtp_port_transport;
    int64_t postfix_reinject_port;
    int64_t postfix_reinject_port_incoming;
    char *filtermail_host;
    char *postfix_host;
    char *mailboxes_dir;
    char *passdb_path;

    struct cm_conf_store store;
    struct cm_conf_gateway *gateways; /* sorted by number */
    size_t gateway_count;

    /* Derived. */
    char *domain; /* effective: mail_domain, or "[1.2.3.4]" */
    char *myhostname;
    bool is_ip; /* mail_domain is an IPv4 address */
    enum cm_tls_mode tls_mode;
    char *tls_cert; /* where it comes from, as upstream names it */
    char *tls_key;
    char *tls_use_cert; /* what daemons read; another with tls_external_cert_and_key */
    char *tls_use_key;
    int64_t max_mailbox_size_mib;
    int64_t min_available_memory_mib;
    int64_t min_free_disk_space_mib;

    /* Keys that mean nothing to us, "section: key (line N)", for a warning; with ", did
     * you mean KEY?" behind it when a known key is near. So is a true-or-false key of
     * [params] that says neither: only "true" is true there, as upstream reads it. */
    char **unused;
    size_t unused_count;
};

/* Parses text. An error names "NAME:LINE: [section] key: what is wrong; what is
 * allowed". Unknown keys are not an error: they are collected in unused. An unknown
 * section is. */
CM_MUSTUSE int cm_conf_parse(const char *name, const char *text, size_t len,
                             struct cm_conf *conf_r, struct cm_err *err);
/* Reads and parses; a missing file says to run "chatops init DOMAIN". */
CM_MUSTUSE int cm_conf_load(const char *path, struct cm_conf *conf_r,
                            struct cm_err *err);
/* The same into a conf that is all zero or holds what was read before, which stays as
 * it is when this fails, else is cleared. */
CM_MUSTUSE int cm_conf_reload(const char *path, struct cm_conf *conf,
                              struct cm_err *err);
/* All zero afterwards, and nothing to do when it was. */
void cm_conf_clear(struct cm_conf *conf);

/* The text of a fresh chatmail.ini for DOMAIN: mail_domain and the privacy keys live,
 * all others as comments with their defaults. Caller frees. */
char *cm_conf_default_text(const char *domain);

/* One line per setting for docs/settings.md and help. Caller frees. */
char *cm_conf_reference(void);

/* The words of an address list, split at blanks. Returns the count; at most max. */
size_t cm_conf_words(const char *text, char words[][64], size_t max);

/* Value parsers, one per type, shared with command lines. The error says what is wrong
 * and what is allowed ("too small; allowed: 1 to 64"); the caller puts the place in
 * front with cm_err_prefix(). A domain is of small letters, digits and hyphens, with a
 * dot or a leading underscore at least, or an IPv4 address. */
CM_MUSTUSE int cm_value_int(const char *text, int64_t min, int64_t max, int64_t *out,
                            struct cm_err *err);
CM_MUSTUSE int cm_value_size_mib(const char *text, int64_t *mib, struct cm_err *err);
/* "1 TB", "500GB": decimal, with an i binary; "0". */
CM_MUSTUSE int cm_value_bytes(const char *text, int64_t *bytes, struct cm_err *err);
/* "90", "90s", "15m", "2h", "7d": at least one second. */
CM_MUSTUSE int cm_value_seconds(const char *text, int64_t max_s, int64_t *seconds,
                                struct cm_err *err);
CM_MUSTUSE int cm_value_domain(const char *text, struct cm_err *err);
bool cm_value_is_ipv4(const char *text);
bool cm_value_is_ipv6(const char *text);
/* A WireGuard key as wg(8) writes it: 44 characters of base64. */
bool cm_value_is_key(const char *text);

const char *cm_mode_name(enum cm_mode mode);
const char *cm_egress_name(enum cm_egress egress);
const char *cm_plane_name(enum cm_plane plane);
const char *cm_registrations_name(enum cm_registrations registrations);
CM_MUSTUSE int cm_mode_parse(const char *text, enum cm_mode *out, struct cm_err *err);

#endif
