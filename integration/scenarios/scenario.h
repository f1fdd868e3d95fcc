/* scenario: the table of what `scenario` plays. One entry shows one promise.
 *
 * `run` returns 0 when the promise held, else -1 with what was seen instead. It runs in
 * a process of its own, which is killed after limit_s. `restore` (may be NULL) puts
 * back what `run` may have left broken, however it ended; it is called with all nodes
 * up, also when there is nothing to put back. Neither relies on any other scenario. */
#ifndef SCENARIOS_SCENARIO_H
#define SCENARIOS_SCENARIO_H

#include "common/err.h"

#include "stage.h"

struct scenario {
    const char *name;
    const char *shows;
    int (*run)(struct stage *stage, struct cm_err *err);
    int (*restore)(struct stage *stage, struct cm_err *err);
    int limit_s;
};

extern const struct scenario scenarios[]; /* ended by name == NULL */
/* Those that are too long for "all"; ended by NULL. */
extern const char *const scenarios_by_name[];

int scenario_login_rules(struct stage *stage, struct cm_err *err);
int scenario_client_addresses(struct stage *stage, struct cm_err *err);
int scenario_create_race(struct stage *stage, struct cm_err *err);
int scenario_kill_daemons(struct stage *stage, struct cm_err *err);
int scenario_kill_storm(struct stage *stage, struct cm_err *err);
int scenario_storm_over(struct stage *stage, struct cm_err *err);
int scenario_dns_apply(struct stage *stage, struct cm_err *err);
int scenario_dns_follow(struct stage *stage, struct cm_err *err);
int scenario_dns_follow_off(struct stage *stage, struct cm_err *err);
int scenario_dns_variants(struct stage *stage, struct cm_err *err);
int scenario_dns_variants_back(struct stage *stage, struct cm_err *err);
int scenario_push(struct stage *stage, struct cm_err *err);
int scenario_push_back(struct stage *stage, struct cm_err *err);
int scenario_expire(struct stage *stage, struct cm_err *err);
int scenario_filter(struct stage *stage, struct cm_err *err);
int scenario_filter_back(struct stage *stage, struct cm_err *err);
int scenario_auth_unable(struct stage *stage, struct cm_err *err);
int scenario_auth_able(struct stage *stage, struct cm_err *err);
int scenario_postgres_away(struct stage *stage, struct cm_err *err);
int scenario_postgres_back(struct stage *stage, struct cm_err *err);
int scenario_edge_power_cut(struct stage *stage, struct cm_err *err);
int scenario_edge_power_cut_proxy(struct stage *stage, struct cm_err *err);
int scenario_edge_power_back(struct stage *stage, struct cm_err *err);
int scenario_egress_failover(struct stage *stage, struct cm_err *err);
int scenario_tampered_document(struct stage *stage, struct cm_err *err);
int scenario_document_back(struct stage *stage, struct cm_err *err);
int scenario_run_twice(struct stage *stage, struct cm_err *err);
int scenario_ini_typo(struct stage *stage, struct cm_err *err);
int scenario_run_killed(struct stage *stage, struct cm_err *err);
int scenario_ini_back(struct stage *stage, struct cm_err *err);
/* The cluster's chatmail.ini is kept for scenario_ini_back; then so many SMTP
 * connections are written into it. */
int scenario_ini_keep(struct stage *stage, struct cm_err *err);
int scenario_ini_connections(struct stage *stage, int value, struct cm_err *err);
int scenario_ssh_dropped(struct stage *stage, struct cm_err *err);
int scenario_ssh_dropped_each(struct stage *stage, struct cm_err *err);
int scenario_preflight(struct stage *stage, struct cm_err *err);
int scenario_preflight_back(struct stage *stage, struct cm_err *err);
int scenario_hand_edited(struct stage *stage, struct cm_err *err);
int scenario_hand_edited_back(struct stage *stage, struct cm_err *err);
int scenario_taken_back(struct stage *stage, struct cm_err *err);
int scenario_taken_back_over(struct stage *stage, struct cm_err *err);
int scenario_mail_off(struct stage *stage, struct cm_err *err);
int scenario_mail_on(struct stage *stage, struct cm_err *err);
int scenario_chat_cluster(struct stage *stage, struct cm_err *err);
int scenario_chat_relay2(struct stage *stage, struct cm_err *err);
int scenario_tunnel_restart(struct stage *stage, struct cm_err *err);
int scenario_upgrade(struct stage *stage, struct cm_err *err);
int scenario_upgrade_back(struct stage *stage, struct cm_err *err);
int scenario_home_address_change(struct stage *stage, struct cm_err *err);
int scenario_home_address_back(struct stage *stage, struct cm_err *err);
int scenario_metadata(struct stage *stage, struct cm_err *err);
int scenario_turn(struct stage *stage, struct cm_err *err);
int scenario_echo(struct stage *stage, struct cm_err *err);
int scenario_echo_off(struct stage *stage, struct cm_err *err);
int scenario_open_relay(struct stage *stage, struct cm_err *err);
int scenario_gateway_honest(struct stage *stage, struct cm_err *err);
int scenario_stolen_gateway(struct stage *stage, struct cm_err *err);
int scenario_idle_sweep(struct stage *stage, struct cm_err *err);
int scenario_dovecot_upgrade(struct stage *stage, struct cm_err *err);
int scenario_dovecot_plugins_back(struct stage *stage, struct cm_err *err);
int scenario_web(struct stage *stage, struct cm_err *err);
int scenario_web_back(struct stage *stage, struct cm_err *err);
int scenario_clock_hour(struct stage *stage, struct cm_err *err);
int scenario_clock_right(struct stage *stage, struct cm_err *err);
int scenario_clock_step(struct stage *stage, struct cm_err *err);
int scenario_clock_stepped_back(struct stage *stage, struct cm_err *err);
int scenario_disk_full(struct stage *stage, struct cm_err *err);
int scenario_large_disk(struct stage *stage, struct cm_err *err);
int scenario_delivered_once(struct stage *stage, struct cm_err *err);
int scenario_quota(struct stage *stage, struct cm_err *err);
int scenario_sandbox(struct stage *stage, struct cm_err *err);
int scenario_transport(struct stage *stage, struct cm_err *err);
int scenario_transport_open(struct stage *stage, struct cm_err *err);
int scenario_bad_epoch(struct stage *stage, struct cm_err *err);
int scenario_bad_epoch_back(struct stage *stage, struct cm_err *err);
int scenario_gateway_silent(struct stage *stage, struct cm_err *err);
int scenario_proxy_header(struct stage *stage, struct cm_err *err);
int scenario_header_back(struct stage *stage, struct cm_err *err);
int scenario_proxy_plane(struct stage *stage, struct cm_err *err);
int scenario_proxy_back(struct stage *stage, struct cm_err *err);
int scenario_registrations(struct stage *stage, struct cm_err *err);
int scenario_registrations_open(struct stage *stage, struct cm_err *err);
int scenario_enrol(struct stage *stage, struct cm_err *err);
int scenario_enrol_back(struct stage *stage, struct cm_err *err);
int scenario_filter_storm(struct stage *stage, struct cm_err *err);
int scenario_filter_kill(struct stage *stage, struct cm_err *err);
int scenario_filter_alive(struct stage *stage, struct cm_err *err);
int scenario_big_messages(struct stage *stage, struct cm_err *err);
int scenario_dkim_dns(struct stage *stage, struct cm_err *err);
int scenario_dkim_dns_well(struct stage *stage, struct cm_err *err);
int scenario_group(struct stage *stage, struct cm_err *err);
int scenario_wrong_certificate(struct stage *stage, struct cm_err *err);
int scenario_wrong_certificate_back(struct stage *stage, struct cm_err *err);
int scenario_own_certificate(struct stage *stage, struct cm_err *err);
int scenario_own_certificate_back(struct stage *stage, struct cm_err *err);
int scenario_acme(struct stage *stage, struct cm_err *err);
int scenario_acme_back(struct stage *stage, struct cm_err *err);
int scenario_reboot(struct stage *stage, struct cm_err *err);
int scenario_drain(struct stage *stage, struct cm_err *err);
int scenario_modes(struct stage *stage, struct cm_err *err);
int scenario_modes_back(struct stage *stage, struct cm_err *err);
int scenario_unreachable(struct stage *stage, struct cm_err *err);
int scenario_unreachable_back(struct stage *stage, struct cm_err *err);
int scenario_rotate(struct stage *stage, struct cm_err *err);
int scenario_status_hops(struct stage *stage, struct cm_err *err);
int scenario_status_hops_back(struct stage *stage, struct cm_err *err);
int scenario_rotate_back(struct stage *stage, struct cm_err *err);
int scenario_partition(struct stage *stage, struct cm_err *err);
int scenario_partition_over(struct stage *stage, struct cm_err *err);
int scenario_mtu(struct stage *stage, struct cm_err *err);
int scenario_mtu_back(struct stage *stage, struct cm_err *err);
int scenario_slow_tunnel(struct stage *stage, struct cm_err *err);
int scenario_slow_tunnel_over(struct stage *stage, struct cm_err *err);
int scenario_conntrack_full(struct stage *stage, struct cm_err *err);
int scenario_conntrack_room(struct stage *stage, struct cm_err *err);
int scenario_idle_nat(struct stage *stage, struct cm_err *err);
int scenario_idle_half_hour(struct stage *stage, struct cm_err *err);
int scenario_idle_nat_over(struct stage *stage, struct cm_err *err);
int scenario_reboot_orders(struct stage *stage, struct cm_err *err);
int scenario_reboot_orders_back(struct stage *stage, struct cm_err *err);
int scenario_many_clients(struct stage *stage, struct cm_err *err);
int scenario_many_clients_back(struct stage *stage, struct cm_err *err);
int scenario_ban(struct stage *stage, struct cm_err *err);
int scenario_operator_verbs(struct stage *stage, struct cm_err *err);
int scenario_operator_verbs_back(struct stage *stage, struct cm_err *err);
int scenario_docs_commands(struct stage *stage, struct cm_err *err);
int scenario_docs_commands_back(struct stage *stage, struct cm_err *err);
int scenario_unban(struct stage *stage, struct cm_err *err);
int scenario_restore(struct stage *stage, struct cm_err *err);
int scenario_restore_back(struct stage *stage, struct cm_err *err);

#endif
