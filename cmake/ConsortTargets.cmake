# SPDX-License-Identifier: Apache-2.0
# Two helpers so that every folder's list stays short.

# consort_library(NAME SOURCES ... LINK ... [PRIVATE_LINK ...]): a static library of one folder; includes are written from the root.
function(consort_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${name} PUBLIC ${arg_LINK} PRIVATE consort_warnings ${arg_PRIVATE_LINK})
endfunction()

# consort_test(NAME SOURCES ... LINK ... [LABELS ...] [TIMEOUT s]): a GoogleTest program; each test is one ctest entry.
function(consort_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gmock GTest::gtest_main consort_warnings)
  target_compile_definitions(${name} PRIVATE CONSORT_SOURCE_DIR="${PROJECT_SOURCE_DIR}" CONSORT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()
