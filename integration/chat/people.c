#include "people.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "core.h"

#define SEND_MS    60000
#define SELF       1  /* contact */
#define STATE_READ 28 /* of a message that went out */
#define POLL_US    200000

int chat_paper_member(struct chat_client *client, const char *addr, char **vcard_r,
                      struct cm_err *err)
{
    json_t *id = NULL, *card = NULL;
    if (rpc_call(client->rpc, "add_account", json_array(), CHAT_CALL_MS, &id, err) !=
        0) {
        return -1;
    }
    json_t *params = json_pack("[O, s, s]", id, "configured_addr", addr);
    int rc = rpc_call(client->rpc, "set_config", params, CHAT_CALL_MS, NULL, err);
    if (rc == 0) {
        rc = chat_call(client, "make_vcard", (unsigned)json_integer_value(id),
                       json_pack("[i]", SELF), CHAT_CALL_MS, &card, err);
    }
    const char *text = json_string_value(card);
    if (rc == 0 && text == NULL) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "no vCard of %s", addr);
    }
    if (rc == 0) {
        *vcard_r = cm_strdup(text);
    }
    json_decref(card);
    json_decref(id);
    return rc;
}

/* ---- groups ---- */

int chat_group(const struct chat_end *owner, const char *name, struct chat_end *group_r,
               struct cm_err *err)
{
    json_t *chat = NULL;
    json_t *params = json_pack("[I, s, b]", (json_int_t)owner->account, name, 0);
    if (rpc_call(owner->client->rpc, "create_group_chat", params, CHAT_CALL_MS, &chat,
                 err) != 0) {
        return -1;
    }
    *group_r = *owner;
    group_r->chat = (unsigned)json_integer_value(chat);
    json_decref(chat);
    return 0;
}

/* contacts: a list whose first one is added; taken over. */
static int add_first(const struct chat_end *group, json_t *contacts, struct cm_err *err)
{
    json_int_t contact = json_integer_value(json_array_get(contacts, 0));
    json_decref(contacts);
    if (contact == 0) {
        return cm_err_set(err, CM_ERR_REFUSE, "there is no such contact");
    }
    json_t *params = json_pack("[I, I, I]", (json_int_t)group->account,
                               (json_int_t)group->chat, contact);
    return rpc_call(group->client->rpc, "add_contact_to_chat", params, CHAT_CALL_MS,
                    NULL, err);
}

int chat_add_card(const struct chat_end *group, const char *vcard, struct cm_err *err)
{
    json_t *contacts = NULL;
    return chat_call(group->client, "import_vcard_contents", group->account,
                     json_string(vcard), CHAT_CALL_MS, &contacts, err) == 0
               ? add_first(group, contacts, err)
               : -1;
}

static int contacts_of(const struct chat_end *chat, json_t **contacts_r,
                       struct cm_err *err)
{
    return chat_call(chat->client, "get_chat_contacts", chat->account,
                     json_integer((json_int_t)chat->chat), CHAT_CALL_MS, contacts_r,
                     err);
}

int chat_add_partner(const struct chat_end *group, const struct chat_end *pair,
                     struct cm_err *err)
{
    json_t *contacts = NULL;
    return contacts_of(pair, &contacts, err) == 0 ? add_first(group, contacts, err)
                                                  : -1;
}

int chat_members(const struct chat_end *chat, size_t *count_r, struct cm_err *err)
{
    json_t *contacts = NULL;
    if (contacts_of(chat, &contacts, err) != 0) {
        return -1;
    }
    *count_r = json_array_size(contacts);
    json_decref(contacts);
    return 0;
}

int chat_join_group(struct chat_end *group, struct chat_end *joiner, int64_t timeout_ms,
                    int64_t *ms_r, struct cm_err *err)
{
    return chat_join_by(group, joiner, json_integer((json_int_t)group->chat),
                        timeout_ms, ms_r, err);
}

/* ---- messages ---- */

static int send_data(const struct chat_end *from, json_t *data, json_t **id_r,
                     struct cm_err *err)
{
    json_t *params =
        json_pack("[I, I, o]", (json_int_t)from->account, (json_int_t)from->chat, data);
    return rpc_call(from->client->rpc, "send_msg", params, SEND_MS, id_r, err);
}

int chat_write(const struct chat_end *from, const char *text, unsigned *message_r,
               struct cm_err *err)
{
    json_t *id = NULL;
    if (send_data(from, json_pack("{s:s}", "text", text), &id, err) != 0) {
        return -1;
    }
    *message_r = (unsigned)json_integer_value(id);
    json_decref(id);
    return 0;
}

int chat_send_image(const struct chat_end *from, const char *path, const char *text,
                    struct cm_err *err)
{
    return send_data(
        from,
        json_pack("{s:s, s:s, s:s}", "file", path, "text", text, "viewtype", "Image"),
        NULL, err);
}

int chat_wait_file_under(struct chat_client *client, unsigned account, const char *text,
                         int64_t timeout_ms, char path_r[512], struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    const struct chat_received *r = NULL;
    int rc = chat_wait_begins(client, account, text, until, &r, err);
    return rc <= 0 ? rc : chat_await_file(client, r, until, path_r, err);
}

/* ---- who has read what ---- */

int chat_read(struct chat_client *client, unsigned account, const char *text,
              struct cm_err *err)
{
    const struct chat_received *r = chat_find(client, account, text);
    if (r == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" has not come", text);
    }
    json_int_t id = r->id;
    if (chat_call(client, "accept_chat", account, json_integer(r->chat), CHAT_CALL_MS,
                  NULL, err) != 0) {
        return -1;
    }
    return chat_call(client, "markseen_msgs", account, json_pack("[I]", id),
                     CHAT_CALL_MS, NULL, err);
}

static int look_at_readers(const struct chat_end *from, unsigned message,
                           size_t *count_r, bool *read_r, struct cm_err *err)
{
    json_t *receipts = NULL, *object = NULL;
    json_int_t id = (json_int_t)message;
    if (chat_call(from->client, "get_message_read_receipts", from->account,
                  json_integer(id), CHAT_CALL_MS, &receipts, err) != 0) {
        return -1;
    }
    *count_r = json_array_size(receipts);
    json_decref(receipts);
    if (chat_call(from->client, "get_message", from->account, json_integer(id),
                  CHAT_CALL_MS, &object, err) != 0) {
        return -1;
    }
    *read_r = json_integer_value(json_object_get(object, "state")) == STATE_READ;
    json_decref(object);
    return 0;
}

int chat_wait_readers(const struct chat_end *from, unsigned message, size_t readers,
                      int64_t timeout_ms, size_t *count_r, struct cm_err *err)
{
    int64_t until = cm_now_mono_ms() + timeout_ms;
    bool read = false;
    for (;;) {
        if (look_at_readers(from, message, count_r, &read, err) != 0) {
            return -1;
        }
        if (*count_r >= readers && read) {
            return 1;
        }
        if (cm_now_mono_ms() > until) {
            return 0;
        }
        usleep(POLL_US);
    }
}
