#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "accept.h"
#include "common/mem.h"
#include "common/sign.h"

static char secret[CM_SIGN_KEY_TEXT];
static struct gw_boot boot = {.name = "edge1",
                              .number = 1,
                              .wg_port = 51820,
                              .bus_port = 4710,
                              .store_wg_key =
                                  "U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk="};
static struct px_state taken;

static int make_key(void **unused)
{
    (void)unused;
    struct cm_err err;
    return cm_sign_keygen(secret, boot.cluster_key, &err);
}

/* A signed document of that epoch for that domain, with gateway edge1 as `number`. */
static char *sealed(int epoch, const char *domain, const char *name, int number)
{
    struct px_state state;
    struct cm_err err;
    gw_boot_state(&boot, &state);
    state.epoch = epoch;
    strcpy(state.domain, domain);
    struct px_gateway *gw = &state.gateways[0];
    strcpy(gw->name, name);
    gw->number = number;
    strcpy(gw->addresses[0], "198.51.100.11");
    gw->address_count = 1;
    strcpy(gw->endpoint, "198.51.100.11");
    strcpy(gw->wg_public_key, "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk=");
    char *document = px_state_dump(&state), *envelope;
    assert_int_equal(px_envelope_seal(secret, document, &envelope, &err), 0);
    free(document);
    return envelope;
}

static enum gw_verdict offer(const struct gw_force *force, char *envelope, size_t len,
                             const char *reason)
{
    struct cm_err err = {0};
    enum gw_verdict verdict = gw_accept(&boot, force, envelope, len, &taken, &err);
    if (reason != NULL && strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", err.text, reason);
    }
    free(envelope);
    return verdict;
}

static enum gw_verdict offer_epoch(const struct gw_force *force, int epoch,
                                   const char *reason)
{
    char *envelope = sealed(epoch, "a.example", "edge1", 1);
    return offer(force, envelope, strlen(envelope), reason);
}

static void epochs(void **unused)
{
    (void)unused;
    char *five = sealed(5, "a.example", "edge1", 1);
    struct gw_force nothing = {0, NULL, 0, ""};
    struct gw_force restarted = {5, NULL, 0, ""};
    struct gw_force running = {5, five, strlen(five), "a.example"};
    assert_int_equal(offer_epoch(&nothing, 1, NULL), GW_TAKE);
    assert_int_equal(taken.epoch, 1);
    assert_int_equal(offer_epoch(&nothing, 0, "draft"), GW_REFUSE);
    assert_int_equal(offer_epoch(&restarted, 4, "epoch 4 is older than epoch 5"),
                     GW_REFUSE);
    assert_int_equal(offer_epoch(&restarted, 5, NULL), GW_TAKE);
    assert_int_equal(offer_epoch(&running, 5, NULL), GW_SAME);
    assert_int_equal(offer_epoch(&running, 4, "older"), GW_REFUSE);
    assert_int_equal(offer_epoch(&running, 6, NULL), GW_TAKE);
    /* The same number over other words. */
    five[strlen(five) - 1] = ' ';
    char *other = sealed(5, "a.example", "edge1", 1);
    assert_int_equal(offer(&running, other, strlen(other), "a second time"), GW_REFUSE);
    free(five);
}

static void not_for_us(void **unused)
{
    (void)unused;
    struct gw_force running = {5, "x", 1, "a.example"};
    char *e = sealed(6, "b.example", "edge1", 1);
    assert_int_equal(offer(&running, e, strlen(e), "b.example"), GW_REFUSE);
    e = sealed(6, "a.example", "edge2", 1);
    assert_int_equal(offer(&running, e, strlen(e), "edge1 is not in it"), GW_REFUSE);
    e = sealed(6, "a.example", "edge1", 2);
    assert_int_equal(offer(&running, e, strlen(e), "number 2 in it, here 1"),
                     GW_REFUSE);
}

static void forged(void **unused)
{
    (void)unused;
    struct gw_force nothing = {0, NULL, 0, ""};
    char *e = sealed(6, "a.example", "edge1", 1);
    e[strlen(e) - 5] ^= 1;
    taken.epoch = 77;
    assert_int_equal(offer(&nothing, e, strlen(e), NULL), GW_REFUSE);
    assert_int_equal(taken.epoch, 77);
    e = sealed(6, "a.example", "edge1", 1);
    assert_int_equal(offer(&nothing, e, 40, "not an envelope"), GW_REFUSE);
    /* Signed by somebody, not by our cluster. */
    char ours[CM_SIGN_KEY_TEXT], public_key[CM_SIGN_KEY_TEXT];
    struct cm_err err;
    memcpy(ours, secret, sizeof(ours));
    assert_int_equal(cm_sign_keygen(secret, public_key, &err), 0);
    e = sealed(6, "a.example", "edge1", 1);
    memcpy(secret, ours, sizeof(ours));
    assert_int_equal(offer(&nothing, e, strlen(e), NULL), GW_REFUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epochs),
        cmocka_unit_test(not_for_us),
        cmocka_unit_test(forged),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
