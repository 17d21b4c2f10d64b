// SPDX-License-Identifier: Apache-2.0
#include "node/host/vendor_library.hpp"

#include <dlfcn.h>

namespace consort::node {

namespace {

error bad(const std::string& path, const std::string& what) {
  return error{recovery::retry_elsewhere, "runtime_library_bad", path + ": " + what};
}

/// The table that an object's `symbol` returns, once size and ABI are ours.
template <class Table>
result<const Table*> load_table(const std::string& path, const char* symbol) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return bad(path, why == nullptr ? "cannot be loaded" : why);
  }
  // The conversion that POSIX guarantees and the language calls conditionally supported.
  using entry_fn = const Table* (*)();
  const auto entry = reinterpret_cast<entry_fn>(::dlsym(library, symbol));
  if (entry == nullptr)
    return bad(path, std::string("does not export ") + symbol);
  const Table* table = entry();
  if (table == nullptr)
    return bad(path, std::string(symbol) + " returned no table");
  // The size first: a smaller table of another ABI may not even have the field.
  if (table->size < offsetof(Table, abi) + sizeof(table->abi))
    return bad(path, "table of " + std::to_string(table->size) + " bytes is too small");
  if (table->abi != CONSORT_ABI)
    return bad(path, "speaks ABI " + std::to_string(table->abi) + ", this host speaks "
                         + std::to_string(CONSORT_ABI));
  if (table->size < sizeof(Table))
    return bad(path, "table of " + std::to_string(table->size) + " bytes is too small");
  return table;
}

} // namespace

result<const consort_runtime_table*> load_vendor_library(const std::string& path) {
  const auto loaded = load_table<consort_runtime_table>(path, CONSORT_RUNTIME_SYMBOL);
  if (!loaded)
    return loaded;
  const auto* table = *loaded;
  if (table->open == nullptr || table->close == nullptr || table->submit == nullptr
      || table->cancel == nullptr || table->stats == nullptr)
    return bad(path, "table leaves functions out");
  return table;
}

result<const consort_compiler_table*> load_vendor_compiler(const std::string& path) {
  const auto loaded = load_table<consort_compiler_table>(path, CONSORT_COMPILER_SYMBOL);
  if (loaded && (*loaded)->compile == nullptr)
    return bad(path, "table leaves functions out");
  return loaded;
}

} // namespace consort::node
