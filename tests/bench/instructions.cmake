# SPDX-License-Identifier: Apache-2.0
# The gate on instructions per request life, and the proof that it can refuse. Only in the release build, whose counts
# instructions.txt holds; 77 says that there is no valgrind.
if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  return()
endif()
add_test(NAME Bench.instructions COMMAND ./instructions.sh "${PROJECT_BINARY_DIR}")
add_test(NAME Bench.instructions_refused COMMAND ./instructions.sh "${PROJECT_BINARY_DIR}" --against exceeded.txt)
set_tests_properties(Bench.instructions Bench.instructions_refused PROPERTIES LABELS bench TIMEOUT 1800
                     SKIP_RETURN_CODE 77 WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
set_tests_properties(Bench.instructions_refused PROPERTIES PASS_REGULAR_EXPRESSION "more than 10 % above 1\n")
