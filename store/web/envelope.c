#include "envelope.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define SMALL_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define LOCAL_LETTERS SMALL_LETTERS "!#$%&'*+-/=?^_`{|}~."
#define NAME_LETTERS  SMALL_LETTERS "-_."
#define IP_LETTERS    "abcdef0123456789:."

void envelope_init(struct envelope *e)
{
    *e = (struct envelope){.count = 0};
}

void envelope_clear(struct envelope *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->to[i]);
    }
    free(e->to);
    envelope_init(e);
}

/* [192.0.2.1] or [ipv6:2001:db8::1] */
static bool is_literal(const char *domain)
{
    const char *ip = domain + 1;
    if (strncmp(ip, "ipv6:", 5) == 0) {
        ip += 5;
    }
    size_t n = strspn(ip, IP_LETTERS);
    return n > 0 && strcmp(ip + n, "]") == 0;
}

static bool is_domain(const char *domain)
{
    if (domain[0] == '[') {
        return is_literal(domain);
    }
    return domain[0] != '\0' && domain[0] != '.' && domain[0] != '-' &&
           domain[strspn(domain, NAME_LETTERS)] == '\0' &&
           strstr(domain, "..") == NULL && domain[strlen(domain) - 1] != '.';
}

static bool is_address(const char *address)
{
    size_t local = strspn(address, LOCAL_LETTERS);
    return local > 0 && address[local] == '@' && is_domain(address + local + 1);
}

/* The value without brackets, in small letters. */
static int take(const char *value, bool may_be_empty,
                char out[ENVELOPE_ADDRESS_MAX + 1], struct cm_err *err)
{
    const char *text = value;
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '<' && text[len - 1] == '>') {
        text++;
        len -= 2;
    }
    char address[ENVELOPE_ADDRESS_MAX + 1] = "";
    for (size_t i = 0; i < len && len <= ENVELOPE_ADDRESS_MAX; i++) {
        bool capital = text[i] >= 'A' && text[i] <= 'Z';
        address[i] = (char)(capital ? text[i] + ('a' - 'A') : text[i]);
    }
    if (!(len == 0 && may_be_empty) && !is_address(address)) {
        return cm_err_set(err, CM_ERR_REFUSE, "553 Invalid email address: %.254s",
                          value);
    }
    memcpy(out, address, sizeof(address));
    return 0;
}

int envelope_from(struct envelope *e, const char *value, struct cm_err *err)
{
    if (e->has_from) {
        return cm_err_set(err, CM_ERR_REFUSE, "503 More than one sender");
    }
    if (take(value, true, e->from, err) != 0) {
        return -1;
    }
    e->has_from = true;
    return 0;
}

int envelope_to(struct envelope *e, const char *value, struct cm_err *err)
{
    char address[ENVELOPE_ADDRESS_MAX + 1];
    if (e->count == ENVELOPE_RECIPIENTS_MAX) {
        return cm_err_set(err, CM_ERR_RETRY, "452 4.5.3 Too many recipients");
    }
    if (take(value, false, address, err) != 0) {
        return -1;
    }
    e->to = cm_realloc_array(e->to, e->count + 1, sizeof(*e->to));
    e->to[e->count++] = cm_strdup(address);
    return 0;
}
