/* blind: what stands for an address in logs and in Redis: the first 16 hex digits of
 * SHA-256 of it. An operator who looks for one address can compute it; a log does not
 * name anybody. */
#ifndef FILTER_BLIND_H
#define FILTER_BLIND_H

#define BLIND_SIZE 17

/* addr: lower-case. */
void blind(const char *addr, char out[BLIND_SIZE]);

#endif
