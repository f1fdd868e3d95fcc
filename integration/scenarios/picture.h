/* picture: a true PNG of any size, for clients that look into what they send. */
#ifndef SCENARIOS_PICTURE_H
#define SCENARIOS_PICTURE_H

/* A square of random colours, `side` pixels (1..10000) wide, about 3 * side * side
 * bytes, in base64 lines. Caller frees. */
char *picture_base64(unsigned side);

#endif
