/* need: for cmocka tests that stand on a program that may not be installed. */
#ifndef NEED_H
#define NEED_H

/* The set-up of a test. When *state is NULL the test is not run, and says so (cmocka
 * 1.1.5 counts it as an error, for skip() stands in a set-up): the set-up of the group
 * leaves there what its tests need, or NULL when that is not installed. */
int need(void **state);

#endif
