/* stun: messages of STUN and TURN (RFC 8489, RFC 8656), as bytes. Private to this
 * directory. */
#ifndef PROBE_STUN_H
#define PROBE_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define STUN_MAX     1500 /* bytes of a message */
#define STUN_ID_SIZE 12

enum stun_type {
    STUN_ALLOCATE = 0x0003,
    STUN_REFRESH = 0x0004,
    STUN_PERMIT = 0x0008,
    STUN_SEND = 0x0016,
    STUN_DATA = 0x0017,
};
#define STUN_OK      0x0100
#define STUN_ERROR   0x0110
#define STUN_CLASSES 0x0110

enum stun_attribute {
    STUN_USERNAME = 0x0006,
    STUN_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_LIFETIME = 0x000d,
    STUN_PEER = 0x0012,
    STUN_PAYLOAD = 0x0013,
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    STUN_RELAYED = 0x0016,
    STUN_FAMILY = 0x0017,
    STUN_TRANSPORT = 0x0019,
    STUN_SOFTWARE = 0x8022,
};

struct stun {
    uint8_t data[STUN_MAX];
    size_t len;
};

/* An empty message with a new transaction id. */
void stun_begin(struct stun *m, unsigned type);
/* Asserts that there is room. */
void stun_add(struct stun *m, unsigned attribute, const void *data, size_t len);
void stun_add_number(struct stun *m, unsigned attribute, uint32_t value);
void stun_add_address(struct stun *m, unsigned attribute,
                      const struct sockaddr_storage *address);
/* Signs all that is there with MD5(user:realm:password); nothing may follow. */
void stun_sign(struct stun *m, const char *user, const char *realm,
               const char *password);

/* Checks header and lengths of len bytes in m->data. */
bool stun_check(struct stun *m, size_t len);
unsigned stun_type(const struct stun *m);
bool stun_answers(const struct stun *m, const struct stun *request);
/* NULL when absent; valid while m is. */
const uint8_t *stun_find(const struct stun *m, unsigned attribute, size_t *len_r);
/* The attribute's text, cut to size; "" when absent. */
void stun_text(const struct stun *m, unsigned attribute, char *out, size_t size);
/* XOR-...-ADDRESS. false when absent or malformed. */
bool stun_address(const struct stun *m, unsigned attribute,
                  struct sockaddr_storage *address_r);
/* 0 when absent. */
int stun_error(const struct stun *m);

#endif
