#include "ingress_object.h"

/* INGRESS_FILE: its path, from store/ingress/CMakeLists.txt. libbpf reads it in place,
 * so it lies as an ELF file wants to. */
__asm__(".section .rodata\n"
        ".balign 8\n"
        ".global ingress_object\n"
        "ingress_object:\n"
        ".incbin \"" INGRESS_FILE "\"\n"
        "1:\n"
        ".balign 8\n"
        ".global ingress_object_size\n"
        "ingress_object_size:\n"
        ".quad 1b - ingress_object\n"
        ".previous\n");

_Static_assert(sizeof(size_t) == 8, "written as eight bytes");
