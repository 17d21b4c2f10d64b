// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Checks a GGUF file (version 2 or 3, little-endian) before any engine opens it, and says what is
/// in it. Every count, length and offset is checked against the file with arithmetic that cannot
/// overflow; memory is bounded by the file's own table of contents, never by a number found in it.
/// Pure but for reading the file; errors name the byte offset and the field, code `bad_model`,
/// action `refuse`.

#include "node/file_digest.hpp"

#include <cstddef>
#include <span>

namespace consort::node {

/// What the engine and the scheduler want to know about a model file.
struct gguf_info {
  std::uint32_t version = 0;
  std::string architecture; ///< `general.architecture`, e.g. `llama`.
  std::string name;         ///< `general.name`; may be empty.
  std::uint32_t context_tokens = 0;
  std::uint32_t layers = 0;
  std::uint32_t embedding = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;         ///< Largest over the layers.
  std::uint32_t vocabulary = 0;       ///< Tokens.
  std::uint32_t token_bytes_max = 0;  ///< As in model_variant; 0 where the tokenizer may drop text.
  std::uint32_t feed_forward = 0;     ///< Largest width over the layers; 0 = it does not say.
  std::uint64_t feed_forward_sum = 0; ///< Of these widths: tells layers of several apart.
  std::uint32_t experts = 0;          ///< 0 = it is no mixture of them.
  std::uint32_t kv_bytes_per_token = 0; ///< With an f16 cache, over all layers.
  std::string quantization;             ///< Type of most weight bytes: `f16`, `q8_0` ...
  std::uint64_t weight_bytes = 0;       ///< Of all tensors.
  std::uint64_t tensors = 0;
  bool has_chat_template = false;
  digest tokenizer;     ///< Of all `tokenizer.*` values but the template, as stored.
  digest chat_template; ///< Empty when there is none.
  std::string shape; ///< Fingerprint: architecture and dimensions, e.g. `llama-l6-d256-i688-h8-v9`.
};

/// Checks a file of `file_bytes` bytes (at least `bytes.size()`) by its head: all that precedes the
/// tensor data must be within `bytes`.
[[nodiscard]] result<gguf_info> inspect_gguf(std::span<const std::byte> bytes,
                                             std::uint64_t file_bytes = 0);
/// Reads the file's head (up to limits::gguf_contents_bytes_max) and checks it.
[[nodiscard]] result<gguf_info> inspect_gguf_file(const std::string& path);
/// What a file says it is (`general.type`): `model`, `adapter` ...; empty when it does not say. Its
/// metadata alone are checked.
[[nodiscard]] result<std::string> type_of_gguf_file(const std::string& path);

/// The variant that such a file is.
[[nodiscard]] model_variant variant_of(const gguf_info& info, const std::string& source,
                                       const digest& content);
/// The variant that a GGUF file is, its digest included (from `digests`). `source` becomes `path`.
[[nodiscard]] result<model_variant> describe_gguf(const std::string& path, digest_cache& digests);

} // namespace consort::node
