# A room is a folder and the static library tally_<room> of its *.c files. A room without a .c file is skipped.

define_property(GLOBAL PROPERTY TALLY_ROOMS BRIEF_DOCS "Rooms so far, from left to right")

# tally_room(<room> [AFTER <rooms to its left>...] [LINKS <foreign targets>...])
function(tally_room room)
    cmake_parse_arguments(arg "" "" "AFTER;LINKS" ${ARGN})
    set_property(GLOBAL APPEND PROPERTY TALLY_ROOMS ${room})

    # What code of this room may see and must link; tests and the header check use it, too.
    add_library(tally_${room}_uses INTERFACE)
    target_link_libraries(tally_${room}_uses INTERFACE ${arg_LINKS})
    foreach(left IN LISTS arg_AFTER)
        if(TARGET tally_${left})
            target_link_libraries(tally_${room}_uses INTERFACE tally_${left})
        endif()
        target_link_libraries(tally_${room}_uses INTERFACE tally_${left}_uses)
    endforeach()

    add_custom_target(room-${room})

    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${room}/*.c")
    list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/${room}/main.c") # tally_program has it
    if(sources)
        add_library(tally_${room} STATIC ${sources})
        target_link_libraries(tally_${room} PUBLIC tally_${room}_uses)
        add_dependencies(room-${room} tally_${room})
    endif()

    file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${room}/*.h")
    if(headers AND TALLY_HEADER_CHECK)
        tally_header_check(${room} ${headers})
    endif()
endfunction()

# Each header compiles alone: one file per header that includes it and nothing else, twice for its guard.
function(tally_header_check room)
    set(checks)
    foreach(header IN LISTS ARGN)
        cmake_path(GET header STEM LAST_ONLY stem)
        set(check "${PROJECT_BINARY_DIR}/header_check/${room}/${stem}.c")
        file(CONFIGURE OUTPUT "${check}" CONTENT "#include \"${room}/${stem}.h\"\n#include \"${room}/${stem}.h\"\n")
        list(APPEND checks "${check}")
    endforeach()
    add_library(header_check_${room} OBJECT ${checks})
    target_link_libraries(header_check_${room} PRIVATE tally_${room}_uses)
    add_dependencies(room-${room} header_check_${room})
endfunction()

# tally_program(<name> ROOM <room>): <room>/main.c and the room. The target `programs` is all of them, without tests.
add_custom_target(programs)
function(tally_program name)
    cmake_parse_arguments(arg "" "ROOM" "" ${ARGN})
    file(GLOB main CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_ROOM}/main.c")
    if(NOT main)
        return()
    endif()
    add_executable(${name} ${main})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
    if(TARGET tally_${arg_ROOM})
        target_link_libraries(${name} PRIVATE tally_${arg_ROOM})
    endif()
    target_link_libraries(${name} PRIVATE tally_${arg_ROOM}_uses)
    add_dependencies(room-${arg_ROOM} ${name})
    add_dependencies(programs ${name})
endfunction()
