// SPDX-License-Identifier: Apache-2.0
#include "links/essential.hpp"

#include "links/log.hpp"

#include <cstdlib>

namespace consort::links {

void die_of(const char* part, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& failure) {
    log().critical("defect: {} threw: {}; the process ends", part, failure.what());
  } catch (...) {
    log().critical("defect: {} threw; the process ends", part);
  }
  log().flush();
  std::abort();
}

} // namespace consort::links
