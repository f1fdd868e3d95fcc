# One function per kind of part. A part's public headers are seen as "part/x.h" through an
# include directory that holds nothing but that part, so a part can include only what it
# links: a forbidden include direction fails to build.

find_package(PkgConfig REQUIRED)
foreach(lib libevent libevent_pthreads libpq nanomsg jansson libcrypto ldns cmocka libcrypt
        hiredis libcurl libnghttp2 libssl libcmark-gfm libqrencode libbpf libsodium)
  pkg_check_modules(${lib} REQUIRED IMPORTED_TARGET ${lib})
endforeach()
find_package(Threads REQUIRED)

# portico_library(NAME SOURCES... LINK targets... PRIVATE_LINK targets...)
function(portico_library name)
  cmake_parse_arguments(P "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  set(view ${CMAKE_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${view})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${view}/${name} SYMBOLIC)
  add_library(${name} STATIC ${P_SOURCES})
  target_include_directories(${name} PUBLIC ${view})
  target_link_libraries(${name} PUBLIC ${P_LINK} PRIVATE ${P_PRIVATE_LINK})
endfunction()

# portico_bpf(NAME SOURCE DEPENDS headers...): programs that run in the kernel. The file
# that clang makes of them is ${NAME_bpf}.
find_program(CLANG clang REQUIRED)
execute_process(COMMAND dpkg-architecture -q DEB_BUILD_MULTIARCH OUTPUT_VARIABLE here
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
function(portico_bpf name source)
  cmake_parse_arguments(P "" "" "DEPENDS" ${ARGN})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CLANG} -std=gnu17 -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v2
            -isystem /usr/include/${here} -I ${CMAKE_BINARY_DIR}/include/proxy
            -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${source} ${P_DEPENDS}
    VERBATIM)
  set(${name}_bpf ${object} PARENT_SCOPE)
endfunction()

# portico_program(NAME SOURCES... LINK targets... COMPONENT store|gateway|chatops DIR sbin|bin)
function(portico_program name)
  cmake_parse_arguments(P "" "COMPONENT;DIR" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${P_SOURCES})
  target_link_libraries(${name} PRIVATE ${P_LINK})
  if(P_COMPONENT)
    install(TARGETS ${name} DESTINATION ${P_DIR} COMPONENT ${P_COMPONENT})
    set_property(GLOBAL APPEND PROPERTY PORTICO_PROGRAMS ${name})
  endif()
endfunction()

# portico_test(NAME SOURCES... LINK targets... [LABEL unit]): a cmocka program, run with its
# source directory in $PORTICO_TESTDATA_DIR.
function(portico_test name)
  cmake_parse_arguments(P "" "LABEL" "SOURCES;LINK" ${ARGN})
  if(NOT P_LABEL)
    set(P_LABEL unit)
  endif()
  if(PORTICO_FUZZ)
    return()
  endif()
  add_executable(${name} ${P_SOURCES})
  target_link_libraries(${name} PRIVATE ${P_LINK} PkgConfig::cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${P_LABEL} TIMEOUT 120 ENVIRONMENT
    "PORTICO_TESTDATA_DIR=${CMAKE_CURRENT_SOURCE_DIR}/testdata")
endfunction()

if(PORTICO_FUZZ)
  add_custom_target(fuzz) # all of them
endif()

# portico_fuzz(NAME SOURCES... LINK targets...): with PORTICO_FUZZ a libFuzzer program; else a
# program that replays the corpus in testdata/NAME/ as an ordinary test.
function(portico_fuzz name)
  cmake_parse_arguments(P "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${P_SOURCES})
  target_link_libraries(${name} PRIVATE ${P_LINK})
  if(PORTICO_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz ${name})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/fuzz_replay.c)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_CURRENT_SOURCE_DIR}/testdata/${name})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120)
  endif()
endfunction()
