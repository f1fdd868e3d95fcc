# The DKIM verifier: a library of its own, included by CMakeLists.txt of this directory.
portico_library(dkim
  SOURCES
    dkim.c dkim_body.c dkim_canon.c dkim_crypto.c dkim_dns.c dkim_flaw.c dkim_headers.c
    dkim_key.c dkim_keys.c dkim_reply.c dkim_servers.c dkim_sig.c dkim_sign.c dkim_tags.c
  LINK common
  PRIVATE_LINK PkgConfig::libcrypto Threads::Threads resolv)

# Signed messages and key records for tests.
add_library(dkimtesting STATIC testing/checker.c testing/dns_server.c
  testing/seal_message.c testing/signer.c)
target_include_directories(dkimtesting PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(dkimtesting PUBLIC dkim common PRIVATE PkgConfig::libcrypto)

portico_test(test_dkim SOURCES test_dkim.c testing/usual.c LINK dkimtesting)
portico_test(test_dkim_rules SOURCES test_dkim_rules.c testing/usual.c LINK dkimtesting)
portico_test(test_dkim_sign SOURCES test_dkim_sign.c testing/usual.c LINK dkimtesting)
foreach(test IN ITEMS canon dns key keys)
  portico_test(test_dkim_${test} SOURCES test_dkim_${test}.c LINK dkimtesting)
endforeach()

# The second opinion: libopendkim, opened at run time (testing/oracle.h).
find_library(opendkim_library opendkim REQUIRED)
portico_test(test_dkim_oracle SOURCES test_dkim_oracle.c testing/oracle.c
  LINK dkimtesting ${CMAKE_DL_LIBS})
if(TARGET test_dkim_oracle)
  target_compile_definitions(test_dkim_oracle PRIVATE
    OPENDKIM_LIBRARY="${opendkim_library}")
endif()

foreach(fuzz IN ITEMS key reply signature)
  portico_fuzz(fuzz_dkim_${fuzz} SOURCES fuzz_dkim_${fuzz}.c LINK dkim common)
endforeach()

add_executable(dkim-bench bench_dkim.c)
target_link_libraries(dkim-bench PRIVATE dkimtesting PkgConfig::libcrypto)
