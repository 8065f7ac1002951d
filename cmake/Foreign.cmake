# Foreign libraries: pkg::NAME for each pkg-config module, and tally::fuse.

find_package(PkgConfig REQUIRED)

# The same as find_package(Threads), without its compile tests: glibc has threads in libc.
add_library(Threads::Threads INTERFACE IMPORTED)
target_compile_options(Threads::Threads INTERFACE -pthread)
target_link_options(Threads::Threads INTERFACE -pthread)

foreach(module IN ITEMS json-c libxxhash libsystemd libcrypto sqlite3 libcrypt libargon2 liboath libssh libseccomp
                        libcap-ng libmicrohttpd libjwt gnutls libqrencode libpng libcurl
                        ncursesw)
    pkg_check_modules(PC_${module} REQUIRED QUIET IMPORTED_TARGET ${module})
    add_library(pkg::${module} ALIAS PkgConfig::PC_${module})
endforeach()

# cmocka is for tests only: a build without it has none.
pkg_check_modules(PC_cmocka QUIET IMPORTED_TARGET cmocka)

# libfuse: the newest static one that contrib/deps has built, else the system's. A new prefix is seen by the next build.
if(DEFINED ENV{TALLY_CACHE})
    set(tally_cache "$ENV{TALLY_CACHE}")
else()
    set(tally_cache /var/cache/tally)
endif()
set(TALLY_CACHE "${tally_cache}" CACHE PATH "Where contrib/deps puts libfuse")

add_library(tally_fuse INTERFACE)
add_library(tally::fuse ALIAS tally_fuse)

pkg_check_modules(PC_fuse3 QUIET IMPORTED_TARGET fuse3)
file(GLOB fuse_archives CONFIGURE_DEPENDS "${TALLY_CACHE}/fuse3-*/lib/libfuse3.a")
if(fuse_archives AND NOT PC_fuse3_VERSION VERSION_GREATER_EQUAL 3.18.3)
    list(SORT fuse_archives COMPARE NATURAL ORDER DESCENDING)
    list(GET fuse_archives 0 fuse_archive)
    cmake_path(GET fuse_archive PARENT_PATH fuse_prefix)
    cmake_path(GET fuse_prefix PARENT_PATH fuse_prefix)
    target_include_directories(tally_fuse SYSTEM INTERFACE "${fuse_prefix}/include/fuse3")
    target_link_libraries(tally_fuse INTERFACE "${fuse_archive}" dl rt Threads::Threads)
    target_compile_definitions(tally_fuse INTERFACE TALLY_FUSE_STATIC)
    message(STATUS "libfuse: ${fuse_archive}")
elseif(PC_fuse3_FOUND)
    target_link_libraries(tally_fuse INTERFACE PkgConfig::PC_fuse3)
    message(STATUS "libfuse: the system's ${PC_fuse3_VERSION}")
else()
    message(FATAL_ERROR "no libfuse: run contrib/deps")
endif()
