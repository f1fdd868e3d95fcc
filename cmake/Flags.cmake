# How every C file is compiled: warnings of docs/architecture.md, hardening, sanitizers.
add_compile_definitions(_GNU_SOURCE)
# No path of the build machine in a binary: the same source gives the same packages, and the
# lab's snapshot fits them.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=.)
add_compile_options(
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
  -Wwrite-strings -Wpointer-arith -Wundef -Wcast-qual -fno-common)
if(PORTICO_WERROR)
  add_compile_options(-Werror)
endif()

if(PORTICO_SANITIZE OR PORTICO_FUZZ)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_compile_options(-g1) # lines and names of functions, quicker to link
  # gcc loses track of sizes in instrumented code and sees truncation where there is none.
  if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-format-truncation)
  endif()
  add_link_options(-fsanitize=address,undefined)
  if(PORTICO_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
  endif()
else()
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
                      -fstack-clash-protection -ftrivial-auto-var-init=zero -fPIE)
  add_link_options(-pie -Wl,-z,relro,-z,now)
endif()
