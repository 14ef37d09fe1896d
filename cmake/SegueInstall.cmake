# SPDX-License-Identifier: Apache-2.0
# Where things are installed. Components: program (segue, its keeper, texts, unit), library
# (libsegue.so.N), development (headers, and what finds them).

# Debian's folder of libraries, also under /usr/local: GNUInstallDirs takes it only under /usr, and
# `cmake --install --prefix` comes after it has chosen.
if(EXISTS /etc/debian_version AND CMAKE_LIBRARY_ARCHITECTURE)
  set(CMAKE_INSTALL_LIBDIR lib/${CMAKE_LIBRARY_ARCHITECTURE} CACHE PATH "Folder of libraries")
endif()
include(GNUInstallDirs)

# segue_install_program(target folder)
function(segue_install_program target folder)
  if(NOT SEGUE_FUZZ)
    install(TARGETS ${target} DESTINATION ${folder} COMPONENT program)
  endif()
endfunction()
