/* ca: an ACME CA for the length of a scenario: Debian's pebble in node client, which
 * validates each name from three places at once, and takes its DNS from the lab. Its
 * root is new at each start; store, operator and client get to know it. */
#ifndef SCENARIOS_CA_H
#define SCENARIOS_CA_H

#include "common/err.h"

#include "stage.h"

#define CA_DIRECTORY "https://client.lab.example:14000/dir"

/* What it does with requests. */
enum ca_mood {
    CA_WELL,
    CA_REFUSES, /* the domain is on its list of those that get none */
    CA_SLOW     /* each question comes after up to five seconds */
};

/* Installs it. Once for each life of the nodes. */
CM_MUSTUSE int ca_install(struct stage *stage, const char *domain, struct cm_err *err);
/* Starts it, or starts it again in another mood; waits until it answers, and has its
 * root known where certificates are judged. */
CM_MUSTUSE int ca_start(struct stage *stage, enum ca_mood mood, struct cm_err *err);
CM_MUSTUSE int ca_stop(struct stage *stage, struct cm_err *err);
/* Its log since it was installed. Caller frees. */
CM_MUSTUSE int ca_log(struct stage *stage, char **text_r, struct cm_err *err);

#endif
