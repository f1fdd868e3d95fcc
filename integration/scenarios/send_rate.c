#include "send_rate.h"

#include <string.h>

#include "door.h"
#include "probe/smtp.h"

#define INI     "/etc/chatmail/chatmail.ini"
#define SAVED   "/root/filter.ini.saved"
#define UNIT    "chatmail-filter-out.service"
#define EHLO    "rate.client.example"
#define STEP_MS 30000
#define TRIES   14

int send_rate_as_people(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "cp -p " INI " " SAVED "; sed '/^max_user_send_/d' " SAVED " >" INI
                    "; systemctl reload " UNIT);
}

int send_rate_back(struct stage *stage, struct cm_err *err)
{
    return scene_sh(&stage->scene, "store", 0, NULL, err,
                    "! test -e " SAVED " || { cat " SAVED " >" INI " && rm -f " SAVED
                    " && systemctl reload " UNIT "; }");
}

static int ask(struct smtp *smtp, const char *addr, struct smtp_reply *reply,
               struct cm_err *err)
{
    return smtp_command(smtp, reply, err, "RSET") != 0 ||
                   smtp_command(smtp, reply, err, "MAIL FROM:<%s>", addr) != 0 ||
                   smtp_command(smtp, reply, err, "RCPT TO:<%s>", addr) != 0
               ? -1
               : 0;
}

int send_rate_holds(struct stage *stage, const struct scene_account *sender,
                    struct cm_err *err)
{
    struct door door = door_at("edge1", AF_INET, 465, false);
    struct wire_to to = door_wire(stage, &door, STEP_MS);
    struct smtp_reply reply = {.code = 0};
    struct smtp *smtp = smtp_open(&to, EHLO, err);
    int taken = 0,
        rc = smtp != NULL ? smtp_auth(smtp, sender->addr, sender->password, &reply, err)
                          : -1;
    if (rc == 0 && reply.code != 235) {
        rc = cm_err_set(err, CM_ERR_RETRY, "login: %d", reply.code);
    }
    for (int i = 0; i < TRIES && rc == 0; i++) {
        rc = ask(smtp, sender->addr, &reply, err);
        taken += rc == 0 && reply.code == 250;
    }
    smtp_close(&smtp);
    if (rc == 0 && (taken < 10 || taken > 12 || reply.code != 450 ||
                    strncmp(reply.text, "4.7.1: Too much mail from ", 26) != 0)) {
        rc = cm_err_set(err, CM_ERR_REFUSE, "%d of %d at once, then %d %.200s", taken,
                        TRIES, reply.code, reply.text);
    }
    return rc;
}
