/* play: one scenario in a process of its own, and the healing between two. */
#ifndef SCENARIOS_PLAY_H
#define SCENARIOS_PLAY_H

#include <stdbool.h>

#include "scenario.h"

#define PLAY_TEXT 1024

/* 0 when the promise held: text is what the scenario noted. -1: text is the reason. */
int play_run(const struct scenario *scenario, bool quick, char text[PLAY_TEXT]);

/* Starts nodes that are off, ends cuts, calls the restore of that scenario (NULL: of
 * all), waits until both gateways report to be well. 0, or -1 with the reason. */
int play_heal(const struct scenario *scenario, bool quick, char text[PLAY_TEXT]);

#endif
