# Toolchain for nodes of arm64, from a machine of another kind: gcc-aarch64-linux-gnu, and the
# libraries of Debian 12 arm64 unpacked in PORTICO_SYSROOT (tools/arm64 makes it). Nothing foreign is
# installed on this machine.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_STRIP aarch64-linux-gnu-strip)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PORTICO_SYSROOT)
set(CMAKE_SYSROOT ${PORTICO_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${PORTICO_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    ${PORTICO_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${PORTICO_SYSROOT}/usr/share/pkgconfig)
