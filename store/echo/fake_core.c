/* A stand-in for deltachat-rpc-server, for tests: speaks its JSON-RPC as far as the bot
 * needs it, keeps its state in $DC_ACCOUNTS_PATH, and misbehaves as a message's text
 * says.
 *
 *   in/N      a message (as get_message answers it) that has arrived
 *   seen/N    it was marked as seen
 *   sent      a line of JSON for each send_msg
 *   calls     a line for each call: its method
 *   config    what add_transport_from_qr was given
 *   offline   there is no connection, until maybe_network
 *
 * Texts: "crash" ends it, "garbage" and "long" say something else first, "silence"
 * leaves the call without an answer, "refuse" is not sent. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/mem.h"

#define LINE (1 << 20)

static json_int_t events_id;
static int known; /* messages that were announced */
static bool offline;

static void say(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(answer);
}

static void answer(json_int_t id, json_t *result)
{
    say(json_pack("{s:s, s:I, s:o}", "jsonrpc", "2.0", "id", id, "result", result));
}

static void refuse(json_int_t id, const char *why)
{
    say(json_pack("{s:s, s:I, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error",
                  "code", -1, "message", why));
}

static void append(const char *path, const char *line)
{
    FILE *f = fopen(path, "a");
    cm_assert(f != NULL);
    fprintf(f, "%s\n", line);
    fclose(f);
}

/* ---- messages ---- */

static int arrived(void)
{
    int n = 0;
    DIR *dir = opendir("in");
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        n += e->d_name[strspn(e->d_name, "0123456789")] == '\0'; /* no temporary */
    }
    closedir(dir);
    return n;
}

/* Newest first, as the core has them. */
static json_t *fresh(void)
{
    json_t *ids = json_array();
    for (int id = 99; id > 0; id--) {
        char in[32], seen[32];
        snprintf(in, sizeof in, "in/%d", id);
        snprintf(seen, sizeof seen, "seen/%d", id);
        if (access(in, F_OK) == 0 && access(seen, F_OK) != 0) {
            json_array_append_new(ids, json_integer(id));
        }
    }
    return ids;
}

static void mark_seen(const json_t *ids)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        char seen[32];
        snprintf(seen, sizeof seen, "seen/%d", (int)json_integer_value(id));
        close(open(seen, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
}

static void get_message(json_int_t id, json_int_t message)
{
    char in[32];
    snprintf(in, sizeof in, "in/%d", (int)message);
    json_t *object = json_load_file(in, 0, NULL);
    if (object != NULL) {
        answer(id, object);
    } else {
        refuse(id, "no such message");
    }
}

static void send_msg(json_int_t id, const json_t *params)
{
    const json_t *data = json_array_get(params, 2);
    const char *text = json_string_value(json_object_get(data, "text"));
    text = text != NULL ? text : "";
    if (strcmp(text, "crash") == 0) {
        exit(3);
    }
    if (strcmp(text, "silence") == 0) {
        return;
    }
    if (strcmp(text, "refuse") == 0) {
        refuse(id, "cannot send");
        return;
    }
    if (strcmp(text, "garbage") == 0) {
        printf("thread 'main' panicked\n[1,2\n{\"id\":12345,\"result\":1}\n\n");
    }
    for (int i = 0; i < 9 && strcmp(text, "long") == 0; i++) {
        static char block[1 << 20];
        memset(block, 'x', sizeof block);
        fwrite(block, 1, sizeof block, stdout);
    }
    char *line = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);
    append("sent", line);
    free(line);
    answer(id, json_integer(1000));
}

/* ---- calls ---- */

static void hand_out_events(void)
{
    int n = arrived();
    if (events_id != 0 && !offline && access("offline", F_OK) == 0) {
        offline = true;
        answer(events_id, json_pack("[{s:i, s:{s:s}}]", "contextId", 1, "event", "kind",
                                    "ConnectivityChanged"));
        events_id = 0;
    }
    if (events_id != 0 && n > known) {
        known = n;
        answer(events_id, json_pack("[{s:i, s:{s:s}}]", "contextId", 1, "event", "kind",
                                    "IncomingMsg"));
        events_id = 0;
    }
}

static void configure(json_int_t id, const json_t *params)
{
    if (access("refuse-login", F_OK) == 0) {
        refuse(id, "cannot log in");
        return;
    }
    append("config", json_string_value(json_array_get(params, 1)));
    answer(id, json_null());
}

static void serve(const char *method, json_int_t id, const json_t *params)
{
    append("calls", method);
    if (strcmp(method, "get_next_event_batch") == 0) {
        events_id = id;
    } else if (strcmp(method, "get_all_account_ids") == 0) {
        answer(id, access("account", F_OK) == 0 ? json_pack("[i]", 1) : json_array());
    } else if (strcmp(method, "add_account") == 0) {
        append("account", "1");
        answer(id, json_integer(1));
    } else if (strcmp(method, "is_configured") == 0) {
        answer(id, json_boolean(access("config", F_OK) == 0));
    } else if (strcmp(method, "add_transport_from_qr") == 0) {
        configure(id, params);
    } else if (strcmp(method, "get_chat_securejoin_qr_code") == 0) {
        answer(id, json_string("https://i.delta.chat/#FAKE"));
    } else if (strcmp(method, "get_fresh_msgs") == 0) {
        answer(id, fresh());
    } else if (strcmp(method, "get_message") == 0) {
        get_message(id, json_integer_value(json_array_get(params, 1)));
    } else if (strcmp(method, "markseen_msgs") == 0) {
        mark_seen(json_array_get(params, 1));
        answer(id, json_null());
    } else if (strcmp(method, "get_connectivity") == 0) {
        answer(id, json_integer(access("offline", F_OK) == 0 ? 1000 : 4000));
    } else if (strcmp(method, "maybe_network") == 0) {
        unlink("offline");
        offline = false;
        answer(id, json_null());
    } else if (strcmp(method, "send_msg") == 0) {
        send_msg(id, params);
    } else {
        answer(id, json_null());
    }
}

int main(void)
{
    static char line[LINE];
    const char *dir = getenv("DC_ACCOUNTS_PATH");
    size_t len = 0;
    cm_assert(dir != NULL);
    mkdir(dir, 0700);
    cm_assert(chdir(dir) == 0);
    mkdir("in", 0700);
    mkdir("seen", 0700);
    for (;;) {
        struct pollfd p = {.fd = 0, .events = POLLIN};
        char *end;
        if (poll(&p, 1, 20) > 0) {
            ssize_t n = read(0, line + len, sizeof line - 1 - len);
            if (n <= 0) {
                return 0;
            }
            len += (size_t)n;
        }
        while ((end = memchr(line, '\n', len)) != NULL) {
            json_t *request = json_loadb(line, (size_t)(end - line), 0, NULL);
            serve(json_string_value(json_object_get(request, "method")),
                  json_integer_value(json_object_get(request, "id")),
                  json_object_get(request, "params"));
            json_decref(request);
            len -= (size_t)(end + 1 - line);
            memmove(line, end + 1, len);
        }
        hand_out_events();
    }
}
