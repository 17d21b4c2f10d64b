// SPDX-License-Identifier: Apache-2.0
#include "node/gguf.hpp"

#include "node/gguf_reader.hpp"
#include "node/small_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

namespace consort::node {

namespace {

constexpr std::uint32_t magic = 0x46554747; // "GGUF", little-endian.
constexpr std::uint64_t alignment_default = 32;
// Far above any model known; what exceeds them is damage, and products of them cannot overflow.
constexpr std::uint64_t context_tokens_max = 1U << 28U;
constexpr std::uint64_t layers_max = 4096;
constexpr std::uint64_t embedding_max = 1U << 20U;
constexpr std::uint64_t heads_max = 1U << 16U;
constexpr std::uint64_t vocabulary_max = 1U << 24U;
constexpr std::uint64_t kv_number_bytes = 2; // f16.

/// One inspection: the cursor (which holds the first failure) and what was read.
struct inspection {
  gguf_cursor from;
  gguf_metadata metadata;
  gguf_info info;

  void fail(const std::string& key, const std::string& message) { from.fail(key, message); }
  [[nodiscard]] const gguf_value* find(std::string_view key) const {
    const auto found = metadata.find(key);
    return found == metadata.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::string_view text(std::string_view key) const {
    const auto* value = find(key);
    return value == nullptr ? std::string_view{} : value->text().value_or(std::string_view{});
  }
  /// A whole number within `min`..`max`; absent = `fallback`, or a failure when there is none.
  std::uint64_t whole(const std::string& key, std::uint64_t min, std::uint64_t max,
                      std::optional<std::uint64_t> fallback = std::nullopt);
  std::uint64_t largest(const std::string& key, std::uint64_t max, std::uint64_t fallback,
                        std::uint64_t& sum);
};

std::uint64_t inspection::whole(const std::string& key, std::uint64_t min, std::uint64_t max,
                                std::optional<std::uint64_t> fallback) {
  const auto* value = find(key);
  if (value == nullptr) {
    if (!fallback)
      fail(key, "required key is missing");
    return fallback.value_or(min);
  }
  const auto number = value->whole();
  if (number && *number >= min && *number <= max)
    return *number;
  fail(key, (number ? std::to_string(*number) : std::string("not a whole number")) + ", expected "
                + std::to_string(min) + " to " + std::to_string(max));
  return min;
}

/// A figure that may differ by layer. Returns: the largest; `sum` over all layers.
std::uint64_t inspection::largest(const std::string& key, std::uint64_t max, std::uint64_t fallback,
                                  std::uint64_t& sum) {
  const auto* value = find(key);
  if (value == nullptr || value->type != gguf_type::array) {
    const auto number = whole(key, 0, max, fallback);
    sum = number * info.layers;
    return number;
  }
  const auto numbers = value->wholes();
  if (!numbers || numbers->size() < info.layers
      || std::any_of(numbers->begin(), numbers->end(), [max](auto n) { return n > max; })) {
    fail(key, "expected one whole number per layer, at most " + std::to_string(max));
    return 0;
  }
  sum = 0;
  for (std::uint32_t i = 0; i < info.layers; ++i)
    sum += (*numbers)[i];
  return numbers->empty() ? 0 : *std::max_element(numbers->begin(), numbers->end());
}

struct header {
  std::uint64_t tensors = 0;
  std::uint64_t keys = 0;
};

header read_header(inspection& now) {
  header head;
  if (now.from.number<std::uint32_t>("magic") != magic)
    now.fail("magic", "not a GGUF file");
  now.info.version = now.from.number<std::uint32_t>("version");
  if (now.info.version != 2 && now.info.version != 3)
    now.fail("version", std::to_string(now.info.version) + ", expected 2 or 3 (little-endian)");
  head.tensors = now.from.number<std::uint64_t>("tensor count");
  head.keys = now.from.number<std::uint64_t>("key count");
  if (head.tensors == 0 || head.tensors > limits::gguf_tensors_max)
    now.fail("tensor count", std::to_string(head.tensors) + ", expected 1 to "
                                 + std::to_string(limits::gguf_tensors_max));
  if (head.keys == 0 || head.keys > limits::gguf_keys_max)
    now.fail("key count", std::to_string(head.keys) + ", expected 1 to "
                              + std::to_string(limits::gguf_keys_max));
  return head;
}

std::uint64_t read_alignment(inspection& now) {
  const auto alignment
      = now.whole("general.alignment", 1, limits::gguf_alignment_max, alignment_default);
  if ((alignment & (alignment - 1)) != 0)
    now.fail("general.alignment", "not a power of two");
  return alignment;
}

/// Every tensor within the file and none over another.
void check_layout(inspection& now, std::vector<gguf_tensor>& tensors, std::uint64_t alignment) {
  const auto padding = (alignment - now.from.offset() % alignment) % alignment;
  if (padding > now.from.left())
    return now.fail("tensor data", "the file ends before it");
  const auto room = now.from.left() - padding;
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& left, const auto& right) { return left.offset < right.offset; });
  std::uint64_t used = 0;
  for (const auto& tensor : tensors) {
    const auto field = "tensor " + std::string(tensor.name);
    if (tensor.offset < used)
      return now.fail(field, "overlaps another tensor");
    if (tensor.offset > room || tensor.bytes > room - tensor.offset)
      return now.fail(field, std::to_string(tensor.bytes) + " bytes at "
                                 + std::to_string(tensor.offset)
                                 + " reach past the data section of " + std::to_string(room)
                                 + " bytes: the file is truncated");
    used = tensor.offset + tensor.bytes;
    now.info.weight_bytes += tensor.bytes;
  }
}

std::string main_type(const std::vector<gguf_tensor>& tensors) {
  std::map<std::string, std::uint64_t> bytes;
  for (const auto& tensor : tensors)
    bytes[tensor.type->name] += tensor.bytes;
  const auto most
      = std::max_element(bytes.begin(), bytes.end(), [](const auto& left, const auto& right) {
          return left.second < right.second;
        });
  return most == bytes.end() ? std::string{} : most->first;
}

void read_architecture(inspection& now) {
  auto& info = now.info;
  info.architecture = now.text("general.architecture");
  info.name = now.text("general.name").substr(0, 256);
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (info.architecture.empty() || info.architecture.size() > 64
      || !std::all_of(info.architecture.begin(), info.architecture.end(), plain))
    return now.fail("general.architecture", "required key is missing or is not a plain word");
  const auto prefix = info.architecture + ".";
  const auto number = [&](const char* key, std::uint64_t max) {
    return static_cast<std::uint32_t>(now.whole(prefix + key, 1, max));
  };
  info.context_tokens = number("context_length", context_tokens_max);
  info.embedding = number("embedding_length", embedding_max);
  info.layers = number("block_count", layers_max);
  std::uint64_t heads_sum = 0, kv_heads_sum = 0;
  const auto heads = now.largest(prefix + "attention.head_count", heads_max, 0, heads_sum);
  const auto kv_heads
      = now.largest(prefix + "attention.head_count_kv", heads_max, heads, kv_heads_sum);
  info.heads = static_cast<std::uint32_t>(heads);
  info.kv_heads = static_cast<std::uint32_t>(kv_heads);
  if (heads == 0 || heads > info.embedding || kv_heads > heads)
    return now.fail(prefix + "attention.head_count",
                    std::to_string(heads) + " heads and " + std::to_string(kv_heads)
                        + " KV heads do not fit an embedding of " + std::to_string(info.embedding));
  info.feed_forward = static_cast<std::uint32_t>(
      now.largest(prefix + "feed_forward_length", embedding_max, 0, info.feed_forward_sum));
  info.experts
      = static_cast<std::uint32_t>(now.whole(prefix + "expert_count", 0, embedding_max, 0));
  const auto width = info.embedding / heads;
  const auto key_width = now.whole(prefix + "attention.key_length", 1, embedding_max, width);
  const auto value_width = now.whole(prefix + "attention.value_length", 1, embedding_max, width);
  // At most 4096 layers * 2^16 heads * 2^21 * 2 bytes: fits 64 bits.
  const auto kv_bytes = kv_heads_sum * (key_width + value_width) * kv_number_bytes;
  if (kv_bytes > std::numeric_limits<std::uint32_t>::max())
    return now.fail(prefix + "attention.head_count_kv", "KV cache per token is implausible");
  info.kv_bytes_per_token = static_cast<std::uint32_t>(kv_bytes);
}

void check_token_array(inspection& now, const std::string& key, gguf_type item) {
  const auto* value = now.find(key);
  if (value != nullptr
      && (value->type != gguf_type::array || value->item != item
          || value->count != now.info.vocabulary))
    now.fail(key, "expected an array of one entry per token (" + std::to_string(now.info.vocabulary)
                      + ")");
}

/// Bytes of the longest token, where every byte of a text ends up in one: byte pairs (whose bytes
/// beyond ASCII stand there as two), and pieces with bytes to fall back on. Others fold spaces and
/// forms of a letter first. Requires: the array was read.
std::uint32_t longest_token(inspection& now, const gguf_value& tokens) {
  const auto kind = now.text("tokenizer.ggml.model");
  if (kind != "gpt2" && kind != "llama")
    return 0;
  std::uint64_t longest = 0;
  for (auto rest = tokens.raw; rest.size() >= sizeof(std::uint64_t);) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, rest.data(), sizeof bytes);
    longest = std::max(longest, bytes);
    rest = rest.subspan(sizeof bytes + std::min<std::uint64_t>(bytes, rest.size() - sizeof bytes));
  }
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(longest, limits::gguf_string_bytes_max));
}

void read_tokenizer(inspection& now) {
  const auto* tokens = now.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->type != gguf_type::array || tokens->item != gguf_type::text
      || tokens->count == 0 || tokens->count > vocabulary_max)
    return now.fail("tokenizer.ggml.tokens", "required array of texts is missing");
  now.info.vocabulary = static_cast<std::uint32_t>(tokens->count);
  now.info.token_bytes_max = longest_token(now, *tokens);
  check_token_array(now, "tokenizer.ggml.scores", gguf_type::f32);
  check_token_array(now, "tokenizer.ggml.token_type", gguf_type::i32);
  for (const auto* name : {"bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id",
                           "separator_token_id", "padding_token_id"})
    if (const auto* id = now.find("tokenizer.ggml." + std::string(name)))
      if (const auto token = id->whole(); !token || *token >= now.info.vocabulary)
        // Some exporters write -1 or the vocabulary's size for "none"; engines ignore only that.
        if (token.value_or(0xffffffff) != 0xffffffff)
          now.fail("tokenizer.ggml." + std::string(name), "is not a token of the vocabulary");
}

void read_digests(inspection& now) {
  std::string all;
  for (const auto& [key, value] : now.metadata) {
    if (!key.starts_with("tokenizer.") || key.starts_with("tokenizer.chat_template"))
      continue;
    // Hash of hashes: the vocabulary is not copied.
    all += key + "\n"
           + hash_text({reinterpret_cast<const char*>(value.raw.data()), value.raw.size()}).value
           + "\n";
  }
  now.info.tokenizer = hash_text(all);
  const auto chat = now.text("tokenizer.chat_template");
  now.info.has_chat_template = !chat.empty();
  if (!chat.empty())
    now.info.chat_template = hash_text(chat);
}

/// All that an engine which binds an architecture has built in. What a model does not have is not
/// in its name.
std::string shape_of(const gguf_info& info) {
  std::string shape = info.architecture;
  const auto add = [&](const char* letter, std::uint64_t value, bool always = true) {
    if (always || value > 0)
      shape += letter + std::to_string(value);
  };
  add("-l", info.layers);
  add("-d", info.embedding);
  add("-i", info.feed_forward, false);
  if (info.feed_forward_sum != std::uint64_t{info.feed_forward} * info.layers)
    add("s", info.feed_forward_sum);
  add("-e", info.experts, false);
  add("-h", info.heads);
  add("-k", info.kv_heads);
  add("-v", info.vocabulary);
  return shape;
}

} // namespace

result<gguf_info> inspect_gguf(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  inspection now{gguf_cursor(bytes, std::max<std::uint64_t>(file_bytes, bytes.size())), {}, {}};
  const auto head = read_header(now);
  if (!now.from.failed())
    now.metadata = read_gguf_metadata(now.from, head.keys);
  std::vector<gguf_tensor> tensors;
  if (!now.from.failed()) {
    const auto alignment = read_alignment(now);
    tensors = read_gguf_tensors(now.from, head.tensors, alignment);
    if (!now.from.failed())
      check_layout(now, tensors, alignment);
  }
  if (!now.from.failed())
    read_architecture(now);
  if (!now.from.failed())
    read_tokenizer(now);
  if (now.from.failed())
    return *now.from.failure();
  read_digests(now);
  auto& info = now.info;
  info.tensors = head.tensors;
  info.quantization = main_type(tensors);
  info.shape = shape_of(info);
  return info;
}

namespace {

/// What precedes the tensors of a file, and the file's size.
struct gguf_head {
  std::vector<std::byte> bytes;
  std::uint64_t file_bytes = 0;
};

result<gguf_head> read_gguf_head(const std::string& path) {
  const auto stamp = stamp_file(path);
  if (!stamp)
    return stamp.failure();
  const auto file = open_regular(path);
  if (file.get() < 0)
    return error{recovery::refuse, "file_unreadable", path + ": " + std::strerror(errno)};
  // Copied, not mapped: a file that shrinks under a mapping would kill the agent.
  std::vector<std::byte> head(std::min(stamp->size_bytes, limits::gguf_contents_bytes_max));
  std::size_t have = 0;
  while (have < head.size()) {
    const auto count = ::read(file.get(), head.data() + have, head.size() - have);
    if (count == 0 || (count < 0 && errno != EINTR))
      return error{recovery::retry_later, "file_unreadable", path + ": changed while it was read"};
    have += count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  return gguf_head{std::move(head), stamp->size_bytes};
}

} // namespace

result<gguf_info> inspect_gguf_file(const std::string& path) {
  const auto head = read_gguf_head(path);
  if (!head)
    return head.failure();
  auto info = inspect_gguf(head->bytes, head->file_bytes);
  if (!info)
    return error{recovery::refuse, "bad_model", path + ": " + info.failure().message};
  return info;
}

result<std::string> type_of_gguf_file(const std::string& path) {
  const auto head = read_gguf_head(path);
  if (!head)
    return head.failure();
  inspection now{gguf_cursor(head->bytes, head->file_bytes), {}, {}};
  const auto counts = read_header(now);
  if (!now.from.failed())
    now.metadata = read_gguf_metadata(now.from, counts.keys);
  if (now.from.failed())
    return error{recovery::refuse, "bad_model", path + ": " + now.from.failure()->message};
  return std::string(now.text("general.type"));
}

model_variant variant_of(const gguf_info& info, const std::string& source, const digest& content) {
  model_variant variant;
  variant.format = "gguf";
  variant.source = source;
  variant.content = content;
  variant.shape = info.shape;
  variant.quantization = info.quantization;
  variant.tokenizer = info.tokenizer;
  variant.chat_template = info.chat_template;
  variant.weight_bytes = info.weight_bytes;
  variant.kv_bytes_per_token = info.kv_bytes_per_token;
  variant.context_tokens = info.context_tokens;
  variant.token_bytes_max = info.token_bytes_max;
  return variant;
}

result<model_variant> describe_gguf(const std::string& path, digest_cache& digests) {
  const auto info = inspect_gguf_file(path);
  if (!info)
    return info.failure();
  const auto content = digests.digest_of(path);
  if (!content)
    return content.failure();
  return variant_of(*info, path, *content);
}

} // namespace consort::node
