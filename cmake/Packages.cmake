# Debian packages: `ninja packages` leaves portico-store, portico-gateway and
# portico-chatops in BUILD/packages/. The last one carries the other two, so that one file on
# the laptop is all, and what chatops puts on the nodes has its own version.
#
# Cross-built (cmake/arm64.cmake) only those two are made. Nothing here can tell which libraries
# a foreign program needs, so they depend on what the packages in PORTICO_LIKE do, which are the
# same source on the same Debian. A build that is told PORTICO_ALSO takes the packages in that
# directory along.
set(PORTICO_LIKE "" CACHE PATH "packages of this machine's kind, for a cross build")
set(PORTICO_ALSO "" CACHE PATH "packages for nodes of another kind, to be carried by portico-chatops")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME portico)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Portico authors <portico@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "chatmail relay with gateways in front")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/packages)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION mail)

set(CPACK_DEBIAN_STORE_PACKAGE_NAME portico-store)
set(CPACK_COMPONENT_STORE_DESCRIPTION "the machine that holds the mail of a chatmail relay")
set(CPACK_DEBIAN_STORE_PACKAGE_DEPENDS
    "postfix, ca-certificates, dovecot-core, dovecot-imapd, dovecot-lmtpd, coturn, uacme, nginx, libnginx-mod-stream, postgresql, redis-server, nftables, wireguard-tools, wireguard-go, iproute2, openssl, procps")
set(CPACK_DEBIAN_STORE_PACKAGE_CONTROL_EXTRA
    "${CMAKE_SOURCE_DIR}/ops/packaging/postinst;${CMAKE_SOURCE_DIR}/ops/packaging/prerm;${CMAKE_SOURCE_DIR}/ops/packaging/postrm")

set(CPACK_DEBIAN_GATEWAY_PACKAGE_NAME portico-gateway)
set(CPACK_COMPONENT_GATEWAY_DESCRIPTION "a front door of a chatmail relay")
set(CPACK_DEBIAN_GATEWAY_PACKAGE_DEPENDS
    "nftables, wireguard-tools, wireguard-go, iproute2, conntrack")
set(CPACK_DEBIAN_GATEWAY_PACKAGE_CONTROL_EXTRA
    ${CPACK_DEBIAN_STORE_PACKAGE_CONTROL_EXTRA})

set(CPACK_DEBIAN_CHATOPS_PACKAGE_NAME portico-chatops)
set(CPACK_COMPONENT_CHATOPS_DESCRIPTION "sets up and watches a chatmail relay over SSH")
set(CPACK_DEBIAN_CHATOPS_PACKAGE_DEPENDS "openssh-client, openssl")

if(CMAKE_CROSSCOMPILING)
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
  foreach(part store gateway)
    string(TOUPPER ${part} upper)
    file(GLOB like ${PORTICO_LIKE}/portico-${part}_*.deb)
    if(NOT like)
      message(FATAL_ERROR "PORTICO_LIKE has no portico-${part}")
    endif()
    execute_process(COMMAND dpkg-deb -f ${like} Depends OUTPUT_STRIP_TRAILING_WHITESPACE
      OUTPUT_VARIABLE CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endif()

include(CPack)

install(FILES ops/man/chatmail-acme.8 ops/man/chatmail-tls.8
              ops/man/chatmail-auth.8 ops/man/chatmail-cluster.8
              ops/man/chatmail-backup.8
              ops/man/chatmail-clock.8
              ops/man/chatmail-dns.8
              ops/man/chatmail-echo.8
              ops/man/chatmail-expire.8 ops/man/chatmail-filter.8
              ops/man/chatmail-fsreport.8 ops/man/chatmail-quota-expire.8
              ops/man/chatmail-lastlogin.8 ops/man/chatmail-metadata.8
              ops/man/chatmail-transport.8
              ops/man/chatmail-turn.8
              ops/man/chatmail-web.8
              ops/man/chatmail-monitor.8
              ops/man/chatmail-push.8
        DESTINATION share/man/man8 COMPONENT store)
install(FILES ops/man/chatmail-gateway.8 ops/man/chatmail-proxy.8
        DESTINATION share/man/man8 COMPONENT gateway)

install(DIRECTORY ${CMAKE_BINARY_DIR}/packages/ DESTINATION share/portico/packages
        COMPONENT chatops FILES_MATCHING
        PATTERN "portico-store_*.deb" PATTERN "portico-gateway_*.deb")

get_property(programs GLOBAL PROPERTY PORTICO_PROGRAMS)
file(GLOB_RECURSE package_files CONFIGURE_DEPENDS
     ${CMAKE_SOURCE_DIR}/ops/systemd/* ${CMAKE_SOURCE_DIR}/ops/packaging/*
     ${CMAKE_SOURCE_DIR}/ops/man/* ${CMAKE_SOURCE_DIR}/store/schema/*)
set(stamp ${CMAKE_BINARY_DIR}/packages.stamp)
# Files in a package carry the day of the version, not of the build.
set(cpack ${CMAKE_COMMAND} -E env SOURCE_DATE_EPOCH=1795305600 ${CMAKE_CPACK_COMMAND} -G DEB)
# The old files go first: a version that changed must not stay beside the new one.
set(of_the_laptop COMMAND ${cpack} -D "CPACK_COMPONENTS_ALL=chatops")
if(CMAKE_CROSSCOMPILING)
  set(of_the_laptop)
endif()
set(also)
if(PORTICO_ALSO)
  file(GLOB also CONFIGURE_DEPENDS ${PORTICO_ALSO}/portico-store_*.deb
       ${PORTICO_ALSO}/portico-gateway_*.deb)
  set(take_along COMMAND ${CMAKE_COMMAND} -E copy ${also} ${CMAKE_BINARY_DIR}/packages)
endif()
add_custom_command(
  OUTPUT ${stamp}
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${CMAKE_BINARY_DIR}/packages
  COMMAND ${cpack} -D "CPACK_COMPONENTS_ALL=store;gateway"
  ${take_along}
  ${of_the_laptop}
  COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  DEPENDS ${programs} ${package_files} ${also}
  COMMENT "Debian packages" VERBATIM)
add_custom_target(packages DEPENDS ${stamp})
