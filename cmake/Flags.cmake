# Language, warnings, and the variants that the presets choose.

set(TALLY_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=, e.g. address,undefined")
option(TALLY_COVERAGE "Count executed lines (gcov)" OFF)
option(TALLY_FUZZ "Build tests/fuzz with libFuzzer (clang); otherwise they only replay their corpus" OFF)
option(TALLY_HARDEN "Hardening of the release binary" OFF)
option(TALLY_HEADER_CHECK "Compile each header alone" ON)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
set(CMAKE_THREAD_LIBS_INIT -pthread)

include_directories("${PROJECT_SOURCE_DIR}")
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64 TALLY_VERSION="${PROJECT_VERSION}")
add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wvla -Werror -fno-common -fno-omit-frame-pointer)
add_link_options(-Wl,--as-needed -pie)

if(CMAKE_C_COMPILER_ID MATCHES Clang)
    add_compile_options(-Wthread-safety -Werror=thread-safety)
endif()

if(TALLY_SANITIZE)
    add_compile_options(-fsanitize=${TALLY_SANITIZE} -fno-sanitize-recover=all)
    string(REPLACE "fuzzer-no-link," "" at_link "${TALLY_SANITIZE}") # it is for the compiler
    add_link_options(-fsanitize=${at_link})
    if(CMAKE_C_COMPILER_ID STREQUAL GNU)
        add_compile_options(-Wno-maybe-uninitialized) # instrumented code misleads gcc; the release build checks it
    endif()
endif()

if(TALLY_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()

if(TALLY_HARDEN)
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection)
    add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        add_compile_options(-fcf-protection=full)
    endif()
endif()
