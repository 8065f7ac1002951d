# Tests that ctest runs. End-to-end tests are pytest and run by contrib/test.
#
#   tests/unit/<room>/test_X.c          unit_<room>_X           label unit, 120 s
#   tests/integration/<room>/test_X.c   integration_<room>_X    label integration, 300 s
#   tests/fuzz/X.c (or fuzz_X.c)        fuzz_X: replays tests/fuzz/corpus/X/; with TALLY_FUZZ it is the fuzzer itself
#
# A test links its room, so the rooms to its left, and tests/support/*.c. Other *.c files beside a room's tests are
# helpers that each of those tests links. Exit code 77 means skipped.

set(tally_test_environment
    "ASAN_OPTIONS=detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")

function(tally_tests)
    file(GLOB support CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/support/*.c")
    list(FILTER support EXCLUDE REGEX "/nfs_client\\.c$") # a program
    if(support AND PC_cmocka_FOUND)
        add_library(tally_test_support STATIC ${support})
        target_link_libraries(tally_test_support PUBLIC tally_base_uses PkgConfig::PC_cmocka)
        if(TARGET tally_base)
            target_link_libraries(tally_test_support PUBLIC tally_base)
        endif()
    endif()

    get_property(rooms GLOBAL PROPERTY TALLY_ROOMS)
    if(PC_cmocka_FOUND)
        foreach(room IN LISTS rooms)
            tally_test_folder(unit ${room} 120)
            tally_test_folder(integration ${room} 300)
        endforeach()
    else()
        message(STATUS "no cmocka: no unit and integration tests")
    endif()
    tally_fuzz_targets(${rooms})
    tally_nfs_client()
endfunction()

# The NFS client of tests/e2e/nfs.py; those tests are skipped without it.
function(tally_nfs_client)
    pkg_check_modules(PC_libnfs QUIET IMPORTED_TARGET libnfs)
    if(PC_libnfs_FOUND AND TARGET tally_base)
        add_executable(nfs_client "${PROJECT_SOURCE_DIR}/tests/support/nfs_client.c")
        set_target_properties(nfs_client PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
        target_link_libraries(nfs_client PRIVATE tally_base tally_base_uses PkgConfig::PC_libnfs)
    else()
        message(STATUS "no libnfs: no NFS tests")
    endif()
endfunction()

function(tally_test_folder level room timeout)
    set(folder "${PROJECT_SOURCE_DIR}/tests/${level}/${room}")
    file(GLOB tests CONFIGURE_DEPENDS "${folder}/test_*.c")
    if(NOT tests)
        return()
    endif()

    set(links tally_${room}_uses)
    if(TARGET tally_${room})
        list(PREPEND links tally_${room})
    endif()
    if(TARGET tally_test_support)
        list(PREPEND links tally_test_support)
    endif()

    file(GLOB helpers CONFIGURE_DEPENDS "${folder}/*.c")
    list(REMOVE_ITEM helpers ${tests})
    if(helpers)
        add_library(${level}_${room}_helpers STATIC ${helpers})
        target_link_libraries(${level}_${room}_helpers PUBLIC ${links} PkgConfig::PC_cmocka)
        list(PREPEND links ${level}_${room}_helpers)
    endif()

    foreach(test IN LISTS tests)
        cmake_path(GET test STEM LAST_ONLY stem)
        string(REGEX REPLACE "^test_" "${level}_${room}_" name "${stem}")
        add_executable(${name} "${test}")
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
        target_link_libraries(${name} PRIVATE ${links} PkgConfig::PC_cmocka)
        target_compile_definitions(${name} PRIVATE TALLY_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
        add_test(NAME ${name} COMMAND ${name})
        set_tests_properties(${name} PROPERTIES LABELS "${level};${room}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77
                                                ENVIRONMENT "${tally_test_environment}")
        add_dependencies(room-${room} ${name})
    endforeach()
endfunction()

function(tally_fuzz_targets)
    file(GLOB targets CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/fuzz/*.c")
    foreach(target IN LISTS targets)
        cmake_path(GET target STEM LAST_ONLY stem)
        string(REGEX REPLACE "^fuzz_" "" stem "${stem}")
        set(name fuzz_${stem})
        add_executable(${name} "${target}")
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
        foreach(room IN LISTS ARGN)
            if(TARGET tally_${room})
                target_link_libraries(${name} PRIVATE tally_${room})
            endif()
        endforeach()
        if(TALLY_FUZZ)
            target_link_options(${name} PRIVATE -fsanitize=fuzzer)
            set(replay ${name} -runs=0)
        else()
            target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/fuzz_replay.c")
            set(replay ${name})
        endif()
        file(GLOB corpus LIST_DIRECTORIES true CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${stem}")
        if(corpus)
            add_test(NAME ${name} COMMAND ${replay} "${corpus}")
            set_tests_properties(${name} PROPERTIES LABELS "unit;fuzz" TIMEOUT 120
                                                    ENVIRONMENT "${tally_test_environment}")
        endif()
    endforeach()
endfunction()
