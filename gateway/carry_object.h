/* carry_object: carry.bpf.c as clang made it, an ELF file for libbpf. */
#ifndef GW_CARRY_OBJECT_H
#define GW_CARRY_OBJECT_H

#include <stddef.h>

extern const unsigned char gw_carry_object[];
extern const size_t gw_carry_object_size;

#endif
