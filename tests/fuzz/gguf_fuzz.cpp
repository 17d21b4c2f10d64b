// SPDX-License-Identifier: Apache-2.0
/// No GGUF file breaks the checker, and what it accepts is plausible: the tensors fit the file.

#include "node/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto info = consort::node::inspect_gguf(std::as_bytes(std::span(data, size)));
  if (!info)
    return info.failure().message.starts_with("offset ") ? 0 : (std::abort(), 0);
  if (info->weight_bytes > size || info->vocabulary == 0 || info->vocabulary > size
      || info->layers == 0 || info->kv_heads > info->heads || info->tokenizer.empty())
    std::abort();
  return 0;
}
