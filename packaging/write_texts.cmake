# SPDX-License-Identifier: Apache-2.0
# cmake -DSEGUE=program -DTEXTS=folder -P write_texts.cmake: its manual pages and completions.
function(ask place)
  execute_process(COMMAND ${SEGUE} ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  file(WRITE ${TEXTS}/${place} "${text}")
endfunction()

file(REMOVE_RECURSE ${TEXTS})
execute_process(COMMAND ${SEGUE} manual OUTPUT_VARIABLE pages COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" pages "${pages}")
foreach(page IN LISTS pages)
  ask(man1/${page}.1 manual ${page})
endforeach()
ask(segue completion bash)
ask(_segue completion zsh)
ask(segue.fish completion fish)
file(TOUCH ${TEXTS}/stamp)
