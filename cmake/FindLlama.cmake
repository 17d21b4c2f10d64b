# SPDX-License-Identifier: Apache-2.0
# Imported target Llama::llama over the headers and libraries of one llama.cpp release that `./dev deps` put under
# .deps/llama/{include,lib}. LLAMA_LIBRARY_DIR also holds the CPU back-ends, loaded at run time.

include(FindPackageHandleStandardArgs)
set(LLAMA_ROOT "${PROJECT_SOURCE_DIR}/.deps/llama" CACHE PATH "Where ./dev deps put llama.cpp")
find_path(LLAMA_INCLUDE_DIR llama.h PATHS "${LLAMA_ROOT}/include" NO_DEFAULT_PATH)
find_file(LLAMA_LIBRARY libllama.v0.5.0.so PATHS "${LLAMA_ROOT}/lib" NO_DEFAULT_PATH)
find_file(GGML_LIBRARY libggml.v0.5.0.so PATHS "${LLAMA_ROOT}/lib" NO_DEFAULT_PATH)
find_file(GGML_BASE_LIBRARY libggml-base.so PATHS "${LLAMA_ROOT}/lib" NO_DEFAULT_PATH)
find_package_handle_standard_args(Llama
  REQUIRED_VARS LLAMA_LIBRARY GGML_LIBRARY GGML_BASE_LIBRARY LLAMA_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run ./dev deps")
set(LLAMA_LIBRARY_DIR "${LLAMA_ROOT}/lib")

if(Llama_FOUND AND NOT TARGET Llama::llama)
  add_library(Llama::llama SHARED IMPORTED)
  set_target_properties(Llama::llama PROPERTIES
    IMPORTED_LOCATION "${LLAMA_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LLAMA_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${GGML_LIBRARY};${GGML_BASE_LIBRARY}")
endif()
