# SPDX-License-Identifier: Apache-2.0
# Imported targets over Debian's CAF 0.17, which ships no package file of its own: CAF::core, CAF::io, CAF::openssl.

include(FindPackageHandleStandardArgs)
find_path(CAF_INCLUDE_DIR caf/all.hpp)
set(caf_required CAF_INCLUDE_DIR)
foreach(part core io openssl)
  find_library(CAF_${part}_LIBRARY caf_${part})
  list(APPEND caf_required CAF_${part}_LIBRARY)
endforeach()
find_package_handle_standard_args(CAF REQUIRED_VARS ${caf_required})

if(CAF_FOUND AND NOT TARGET CAF::core)
  foreach(part core io openssl)
    add_library(CAF::${part} UNKNOWN IMPORTED)
    set_target_properties(CAF::${part} PROPERTIES IMPORTED_LOCATION "${CAF_${part}_LIBRARY}")
  endforeach()
  target_link_libraries(CAF::core INTERFACE Threads::Threads)
  target_link_libraries(CAF::io INTERFACE CAF::core)
  target_link_libraries(CAF::openssl INTERFACE CAF::io OpenSSL::SSL)
endif()
