# portico_embed(TARGET DIR TABLE): compiles every file below DIR into TARGET, as one of the
# tables that ops/embed.h declares. A file added to DIR is picked up by the next build.
#
# This file is also the script that writes the table: cmake -DDIR=... -DOUT=... -DTABLE=... -P Embed.cmake

function(portico_embed target dir table)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${table}.c)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${dir}/*)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DDIR=${dir} -DOUT=${out} -DTABLE=${table} -P ${CMAKE_CURRENT_FUNCTION_LIST_FILE}
    DEPENDS ${files} ${CMAKE_CURRENT_FUNCTION_LIST_FILE}
    COMMENT "Embedding ${dir}"
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()

function(write_table dir out table_name)
  file(GLOB_RECURSE names RELATIVE ${dir} ${dir}/*)
  list(SORT names)
  set(data "")
  set(table "")
  set(n 0)
  foreach(name ${names})
    file(READ ${dir}/${name} hex HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(APPEND data "static const unsigned char f${n}[] = {\n${hex}0x00};\n")
    string(APPEND table "    {\"${name}\", (const char *)f${n}, sizeof(f${n}) - 1},\n")
    math(EXPR n "${n} + 1")
  endforeach()
  file(WRITE ${out} "/* Written by cmake/Embed.cmake. */\n#include \"embed.h\"\n\n${data}\n"
    "const struct op_embedded ${table_name}[] = {\n${table}    {NULL, NULL, 0},\n};\n")
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
  write_table(${DIR} ${OUT} ${TABLE})
endif()
