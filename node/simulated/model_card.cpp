// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/model_card.hpp"

#include "node/json_file.hpp"
#include "node/simulated/limits.hpp"
#include "node/small_file.hpp"

namespace consort::node {

namespace {

constexpr std::uint64_t weight_bytes_max = 1ULL << 50U;
constexpr std::uint64_t kv_bytes_max = 1ULL << 30U;

result<model_variant> read_card(const std::string& text, const std::string& path) {
  auto file = json_file::parse(text, path);
  if (!file)
    return file.failure();
  json_section card(*file, "", file->root());
  model_variant made;
  made.format = simulated_format;
  made.source = path;
  card.require("simulated_model", "a name");
  made.shape = card.text("simulated_model");
  made.quantization = card.text("quantization", "f16");
  card.require("weight_bytes", "a number");
  made.weight_bytes = card.whole("weight_bytes", 1, 1, weight_bytes_max);
  made.kv_bytes_per_token
      = static_cast<std::uint32_t>(card.whole("kv_bytes_per_token", 0, 0, kv_bytes_max));
  card.require("context_tokens", "a number");
  made.context_tokens = static_cast<std::uint32_t>(
      card.whole("context_tokens", 1, 1, limits::simulated_tokens_max * 16));
  card.finish();
  if (file->failure())
    return *file->failure();
  return made;
}

} // namespace

bool is_simulated_card(const std::string& path) {
  return path.ends_with(".sim");
}

result<model_variant> read_simulated_card(const std::string& path) {
  const auto stamp = stamp_file(path);
  if (!stamp)
    return stamp.failure();
  if (stamp->size_bytes > limits::simulated_card_bytes_max)
    return error{recovery::refuse, "bad_model",
                 path + ": a card of a simulated model has at most "
                     + std::to_string(limits::simulated_card_bytes_max) + " bytes"};
  const auto text = read_whole_file(path);
  if (!text)
    return error{recovery::refuse, "bad_model", path + ": cannot be read"};
  auto made = read_card(*text, path);
  if (!made)
    return error{recovery::refuse, "bad_model", made.failure().message};
  return made;
}

result<model_variant> describe_simulated_card(const std::string& path, digest_cache& digests) {
  auto made = read_simulated_card(path);
  if (!made)
    return made;
  const auto content = digests.digest_of(path);
  if (!content)
    return content.failure();
  made->content = *content;
  return made;
}

std::string render_simulated_card(const model_variant& sizes) {
  const nlohmann::ordered_json card{{"simulated_model", sizes.shape},
                                    {"quantization", sizes.quantization},
                                    {"weight_bytes", sizes.weight_bytes},
                                    {"kv_bytes_per_token", sizes.kv_bytes_per_token},
                                    {"context_tokens", sizes.context_tokens}};
  return card.dump(2) + "\n";
}

} // namespace consort::node
