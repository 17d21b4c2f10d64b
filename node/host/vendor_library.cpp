// SPDX-License-Identifier: Apache-2.0
#include "node/host/vendor_library.hpp"

#include <dlfcn.h>

namespace consort::node {

namespace {

error bad(const std::string& path, const std::string& what) {
  return error{recovery::retry_elsewhere, "runtime_library_bad", path + ": " + what};
}

} // namespace

result<const consort_runtime_table*> load_vendor_library(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return bad(path, why == nullptr ? "cannot be loaded" : why);
  }
  // The conversion that POSIX guarantees and the language calls conditionally supported.
  const auto entry = reinterpret_cast<consort_runtime_fn>(::dlsym(library, CONSORT_RUNTIME_SYMBOL));
  if (entry == nullptr)
    return bad(path, "does not export " CONSORT_RUNTIME_SYMBOL);
  const consort_runtime_table* table = entry();
  if (table == nullptr)
    return bad(path, CONSORT_RUNTIME_SYMBOL " returned no table");
  // The size first: a smaller table of another ABI may not even have the field.
  if (table->size < offsetof(consort_runtime_table, abi) + sizeof(table->abi))
    return bad(path, "table of " + std::to_string(table->size) + " bytes is too small");
  if (table->abi != CONSORT_ABI)
    return bad(path, "speaks ABI " + std::to_string(table->abi) + ", this host speaks "
                         + std::to_string(CONSORT_ABI));
  if (table->size < sizeof(consort_runtime_table))
    return bad(path, "table of " + std::to_string(table->size) + " bytes is too small");
  if (table->open == nullptr || table->close == nullptr || table->submit == nullptr
      || table->cancel == nullptr || table->stats == nullptr)
    return bad(path, "table leaves functions out");
  return table;
}

} // namespace consort::node
