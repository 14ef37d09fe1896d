# SPDX-License-Identifier: Apache-2.0
#
# segue_fuzz(NAME name SOURCES file... CORPUS dir [LIBS target...])
#   SOURCES define LLVMFuzzerTestOneInput. Under the preset `fuzz` this makes the libFuzzer program
#   fuzz_NAME; under the others fuzz_NAME replays every file of CORPUS, as the CTest test fuzz.NAME.

if(SEGUE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SEGUE_FUZZ needs clang, which brings libFuzzer: use `cmake --preset fuzz`.")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
else()
  add_library(fuzz_replay OBJECT ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
endif()

function(segue_fuzz)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;CORPUS" "SOURCES;LIBS")
  _segue_check_arguments(segue_fuzz NAME SOURCES CORPUS)
  file(REAL_PATH ${arg_CORPUS} corpus BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})

  add_executable(fuzz_${arg_NAME} ${arg_SOURCES})
  target_link_libraries(fuzz_${arg_NAME} PRIVATE ${arg_LIBS})
  if(SEGUE_FUZZ)
    target_link_options(fuzz_${arg_NAME} PRIVATE -fsanitize=fuzzer)
    return()
  endif()
  target_link_libraries(fuzz_${arg_NAME} PRIVATE fuzz_replay)
  add_test(NAME fuzz.${arg_NAME} COMMAND fuzz_${arg_NAME} ${corpus})
  set_tests_properties(fuzz.${arg_NAME} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
