if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/bus.c)
  portico_test(test_bus SOURCES test_bus.c LINK common)
endif()
