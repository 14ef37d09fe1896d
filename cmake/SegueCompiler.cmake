# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers and build tools, the same for every target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Build type "Dev": quick to build, good stack traces.
foreach(language C CXX)
  set(CMAKE_${language}_FLAGS_DEV "-Og -g1 -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS")
endforeach()

# What is shipped is hardened as Debian's own packages are (dpkg-buildflags(1)).
set(hardened $<CONFIG:RelWithDebInfo>)
add_compile_options(
  $<${hardened}:-fstack-protector-strong> $<${hardened}:-D_FORTIFY_SOURCE=2>)
add_link_options($<${hardened}:LINKER:-z,relro,-z,now>)

add_compile_options(
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wformat=2
  -Wcast-align -Wcast-qual -Wdouble-promotion -Wimplicit-fallthrough
  -Wno-missing-field-initializers  # { .designated = initializers } leave the rest at its default
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  $<$<COMPILE_LANGUAGE:CXX>:-Wextra-semi>
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond>
  $<$<CXX_COMPILER_ID:GNU>:-Wlogical-op>)

if(SEGUE_SANITIZERS)
  # vptr looks whether it may read an object with pipes, which is wrong in a process without a descriptor to spare.
  set(sanitizers -fsanitize=${SEGUE_SANITIZERS} -fno-sanitize=vptr)
  # Undefined behaviour ends a program with SIGILL, and AddressSanitizer says where. A text for each check would be
  # 145 MB of data in `segue`, which AddressSanitizer guards piece by piece: at each start, and in each compilation.
  add_compile_options(
    ${sanitizers}
    $<IF:$<CXX_COMPILER_ID:GNU>,-fsanitize-undefined-trap-on-error,-fno-sanitize-recover=all>)
  add_link_options(${sanitizers})
endif()
# Each check brings data with addresses in it: where those are fixed, a program starts in two thirds of the time.
if(SEGUE_SANITIZERS MATCHES address)
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
