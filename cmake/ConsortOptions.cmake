# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers and ccache. Warnings apply to our own targets only (consort_warnings).

option(CONSORT_TESTS "Build the tests" ON)
option(CONSORT_UNIT_TESTS "Of the tests, also those that start no program of users" ON)
option(CONSORT_WERROR "Treat warnings as errors" OFF)
option(CONSORT_UNITY "Compile a folder's sources a few at a time" OFF)
option(CONSORT_FUZZ "Build libFuzzer targets (clang only)" OFF)
set(CONSORT_SANITIZE "" CACHE STRING "Sanitizer: empty, address (with undefined) or thread")
set_property(CACHE CONSORT_SANITIZE PROPERTY STRINGS "" address thread)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Light debug information: full backtraces, half the build time and size of -g.
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1")
set(CMAKE_C_FLAGS_DEBUG "-Og -g1")
# Cheap assertions stay on in release: they guard invariants, not performance.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(consort_warnings INTERFACE)
target_compile_options(consort_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       $<$<BOOL:${CONSORT_WERROR}>:-Werror>)
if(CONSORT_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It takes an included source for a header whose local types could clash elsewhere.
  target_compile_options(consort_warnings INTERFACE -Wno-subobject-linkage)
endif()

if(CONSORT_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  # The checks' data are a million and a half addresses: the linker sets them once, not each start of a program, which
  # the tests do a thousand times and more (0.6 s of CPU time each before, 0.3 s since).
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
  if(NOT CONSORT_FUZZ)
    # A third of the whole build's time for what faults in front of ASan too, or needs a cast that only decoders have:
    # the fuzz preset, which feeds these, keeps every check.
    add_compile_options(-fno-sanitize=null,alignment,vptr,object-size)
  endif()
elseif(CONSORT_SANITIZE STREQUAL "thread")
  # GCC warns at each fence of Asio's that it does not follow them; its own locks it follows.
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  add_link_options(-fsanitize=thread)
elseif(NOT CONSORT_SANITIZE STREQUAL "")
  message(FATAL_ERROR "CONSORT_SANITIZE is '${CONSORT_SANITIZE}'; use address, thread or nothing")
endif()
if(CONSORT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
