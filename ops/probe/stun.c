#include "stun.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "common/mem.h"

#define HEADER    20
#define SHA1_SIZE 20
#define MD5_SIZE  16

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static size_t get16(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static size_t padded(size_t len)
{
    return (len + 3) / 4 * 4;
}

/* ---- writing ---- */

void stun_begin(struct stun *m, unsigned type)
{
    memset(m, 0, sizeof *m);
    put16(m->data, type);
    memcpy(m->data + 4, cookie, sizeof cookie);
    cm_assert(RAND_bytes(m->data + 8, STUN_ID_SIZE) == 1);
    m->len = HEADER;
}

void stun_add(struct stun *m, unsigned attribute, const void *data, size_t len)
{
    cm_assert(m->len + 4 + padded(len) <= STUN_MAX);
    put16(m->data + m->len, attribute);
    put16(m->data + m->len + 2, len);
    memset(m->data + m->len + 4, 0, padded(len));
    memcpy(m->data + m->len + 4, data, len);
    m->len += 4 + padded(len);
    put16(m->data + 2, m->len - HEADER);
}

void stun_add_number(struct stun *m, unsigned attribute, uint32_t value)
{
    uint32_t wire = htonl(value);
    stun_add(m, attribute, &wire, sizeof wire);
}

/* Addresses are masked with cookie and transaction id, 16 bytes from offset 4 on. */
static void mask(uint8_t *value, size_t len, const struct stun *m)
{
    for (size_t i = 0; i < len; i++) {
        value[i] ^= m->data[4 + i];
    }
}

void stun_add_address(struct stun *m, unsigned attribute,
                      const struct sockaddr_storage *address)
{
    uint8_t value[20] = {0};
    bool v6 = address->ss_family == AF_INET6;
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    value[1] = v6 ? 2 : 1;
    memcpy(value + 2, v6 ? &in6->sin6_port : &in->sin_port, 2);
    memcpy(value + 4, v6 ? (const void *)&in6->sin6_addr : &in->sin_addr, v6 ? 16 : 4);
    mask(value + 2, 2, m);
    mask(value + 4, v6 ? 16 : 4, m);
    stun_add(m, attribute, value, v6 ? 20 : 8);
}

void stun_sign(struct stun *m, const char *user, const char *realm,
               const char *password)
{
    uint8_t key[MD5_SIZE], mac[SHA1_SIZE];
    unsigned len = 0;
    char *text = cm_asprintf("%s:%s:%s", user, realm, password);
    cm_assert(EVP_Digest(text, strlen(text), key, NULL, EVP_md5(), NULL) == 1);
    free(text);
    /* The length that is signed counts the signature. */
    put16(m->data + 2, m->len - HEADER + 4 + SHA1_SIZE);
    cm_assert(HMAC(EVP_sha1(), key, MD5_SIZE, m->data, m->len, mac, &len) != NULL);
    stun_add(m, STUN_INTEGRITY, mac, len);
}

/* ---- reading ---- */

bool stun_check(struct stun *m, size_t len)
{
    m->len = len;
    if (len < HEADER || len > STUN_MAX || get16(m->data + 2) + HEADER != len ||
        memcmp(m->data + 4, cookie, sizeof cookie) != 0) {
        return false;
    }
    size_t at = HEADER;
    while (at + 4 <= len) {
        at += 4 + padded(get16(m->data + at + 2));
    }
    return at == len;
}

unsigned stun_type(const struct stun *m)
{
    return (unsigned)get16(m->data);
}

bool stun_answers(const struct stun *m, const struct stun *request)
{
    return (stun_type(m) & ~STUN_CLASSES) == stun_type(request) &&
           (stun_type(m) & STUN_OK) != 0 &&
           memcmp(m->data + 8, request->data + 8, STUN_ID_SIZE) == 0;
}

const uint8_t *stun_find(const struct stun *m, unsigned attribute, size_t *len_r)
{
    for (size_t at = HEADER; at + 4 <= m->len;
         at += 4 + padded(get16(m->data + at + 2))) {
        if (get16(m->data + at) == attribute) {
            *len_r = get16(m->data + at + 2);
            return m->data + at + 4;
        }
    }
    return NULL;
}

void stun_text(const struct stun *m, unsigned attribute, char *out, size_t size)
{
    size_t len = 0;
    const uint8_t *value = stun_find(m, attribute, &len);
    len = len < size - 1 ? len : size - 1;
    if (value != NULL) {
        memcpy(out, value, len);
    }
    out[value != NULL ? len : 0] = '\0';
}

bool stun_address(const struct stun *m, unsigned attribute,
                  struct sockaddr_storage *address_r)
{
    size_t len = 0;
    const uint8_t *found = stun_find(m, attribute, &len);
    if (found == NULL || (len != 8 && len != 20) || found[1] != (len == 20 ? 2 : 1)) {
        return false;
    }
    uint8_t value[20];
    bool v6 = len == 20;
    struct sockaddr_in *in = (void *)address_r;
    struct sockaddr_in6 *in6 = (void *)address_r;
    memcpy(value, found, len);
    mask(value + 2, 2, m);
    mask(value + 4, len - 4, m);
    memset(address_r, 0, sizeof *address_r);
    address_r->ss_family = v6 ? AF_INET6 : AF_INET;
    memcpy(v6 ? &in6->sin6_port : &in->sin_port, value + 2, 2);
    memcpy(v6 ? (void *)&in6->sin6_addr : &in->sin_addr, value + 4, len - 4);
    return true;
}

int stun_error(const struct stun *m)
{
    size_t len = 0;
    const uint8_t *value = stun_find(m, STUN_ERROR_CODE, &len);
    return value == NULL || len < 4 ? 0 : (value[2] & 7) * 100 + value[3];
}
