/* ctl: `chatmail-cluster ctl VERB ...`, the client of the control socket. Each returns
 * the exit status and writes to stdout and stderr. */
#ifndef CTL_H
#define CTL_H

/* words: what follows "ctl", ended by NULL. */
int ctl_main(const char *socket_path, char *const *words);

#endif
