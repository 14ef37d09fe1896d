# SPDX-License-Identifier: Apache-2.0
#
# segue_library(NAME name LAYER n SOURCES file...
#               [DEPS library...]         Segue libraries, of lower layers only
#               [SAME_LAYER library...]   Segue libraries of the same layer; never in layer 4
#               [EXTERNAL target...]      imported targets, such as fmt::fmt
#               [INCLUDE dir...]          more public include directories
#               [TESTS file...])          GoogleTest sources of one program, NAME_test
#   Makes the static library `name` from the current folder. Its headers are seen as "name/x.h", and
#   only by those that link it. An edge against the layers is refused when CMake configures.
#
# segue_program(NAME name MAIN file [LIBS target...])
#   Makes an executable. A program stands above all layers.
#
# segue_test(NAME name SOURCES file... [LIBS target...] [LABELS label...])
#   Makes a GoogleTest program and registers each of its tests with CTest as name.Suite.test.

set(SEGUE_TOP_LAYER 4)

function(segue_library)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;LAYER"
    "SOURCES;DEPS;SAME_LAYER;EXTERNAL;INCLUDE;TESTS")
  _segue_check_arguments(segue_library NAME LAYER SOURCES)
  _segue_check_edges(${arg_NAME} ${arg_LAYER} "${arg_DEPS}" "${arg_SAME_LAYER}")

  add_library(${arg_NAME} STATIC ${arg_SOURCES})
  set_target_properties(${arg_NAME} PROPERTIES SEGUE_LAYER ${arg_LAYER})
  _segue_export_headers(${arg_NAME})
  target_include_directories(${arg_NAME} PUBLIC ${arg_INCLUDE})
  target_link_libraries(${arg_NAME} PUBLIC ${arg_DEPS} ${arg_SAME_LAYER} ${arg_EXTERNAL})
  if(SEGUE_FUZZ)
    set_target_properties(${arg_NAME} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  if(arg_TESTS)
    segue_test(NAME ${arg_NAME} SOURCES ${arg_TESTS} LIBS ${arg_NAME} LABELS unit)
  endif()
endfunction()

function(segue_program)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;MAIN" "LIBS")
  _segue_check_arguments(segue_program NAME MAIN)
  add_executable(${arg_NAME} ${arg_MAIN})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_LIBS})
  if(SEGUE_FUZZ)
    set_target_properties(${arg_NAME} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

function(segue_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;LIBS;LABELS")
  _segue_check_arguments(segue_test NAME SOURCES)
  if(SEGUE_FUZZ)
    return()
  endif()
  add_executable(${arg_NAME}_test ${arg_SOURCES})
  target_link_libraries(${arg_NAME}_test PRIVATE ${arg_LIBS} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${arg_NAME}_test
    TEST_PREFIX ${arg_NAME}. DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 300)
endfunction()

# Lets those who link `target` write #include "target/x.h": a folder of its own holds only a link to
# the sources, so that no include path leads to a neighbour.
function(_segue_export_headers target)
  set(export_dir ${CMAKE_BINARY_DIR}/include/${target})
  file(MAKE_DIRECTORY ${export_dir})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${export_dir}/${target} SYMBOLIC)
  target_include_directories(${target} PUBLIC ${export_dir})
endfunction()

function(_segue_check_edges name layer deps same_layer)
  set(see "See the layers in docs/architecture.md")
  foreach(dep IN LISTS deps same_layer)
    set(edge "library '${name}' (layer ${layer}) cannot depend on '${dep}'")
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "${edge}: no such library so far. "
        "Check the name, or move its folder before ${name}'s in src/CMakeLists.txt.")
    endif()
    get_target_property(dep_layer ${dep} SEGUE_LAYER)
    if(dep_layer STREQUAL "dep_layer-NOTFOUND")
      message(FATAL_ERROR "${edge}: it has no layer. "
        "List a target from outside under EXTERNAL; make a Segue library with segue_library().")
    endif()

    if(dep_layer GREATER layer)
      message(FATAL_ERROR "${edge}: layer ${dep_layer} is above it. Let '${dep}' depend on '${name}', "
        "or move what both need into a library of a lower layer. ${see}.")
    elseif(dep_layer EQUAL layer AND layer EQUAL SEGUE_TOP_LAYER)
      message(FATAL_ERROR "${edge}: libraries of layer ${layer} never see each other. "
        "Move what both need into a library of a lower layer. ${see}.")
    elseif(dep_layer EQUAL layer AND NOT dep IN_LIST same_layer)
      message(FATAL_ERROR "${edge}: it is of the same layer. "
        "List it under SAME_LAYER if the edge is meant, or move what both need down. ${see}.")
    elseif(dep_layer LESS layer AND dep IN_LIST same_layer)
      message(FATAL_ERROR "${edge} as SAME_LAYER: it is of layer ${dep_layer}. List it under DEPS.")
    endif()
  endforeach()
endfunction()

# A macro: it reads the caller's parsed arguments.
macro(_segue_check_arguments function)
  foreach(_required ${ARGN})
    if(NOT DEFINED arg_${_required})
      message(FATAL_ERROR "${function}(NAME ${arg_NAME} …): ${_required} is missing.")
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${function}(NAME ${arg_NAME} …): unknown: ${arg_UNPARSED_ARGUMENTS}.")
  endif()
endmacro()
