/* scene: the deployed lab as the measurements and scenarios see it: who is where, how
 * to look into a node, test accounts, real clients placed in nodes.
 *
 * One scene per thread. Commands are shell text, run by root in the node. */
#ifndef SCENE_SCENE_H
#define SCENE_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chat/chat.h"
#include "common/err.h"
#include "lab/lab.h"
#include "probe/wire.h"

#define SCENE_DOMAIN    "_chat.example"
#define SCENE_RELAY2    "_relay2.example"
#define SCENE_STORE_LAN "10.9.0.2"
#define SCENE_HOME_PUBLIC                                                              \
    "198.51.100.90" /* the home router's; mail must not show it                        \
                     */
#define SCENE_RELAY2_IP "203.0.113.25"

struct scene_gateway {
    const char *name;
    int number;
    const char *v4;
    const char *v6;
};
extern const struct scene_gateway scene_gateways[]; /* ended by name == NULL */

/* How many addresses the gateways have together, and each of them in turn. */
#define SCENE_GATEWAY_ADDRESSES 4
const char *scene_gateway_address(size_t i);
bool scene_is_gateway_address(const char *address);

struct scene {
    struct lab *lab;
};

/* Fails when the lab is not up, with what to run. */
CM_MUSTUSE int scene_open(struct scene *scene, struct cm_err *err);
void scene_close(struct scene *scene);

/* --- inside nodes --- */

/* A non-zero exit is an error. out_r may be NULL; else caller frees. 0 s means 60. */
CM_MUSTUSE int scene_sh(struct scene *scene, const char *node, int timeout_s,
                        char **out_r, struct cm_err *err, const char *fmt, ...)
    CM_PRINTF(6, 7);
/* The same for the operator's progress: each line it prints is shown, indented, while
 * it runs. */
CM_MUSTUSE int scene_show(struct scene *scene, const char *node, int timeout_s,
                          const char *command, struct cm_err *err);
/* Repeats the command twice a second until it exits 0. */
CM_MUSTUSE int scene_until(struct scene *scene, const char *node, int timeout_s,
                           struct cm_err *err, const char *fmt, ...) CM_PRINTF(5, 6);

struct scene_mark {
    int64_t since_us; /* just after the newest entry of the node's journal, its clock */
};
CM_MUSTUSE int scene_mark(struct scene *scene, const char *node,
                          struct scene_mark *mark, struct cm_err *err);
/* Messages since the mark, one a line. args: more of journalctl's, such as "-u
 * x.service";
 * "" for none. Caller frees. */
CM_MUSTUSE int scene_journal(struct scene *scene, const char *node,
                             const struct scene_mark *mark, const char *args,
                             char **text_r, struct cm_err *err);

/* The node's network namespace, for wire_to.netns. path: 64 bytes. */
CM_MUSTUSE int scene_netns(struct scene *scene, const char *node, char path[64],
                           struct cm_err *err);

/* --- mail accounts --- */

struct scene_account {
    char addr[96];
    char password[32];
};
/* A name nobody has used. Nothing exists before the first login. */
void scene_new_account(struct scene_account *account, const char *domain);
/* Logs in once by IMAP over that address, from node client, so that mail has a place.
 */
CM_MUSTUSE int scene_create(struct scene *scene, const struct scene_account *account,
                            const char *host, struct cm_err *err);

/* --- real clients --- */

/* A core process in node "client" or "operator". */
struct chat_client *scene_chat(struct scene *scene, const char *node,
                               struct cm_err *err);
/* A fresh account of `domain` in it. host as in chat_login_uri. */
CM_MUSTUSE int scene_chat_account(struct chat_client *client, const char *domain,
                                  const char *host, struct chat_end *end_r,
                                  struct cm_err *err);

/* Waits until a gateway answers on 993, from node client. */
CM_MUSTUSE int scene_wait_gateway(struct scene *scene, const struct scene_gateway *gw,
                                  int timeout_s, struct cm_err *err);

#endif
