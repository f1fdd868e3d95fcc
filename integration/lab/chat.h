/* chat: the real chat core, deltachat-rpc-server, as its npm package ships it. */
#ifndef LAB_CHAT_H
#define LAB_CHAT_H

#include "common/err.h"

#include "state.h"

/* Installs the npm package below DIR/npm unless it is there. */
CM_MUSTUSE int chat_ready(struct lab *lab, struct cm_err *err);
/* Path of the binary on this machine, NULL when it is not installed. Caller frees. */
char *chat_client_path(struct lab *lab);

#endif
