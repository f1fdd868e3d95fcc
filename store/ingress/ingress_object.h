/* ingress_object: ingress.bpf.c as clang made it, an ELF file for libbpf. */
#ifndef INGRESS_OBJECT_H
#define INGRESS_OBJECT_H

#include <stddef.h>

extern const unsigned char ingress_object[];
extern const size_t ingress_object_size;

#endif
