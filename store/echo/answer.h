/* answer: what the bot does about a message. Pure: the core's JSON in, a decision and
 * the arguments of send_msg out (relay-spec.md 2.14). */
#ifndef ECHO_ANSWER_H
#define ECHO_ANSWER_H

#include <stdbool.h>

#include <jansson.h>

enum answer_kind {
    ANSWER_ECHO,  /* the same text and file, in the same chat */
    ANSWER_HELP,  /* the one line about what this is */
    ANSWER_NONE,  /* nothing, for ever: see the reason */
    ANSWER_LATER, /* it has not arrived as a whole */
};

struct answer {
    enum answer_kind kind;
    const char *reason; /* static; for NONE and LATER, as it is logged */
    json_int_t chat;
};

/* message: as get_message gives it. Only encrypted messages of people are answered:
 * info messages never, bots never (two of them would not stop), an own message never.
 */
struct answer answer_to(const json_t *message);

/* MessageData of send_msg for ECHO or HELP; a new reference. */
json_t *answer_data(const struct answer *answer, const json_t *message);

#endif
