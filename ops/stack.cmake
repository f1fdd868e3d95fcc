# The files of a node: templates and the code that renders them (target opstack), and the
# units, users and directories that come with the packages.
include(${CMAKE_SOURCE_DIR}/cmake/Embed.cmake)

add_library(opstack STATIC stack.c turn.c
  proxied.c)
target_link_libraries(opstack PUBLIC common proxy)
portico_embed(opstack ${CMAKE_CURRENT_SOURCE_DIR}/templates op_embedded)

portico_test(test_stack SOURCES test_stack.c LINK opstack)
portico_test(test_clock_back SOURCES test_clock_back.c LINK common)
if(TARGET test_clock_back)
  target_compile_definitions(test_clock_back PRIVATE
    CLOCK_SCRIPT="${CMAKE_CURRENT_SOURCE_DIR}/systemd/clock")
endif()
portico_test(test_sandbox SOURCES test_sandbox.c LINK common)
if(TARGET test_sandbox)
  target_compile_definitions(test_sandbox PRIVATE
    UNITS_DIR="${CMAKE_CURRENT_SOURCE_DIR}/systemd" DOCS_DIR="${CMAKE_SOURCE_DIR}/docs")
endif()

install(FILES
  systemd/chatmail-acme.service
  systemd/chatmail-acme.timer
  systemd/chatmail-auth.service
  systemd/chatmail-auth.socket
  systemd/chatmail-auth-sasl.socket
  systemd/chatmail-clock.service
  systemd/chatmail-clock.timer
  systemd/chatmail-cluster.service
  systemd/chatmail-dns.service
  systemd/chatmail-echo.service
  systemd/chatmail-expire.service
  systemd/chatmail-expire.timer
  systemd/chatmail-filter-in.service
  systemd/chatmail-filter-in.socket
  systemd/chatmail-filter-out.service
  systemd/chatmail-filter-out.socket
  systemd/chatmail-filter-sign.service
  systemd/chatmail-filter-sign.socket
  systemd/chatmail-fsreport.service
  systemd/chatmail-fsreport.timer
  systemd/chatmail-lastlogin.service
  systemd/chatmail-lastlogin.socket
  systemd/chatmail-metadata.service
  systemd/chatmail-metadata.socket
  systemd/chatmail-metrics@.socket
  systemd/chatmail-monitor.service
  systemd/chatmail-monitor.socket
  systemd/chatmail-tls.path
  systemd/chatmail-tls.service
  systemd/chatmail-tls.timer
  systemd/chatmail-transport.service
  systemd/chatmail-transport.socket
  systemd/chatmail-queue.socket
  systemd/chatmail-queue@.service
  systemd/chatmail-web.service
  systemd/chatmail-web.socket
  systemd/chatmail-push.service
  systemd/chatmail-push.socket
  systemd/chatmail-turn@.service
  DESTINATION lib/systemd/system COMPONENT store)
install(FILES
  systemd/chatmail-gateway.service
  systemd/chatmail-proxy.service
  DESTINATION lib/systemd/system COMPONENT gateway)
install(FILES systemd/portico-store.sysusers
  DESTINATION lib/sysusers.d RENAME portico-store.conf COMPONENT store)
install(FILES systemd/portico-store.tmpfiles
  DESTINATION lib/tmpfiles.d RENAME portico-store.conf COMPONENT store)
install(PROGRAMS systemd/proxy-routes DESTINATION lib/portico COMPONENT gateway)
install(FILES systemd/portico-gateway.sysusers
  DESTINATION lib/sysusers.d RENAME portico-gateway.conf COMPONENT gateway)
install(FILES systemd/portico-gateway.tmpfiles
  DESTINATION lib/tmpfiles.d RENAME portico-gateway.conf COMPONENT gateway)

install(PROGRAMS systemd/clock DESTINATION lib/portico COMPONENT store)
install(PROGRAMS systemd/turn DESTINATION lib/portico COMPONENT store)

# Both ends of a tunnel are made the same way.
foreach(component store gateway)
  install(FILES systemd/chatmail-tunnel@.service
    DESTINATION lib/systemd/system COMPONENT ${component})
  install(PROGRAMS systemd/tunnel DESTINATION lib/portico COMPONENT ${component})
endforeach()
