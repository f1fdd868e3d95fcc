/* A group of sixty on two relays. Alice and four others are real clients; the rest have
 * a mailbox and a key each, and nobody who reads. Handshakes of two and into the group,
 * a text, a picture and a large file to all, and read receipts, each within one relay
 * and between the two. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat.h"
#include "chat/people.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "door.h"
#include "picture.h"
#include "probe/mail.h"

#define MEMBERS   60
#define NEAR      40 /* members on paper at the store */
#define FAR       15 /* and at relay2 */
#define FRIENDS   4
#define JOIN_MS   60000
#define TEXT_MS   60000
#define FILE_MS   120000
#define READ_MS   60000
#define QUEUE_S   60
#define SPACE_MS  1200       /* the core sends one message a second */
#define DIR       "/var/tmp" /* in node client */
#define IMAGE     "group-picture.png"
#define SIDE      256 /* pixels: 200 kB */
#define FILE_NAME "group-file.bin"
#define FILE_SIZE "5000000"

struct paper {
    const char *node, *domain;
    size_t count;
    struct scene_account accounts[NEAR];
};

enum friend {
    BOB,  /* in a chat of two with Alice */
    CARL, /* the same, of relay2 */
    DORA, /* joins by the group's code */
    EVA   /* the same, of relay2 */
};

static const struct {
    const char *domain, *node; /* node: whose address is taken, NULL: found by DNS */
} friends_at[FRIENDS] = {
    [BOB] = {SCENE_DOMAIN, "edge2"},
    [CARL] = {SCENE_RELAY2, NULL},
    [DORA] = {SCENE_DOMAIN, "edge1"},
    [EVA] = {SCENE_RELAY2, NULL},
};

struct cast {
    struct chat_client *hers, *theirs;
    struct chat_end alice, group; /* group: Alice's end of it */
    struct chat_end friends[FRIENDS];
    struct paper papers[2];
};

/* ---- people ---- */

static int open_clients(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    if ((cast->hers = scene_chat(&stage->scene, "client", err)) == NULL ||
        (cast->theirs = scene_chat(&stage->scene, "client", err)) == NULL ||
        scene_chat_account(cast->hers, SCENE_DOMAIN, lab_address("edge1", AF_INET),
                           &cast->alice, err) != 0) {
        return -1;
    }
    for (int i = 0; i < FRIENDS; i++) {
        const char *node = friends_at[i].node;
        if (scene_chat_account(cast->theirs, friends_at[i].domain,
                               node != NULL ? lab_address(node, AF_INET) : NULL,
                               &cast->friends[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_papers(struct stage *stage, struct cast *cast, struct paper *paper,
                      struct cm_err *err)
{
    for (size_t i = 0; i < paper->count; i++) {
        char *card = NULL;
        if (account_make(stage, &paper->accounts[i], paper->domain, err) != 0 ||
            chat_paper_member(cast->theirs, paper->accounts[i].addr, &card, err) != 0) {
            return -1;
        }
        int rc = chat_add_card(&cast->group, card, err);
        free(card);
        if (rc != 0) {
            return cm_err_prefix(err, "member %zu of %s", i + 1, paper->domain);
        }
    }
    return 0;
}

/* Nobody hears of the group until it is told something; Dora's joining is that. */
static int gather(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    int64_t ms[FRIENDS], begun = cm_now_mono_ms();
    size_t members = 0;
    char name[17];
    struct chat_end pairs[2] = {cast->alice, cast->alice};
    mail_random(name, sizeof name);
    for (int i = BOB; i <= CARL; i++) {
        if (chat_join(&pairs[i], &cast->friends[i], JOIN_MS, &ms[i], err) != 0) {
            return cm_err_prefix(err, "handshake with friend %d", i);
        }
        stage_sleep_ms(SPACE_MS);
    }
    if (chat_group(&cast->alice, name, &cast->group, err) != 0 ||
        chat_add_partner(&cast->group, &pairs[BOB], err) != 0 ||
        chat_add_partner(&cast->group, &pairs[CARL], err) != 0 ||
        add_papers(stage, cast, &cast->papers[0], err) != 0 ||
        add_papers(stage, cast, &cast->papers[1], err) != 0) {
        return -1;
    }
    for (int i = DORA; i <= EVA; i++) {
        if (chat_join_group(&cast->group, &cast->friends[i], JOIN_MS, &ms[i], err) !=
            0) {
            return cm_err_prefix(err, "friend %d joins the group", i);
        }
        stage_sleep_ms(SPACE_MS);
    }
    if (chat_members(&cast->group, &members, err) != 0) {
        return -1;
    }
    stage_note(stage, "joins %.1f %.1f, group %.1f %.1f s; all gathered in %.0f s",
               (double)ms[BOB] / 1000, (double)ms[CARL] / 1000, (double)ms[DORA] / 1000,
               (double)ms[EVA] / 1000, (double)(cm_now_mono_ms() - begun) / 1000);
    return members == MEMBERS
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "the group has %zu members", members);
}

/* ---- messages ---- */

static int text_to_all(struct stage *stage, struct cast *cast, unsigned *message_r,
                       char text[17], struct cm_err *err)
{
    struct chat_message got;
    int64_t begun = cm_now_mono_ms();
    mail_random(text, 17);
    if (chat_write(&cast->group, text, message_r, err) != 0) {
        return -1;
    }
    for (int i = 0; i < FRIENDS; i++) {
        int rc = chat_wait_text(cast->theirs, cast->friends[i].account, text, TEXT_MS,
                                &got, err);
        if (rc < 0) {
            return -1;
        }
        if (rc == 0 || !got.encrypted) {
            return cm_err_set(err, CM_ERR_REFUSE, "the text %s friend %d",
                              rc == 0 ? "did not reach" : "came unencrypted to", i);
        }
    }
    stage_note(stage, "text %.1f s", (double)(cm_now_mono_ms() - begun) / 1000);
    return 0;
}

/* under: the text it comes with, NULL: to be known by its name. */
static int files_same(struct stage *stage, struct cast *cast, const char *name,
                      const char *under, struct cm_err *err)
{
    int64_t begun = cm_now_mono_ms();
    for (int i = 0; i < FRIENDS; i++) {
        char path[512];
        unsigned account = cast->friends[i].account;
        int rc =
            under != NULL
                ? chat_wait_file_under(cast->theirs, account, under, FILE_MS, path, err)
                : chat_wait_file(cast->theirs, account, name, FILE_MS, path, err);
        if (rc <= 0) {
            return rc < 0 ? -1
                          : cm_err_set(err, CM_ERR_REFUSE, "%s did not reach friend %d",
                                       name, i);
        }
        if (scene_sh(&stage->scene, "client", 0, NULL, err, "cmp " DIR "/%s '%s'", name,
                     path) != 0) {
            return -1;
        }
    }
    stage_note(stage, "%s %.1f s", name, (double)(cm_now_mono_ms() - begun) / 1000);
    return 0;
}

static int make_files(struct stage *stage, struct cm_err *err)
{
    char *said = NULL, *image = picture_base64(SIDE);
    int status = stage_ask(stage, "client", image, &said, err,
                           "cd " DIR " && base64 -d >" IMAGE " && head -c " FILE_SIZE
                           " /dev/urandom >" FILE_NAME);
    if (status > 0) {
        cm_err_set(err, CM_ERR_WORLD, "files to send: %.200s", said);
    }
    free(said);
    free(image);
    return status == 0 ? 0 : -1;
}

static int files_to_all(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    char under[17];
    mail_random(under, sizeof under);
    if (make_files(stage, err) != 0 ||
        chat_send_image(&cast->group, DIR "/" IMAGE, under, err) != 0 ||
        files_same(stage, cast, IMAGE, under, err) != 0) {
        return -1;
    }
    stage_sleep_ms(SPACE_MS);
    return chat_send_file(&cast->group, DIR "/" FILE_NAME, err) != 0
               ? -1
               : files_same(stage, cast, FILE_NAME, NULL, err);
}

static int receipts(struct stage *stage, struct cast *cast, unsigned message,
                    const char *text, struct cm_err *err)
{
    size_t readers = 0;
    int64_t begun = cm_now_mono_ms();
    for (int i = 0; i < FRIENDS; i++) {
        if (chat_count(cast->theirs, cast->friends[i].account, text) != 1) {
            return cm_err_set(err, CM_ERR_REFUSE, "friend %d has the text twice", i);
        }
        if (chat_read(cast->theirs, cast->friends[i].account, text, err) != 0) {
            return -1;
        }
    }
    int rc = chat_wait_readers(&cast->group, message, FRIENDS, READ_MS, &readers, err);
    if (rc <= 0) {
        return rc < 0 ? -1
                      : cm_err_set(err, CM_ERR_REFUSE, "%zu of %d read receipts came",
                                   readers, FRIENDS);
    }
    stage_note(stage, "%d receipts %.1f s", FRIENDS,
               (double)(cm_now_mono_ms() - begun) / 1000);
    return 0;
}

/* ---- mailboxes ---- */

/* A line for each mailbox: messages, different Message-IDs, files over 5 MB, files over
 * 200 kB, and a sum over the sorted ids. The size in a name is that before packing. */
static int count_in(struct stage *stage, const struct paper *paper, char **lines_r,
                    struct cm_err *err)
{
    struct cm_buf names;
    cm_buf_init(&names, 8192);
    for (size_t i = 0; i < paper->count; i++) {
        cm_buf_fmt(&names, " %s", paper->accounts[i].addr);
    }
    int rc = scene_sh(
        &stage->scene, paper->node, 120, lines_r, err,
        "for a in%s; do cd /home/vmail/mail/*/$a && ls new cur | grep S= >/tmp/names;"
        " for f in new/* cur/*; do test ! -f $f || zcat -f $f |"
        " sed -n 's/^Message-ID: //Ip;/^.\\?$/q'; done | sort >/tmp/ids;"
        " s=$(sed 's/.*,S=\\([0-9]*\\).*/\\1/' /tmp/names);"
        " big=0; mid=0; for n in $s; do if [ $n -gt 5000000 ]; then big=$((big+1));"
        " elif [ $n -gt 200000 ]; then mid=$((mid+1)); fi; done;"
        " echo $(wc -l </tmp/ids) $(uniq /tmp/ids | wc -l) $big $mid"
        " $(md5sum </tmp/ids); done; rm -f /tmp/names /tmp/ids",
        names.data);
    cm_buf_clear(&names);
    return rc;
}

/* The same messages for all, each once, the picture and the file among them. */
static int all_equal(char *lines, size_t count, char first[128], struct cm_err *err)
{
    char *rest = NULL;
    size_t n = 0;
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest), n++) {
        unsigned all = 0, unique = 0, big = 0, middle = 0;
        if (first[0] == '\0') {
            snprintf(first, 128, "%.120s", line);
        }
        if (sscanf(line, "%u %u %u %u", &all, &unique, &big, &middle) != 4 || all < 3 ||
            all != unique || big != 1 || middle != 1 || strcmp(line, first) != 0) {
            return cm_err_set(err, CM_ERR_REFUSE, "a mailbox has '%s', another '%s'",
                              line, first);
        }
    }
    return n == count
               ? 0
               : cm_err_set(err, CM_ERR_REFUSE, "%zu mailboxes of %zu", n, count);
}

static int mailboxes(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    char first[128] = "";
    unsigned messages = 0;
    for (int i = 0; i < 2; i++) {
        const struct paper *paper = &cast->papers[i];
        char *lines = NULL;
        if (scene_until(&stage->scene, "store", QUEUE_S, err,
                        "postqueue -p | grep -q 'queue is empty'") != 0 ||
            scene_until(&stage->scene, "relay2", QUEUE_S, err,
                        "postqueue -p | grep -q 'queue is empty'") != 0 ||
            count_in(stage, paper, &lines, err) != 0) {
            return -1;
        }
        int rc = all_equal(lines, paper->count, first, err);
        free(lines);
        if (rc != 0) {
            return cm_err_prefix(err, "%s", paper->node);
        }
    }
    messages = (unsigned)strtoul(first, NULL, 10);
    stage_note(stage, "%d mailboxes with the same %u messages", NEAR + FAR, messages);
    return 0;
}

static int clear_away(struct stage *stage, const struct cast *cast, struct cm_err *err)
{
    for (int i = 0; i < 2; i++) {
        struct cm_buf names;
        cm_buf_init(&names, 8192);
        for (size_t k = 0; k < cast->papers[i].count; k++) {
            if (cast->papers[i].accounts[k].addr[0] != '\0') {
                cm_buf_fmt(&names, " /home/vmail/mail/*/%s",
                           cast->papers[i].accounts[k].addr);
            }
        }
        int rc = scene_sh(&stage->scene, cast->papers[i].node, 0, NULL, err,
                          "rm -rf %s", names.data);
        cm_buf_clear(&names);
        if (rc != 0) {
            return -1;
        }
    }
    return scene_sh(&stage->scene, "client", 0, NULL, err,
                    "rm -rf " DIR "/" IMAGE " " DIR "/" FILE_NAME " " DIR "/chat-*");
}

/* ---- all of it ---- */

static int play(struct stage *stage, struct cast *cast, struct cm_err *err)
{
    unsigned message = 0;
    char text[17];
    if (open_clients(stage, cast, err) != 0 || gather(stage, cast, err) != 0 ||
        text_to_all(stage, cast, &message, text, err) != 0 ||
        receipts(stage, cast, message, text, err) != 0 ||
        files_to_all(stage, cast, err) != 0) {
        return -1;
    }
    return mailboxes(stage, cast, err);
}

int scenario_group(struct stage *stage, struct cm_err *err)
{
    static struct cast cast = {
        .papers = {{.node = "store", .domain = SCENE_DOMAIN, .count = NEAR},
                   {.node = "relay2", .domain = SCENE_RELAY2, .count = FAR}}};
    struct cm_err other;
    int rc = play(stage, &cast, err);
    chat_close(&cast.hers);
    chat_close(&cast.theirs);
    return clear_away(stage, &cast, rc == 0 ? err : &other) != 0 ? -1 : rc;
}
