/* content: names what an operator has decided of a document: all but its epoch and its
 * bans, which come and go by themselves. chatops compares it with what it would
 * publish. */
#ifndef CONTENT_H
#define CONTENT_H

#include "proxy/state.h"

#define CONTENT_TEXT 65

/* SHA-256, in hexadecimal digits, of the document with epoch 0 and without bans. */
void content_name(const struct px_state *state, char out[CONTENT_TEXT]);

#endif
