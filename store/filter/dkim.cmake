# The DKIM verifier: a library of its own, included by CMakeLists.txt of this directory.
portico_library(dkim
  SOURCES
    dkim.c dkim_body.c dkim_canon.c dkim_crypto.c dkim_dns.c dkim_flaw.c dkim_headers.c
    dkim_key.c dkim_keys.c dkim_reply.c dkim_servers.c dkim_sig.c dkim_tags.c
  LINK common
  PRIVATE_LINK PkgConfig::libcrypto Threads::Threads resolv)
