# SPDX-License-Identifier: Apache-2.0
# Sets CONSORT_BUILD: the version, with `+` and the commit where this is a checkout of its own, and `.dirty` when that has
# changes. Looked up whenever CMake configures, which a commit or a checkout makes it do.
set(CONSORT_BUILD "${PROJECT_VERSION}")
find_program(GIT_PROGRAM NAMES git)
mark_as_advanced(GIT_PROGRAM)
if(GIT_PROGRAM AND EXISTS "${PROJECT_SOURCE_DIR}/.git")
  set(ask_git "${GIT_PROGRAM}" --no-optional-locks -C "${PROJECT_SOURCE_DIR}")
  execute_process(COMMAND ${ask_git} describe --always --abbrev=12 "--exclude=*" --dirty=.dirty
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${ask_git} rev-parse --path-format=absolute --git-path logs/HEAD
                  OUTPUT_VARIABLE moves OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(commit)
    string(APPEND CONSORT_BUILD "+${commit}")
  endif()
  if(moves AND EXISTS "${moves}")
    set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${moves}")
  endif()
endif()
