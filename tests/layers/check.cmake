# SPDX-License-Identifier: Apache-2.0
# Configures project/ with one edge at a time, and looks at what segue_library says to it.
cmake_minimum_required(VERSION 3.25)

# expect(<name> ACCEPTED|REFUSED <words of the message> [-D...])
function(expect name verdict words)
  set(build_dir ${WORK_DIR}/${name})
  file(REMOVE_RECURSE ${build_dir})
  execute_process(
    COMMAND ${CMAKE_COMMAND} -G Ninja -S ${CMAKE_CURRENT_LIST_DIR}/project -B ${build_dir}
      -D SEGUE_SOURCE_DIR=${SEGUE_SOURCE_DIR} ${ARGN}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  string(FIND "${output}" "${words}" position)
  if(result EQUAL 0 AND verdict STREQUAL "REFUSED")
    message(SEND_ERROR "${name}: was accepted")
  elseif(NOT result EQUAL 0 AND verdict STREQUAL "ACCEPTED")
    message(SEND_ERROR "${name}: was refused: ${output}")
  elseif(position EQUAL -1)
    message(SEND_ERROR "${name}: '${words}' is not in its message: ${output}")
  endif()
endfunction()

# expect_build(<name> SUCCEEDS|FAILS <words of the message>), after expect() of the same name
function(expect_build name verdict words)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK_DIR}/${name}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(FIND "${output}" "${words}" position)
  if(result EQUAL 0 AND verdict STREQUAL "FAILS")
    message(SEND_ERROR "${name}: was built")
  elseif(NOT result EQUAL 0 AND verdict STREQUAL "SUCCEEDS")
    message(SEND_ERROR "${name}: was not built: ${output}")
  elseif(position EQUAL -1)
    message(SEND_ERROR "${name}: '${words}' is not in its message: ${output}")
  endif()
endfunction()

# The project has the libraries low (layer 1), middle (2), high (3) and top (4).
expect(downward ACCEPTED "" -D LAYER=2 -D DEPS=low)
expect(upward REFUSED "layer 3 is above it" -D LAYER=2 -D DEPS=high)
expect(upward_listed REFUSED "layer 3 is above it" -D LAYER=2 -D SAME_LAYER=high)
expect(same_layer REFUSED "List it under SAME_LAYER" -D LAYER=2 -D DEPS=middle)
expect(same_layer_listed ACCEPTED "" -D LAYER=2 -D SAME_LAYER=middle)
expect(downward_as_same_layer REFUSED "List it under DEPS" -D LAYER=2 -D SAME_LAYER=low)
expect(top REFUSED "never see each other" -D LAYER=4 -D DEPS=top)
expect(top_listed REFUSED "never see each other" -D LAYER=4 -D SAME_LAYER=top)
expect(unknown REFUSED "no such library so far" -D LAYER=2 -D DEPS=nobody)
expect(without_layer REFUSED "List a target from outside under EXTERNAL"
  -D LAYER=2 -D DEPS=outside)
expect(without_sources REFUSED "SOURCES is missing" -D LAYER=2 -D WITHOUT_SOURCES=ON)

expect(linked ACCEPTED "" -D LAYER=2 -D DEPS=low -D INCLUDES=low/low.h)
expect_build(linked SUCCEEDS "")
expect(unlinked ACCEPTED "" -D LAYER=3 -D DEPS=low -D INCLUDES=middle/middle.h)
expect_build(unlinked FAILS "middle/middle.h: No such file")
