#include "carry_object.h"

/* GW_CARRY_FILE: its path, from gateway/CMakeLists.txt. libbpf reads it in place, so it
 * lies as an ELF file wants to. */
__asm__(".section .rodata\n"
        ".balign 8\n"
        ".global gw_carry_object\n"
        "gw_carry_object:\n"
        ".incbin \"" GW_CARRY_FILE "\"\n"
        "1:\n"
        ".balign 8\n"
        ".global gw_carry_object_size\n"
        "gw_carry_object_size:\n"
        ".quad 1b - gw_carry_object\n"
        ".previous\n");

_Static_assert(sizeof(size_t) == 8, "written as eight bytes");
