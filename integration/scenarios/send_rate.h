/* send_rate: how fast one user of the store may send. The lab's settings are far above
 * what people need; here those of people are held against what is promised. */
#ifndef SCENARIOS_SEND_RATE_H
#define SCENARIOS_SEND_RATE_H

#include "common/err.h"

#include "stage.h"

/* Takes the lab's settings away, until send_rate_back(). */
CM_MUSTUSE int send_rate_as_people(struct stage *stage, struct cm_err *err);
/* Also when nothing was taken away. */
CM_MUSTUSE int send_rate_back(struct stage *stage, struct cm_err *err);

/* Ten messages at once and then 450 at RCPT, for an account that has not sent yet. */
CM_MUSTUSE int send_rate_holds(struct stage *stage, const struct scene_account *sender,
                               struct cm_err *err);

#endif
