# Tests of loop, service, dict and pg. pgfixture starts a throw-away PostgreSQL for tests of
# any part; it is not linked into a product.
portico_library(pgfixture
  SOURCES testing/pgfixture.c
  LINK common
  PRIVATE_LINK PkgConfig::libpq)

foreach(test IN ITEMS loop service dict)
  portico_test(test_${test} SOURCES test_${test}.c LINK common)
endforeach()
portico_test(test_pg SOURCES test_pg.c LINK pgfixture common)
portico_fuzz(fuzz_dict SOURCES fuzz_dict.c LINK common)
