/* clock: the only place that asks what time it is, so that tests can turn it. */
#ifndef CM_CLOCK_H
#define CM_CLOCK_H

#include <stdint.h>

int64_t cm_now_mono_ms(void); /* CLOCK_MONOTONIC, for what waits */
int64_t cm_now_mono_us(void); /* the same, for what is measured */
int64_t cm_now_wall_ms(void); /* CLOCK_REALTIME, for what is stored */

/* Tests only: both clocks run `offset_ms` ahead. 0 puts them right again. */
void cm_clock_shift(int64_t offset_ms);

#endif
