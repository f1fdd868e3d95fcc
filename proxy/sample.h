/* sample: one state that every test of this directory starts from. Tests only. */
#ifndef PX_SAMPLE_H
#define PX_SAMPLE_H

#include <stdint.h>
#include <string.h>

#include "state.h"

static inline struct px_state px_sample(void)
{
    struct px_state state = {
        .epoch = 17,
        .domain = "_chat.example",
        .store_wg_public_key = "U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk=",
        .bus_port = 4710,
        .metrics_port = 3903,
        .ports = {25, 80, 143, 443, 465, 587, 993},
        .port_count = 7,
        .turn = {3478, 49160, 49359},
        .egress = CM_EGRESS_GATEWAYS,
        .limits = {100, 4000, 500},
        .bans = {{{[10] = 0xff, 0xff, 203, 0, 113, 66}, 2000000000},
                 {{0x20, 0x01, 0x0d, 0xb8, 0, 0xba, 0, 0xd0}, 2000003600}},
        .ban_count = 2,
        .gateways =
            {
                {
                    .name = "edge1",
                    .number = 1,
                    .mode = CM_MODE_ACTIVE,
                    .egress = true,
                    .egress_weight = 300,
                    .addresses = {"198.51.100.11", "2001:db8:1::11"},
                    .address_count = 2,
                    .endpoint = "198.51.100.11",
                    .wg_port = 51820,
                    .wg_public_key = "RURHRTFLRVlFREdFMUtFWUVER0UxS0VZRURHRTFLRVk=",
                    .budget = 1000000000000,
                },
                {
                    .name = "edge2",
                    .number = 2,
                    .mode = CM_MODE_ACTIVE,
                    .egress = true,
                    .egress_weight = PX_WEIGHT_DEFAULT,
                    .addresses = {"203.0.113.12"},
                    .address_count = 1,
                    .endpoint = "2001:db8:1::12",
                    .wg_port = 51820,
                    .wg_public_key = "RURHRTJLRVlFREdFMktFWUVER0UyS0VZRURHRTJLRVk=",
                },
            },
        .gateway_count = 2,
    };
    return state;
}

#define PX_SAMPLE_PRIVATE "UFJJVkFURVBSSVZBVEVQUklWQVRFUFJJVkFURVBSSVY="

#endif
