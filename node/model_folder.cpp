// SPDX-License-Identifier: Apache-2.0
#include "node/model_folder.hpp"

#include "node/safetensors.hpp"
#include "node/small_file.hpp"
#include "node/weights/adapter_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace consort::node {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* safetensors_format = "safetensors";
constexpr std::uint64_t dimension_max = 1ULL << 31U; ///< Of any number in a config.
/// By the ends of which names a folder's format is known, and which files hold the weights.
struct weight_kind {
  const char* format;
  std::vector<std::string_view> ends;
};
const std::vector<weight_kind>& weight_kinds() {
  static const std::vector<weight_kind> kinds{{safetensors_format, {".safetensors"}},
                                              {"onnx", {".onnx", ".onnx_data", ".onnx.data"}},
                                              {"openvino", {"openvino_model.bin"}}};
  return kinds;
}

constexpr std::uint32_t kv_item_bytes = 2; ///< A cache in 16 bits.

error bad_folder(const std::string& message) {
  return {recovery::refuse, "bad_model", message};
}

std::optional<std::string> text_of_file(const fs::path& path, std::uint64_t bytes_max) {
  std::error_code failed;
  const auto size = fs::file_size(path, failed);
  if (failed || size > bytes_max)
    return std::nullopt;
  return read_whole_file(path);
}

/// A number of the config, or of its part about the language model when it has several.
std::uint64_t number_at(const json& config, const char* name) {
  for (const auto* part : {"", "text_config"}) {
    const auto* from = &config;
    if (*part != '\0') {
      const auto inner = config.find(part);
      if (inner == config.end() || !inner->is_object())
        continue;
      from = &*inner;
    }
    const auto found = from->find(name);
    if (found != from->end() && found->is_number_unsigned()
        && found->get<std::uint64_t>() <= dimension_max)
      return found->get<std::uint64_t>();
  }
  return 0;
}

std::string word_at(const json& config, const char* name) {
  const auto found = config.find(name);
  return found != config.end() && found->is_string() ? found->get<std::string>() : std::string();
}

result<std::vector<fs::path>> files_of(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code odd; // A link that leads nowhere is no file, and no failure.
    if (at->is_regular_file(odd) && !at->path().filename().string().starts_with('.'))
      files.push_back(at->path());
  }
  if (failed)
    return bad_folder(folder + ": " + failed.message());
  if (files.size() > limits::model_folder_files_max)
    return bad_folder(folder + ": more than " + std::to_string(limits::model_folder_files_max)
                      + " files");
  std::sort(files.begin(), files.end());
  return files;
}

/// Nothing is known of how other formats end.
result<done> check_whole(const std::string& folder, const std::vector<fs::path>& files,
                         const std::string& format) {
  std::set<std::string> names;
  for (const auto& file : files)
    names.insert(file.filename().string());
  return format == safetensors_format ? check_safetensors_folder(folder, names)
                                      : result<done>(done{});
}

std::uint64_t bytes_of(const std::vector<fs::path>& files, const weight_kind& kind) {
  std::uint64_t sum = 0;
  for (const auto& file : files) {
    std::error_code failed;
    const auto name = file.filename().string();
    if (std::any_of(kind.ends.begin(), kind.ends.end(),
                    [&](const auto end) { return name.ends_with(end); }))
      if (const auto size = fs::file_size(file, failed); !failed)
        sum += size;
  }
  return sum;
}

void read_shape(const json& config, model_variant& into) {
  const auto layers = number_at(config, "num_hidden_layers");
  const auto hidden = number_at(config, "hidden_size");
  const auto heads = std::max<std::uint64_t>(number_at(config, "num_attention_heads"), 1);
  const auto kv_heads = number_at(config, "num_key_value_heads");
  const auto head = number_at(config, "head_dim");
  const auto of_head = head > 0 ? head : hidden / heads;
  into.shape = word_at(config, "model_type");
  for (const auto& [letter, value] : {std::pair{"l", layers},
                                      {"d", hidden},
                                      {"i", number_at(config, "intermediate_size")},
                                      {"h", heads},
                                      {"k", kv_heads},
                                      {"v", number_at(config, "vocab_size")}})
    into.shape += "-" + std::string(letter) + std::to_string(value);
  const auto bytes = 2 * layers * (kv_heads > 0 ? kv_heads : heads) * of_head * kv_item_bytes;
  into.kv_bytes_per_token = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, 1U << 30U));
  into.context_tokens = static_cast<std::uint32_t>(number_at(config, "max_position_embeddings"));
  const auto how = config.find("quantization_config");
  into.quantization = how != config.end() && how->is_object() ? word_at(*how, "quant_method") : "";
  if (into.quantization.empty())
    into.quantization = word_at(config, "torch_dtype");
}

} // namespace

bool is_model_folder(const std::string& path) {
  std::error_code failed;
  return fs::is_directory(path, failed);
}

result<digest> digest_of_folder(const std::string& path, digest_cache& digests) {
  const auto files = files_of(path);
  if (!files)
    return files.failure();
  std::map<std::string, digest> contents;
  for (const auto& file : *files) {
    const auto content = digests.digest_of(file.string());
    if (!content)
      return content.failure();
    contents.emplace(file.filename().string(), *content);
  }
  return folder_digest(contents);
}

result<done> check_model_files(const std::string& path, const std::string& format) {
  if (format != safetensors_format)
    return done{};
  if (!is_model_folder(path))
    return check_safetensors_file(path);
  const auto files = files_of(path);
  return files ? check_whole(path, *files, format) : result<done>(files.failure());
}

result<model_variant> describe_model_folder(const std::string& path, digest_cache& digests) {
  const auto files = files_of(path);
  if (!files)
    return files.failure();
  const auto text = text_of_file(fs::path(path) / "config.json", limits::model_config_bytes_max);
  if (!text)
    return bad_folder(path + "/config.json: missing, or larger than "
                      + std::to_string(limits::model_config_bytes_max) + " bytes");
  const auto config = json::parse(*text, nullptr, false);
  if (!config.is_object() || word_at(config, "model_type").empty())
    return bad_folder(path + "/config.json: expected an object with `model_type`");
  model_variant variant;
  variant.source = path;
  for (const auto& kind : weight_kinds())
    if (variant.weight_bytes == 0) {
      variant.weight_bytes = bytes_of(*files, kind);
      variant.format = kind.format;
    }
  if (variant.weight_bytes == 0)
    return bad_folder(path + ": no *.safetensors, *.onnx or openvino_model.bin with content");
  if (const auto whole = check_whole(path, *files, variant.format); !whole)
    return whole.failure();
  read_shape(config, variant);
  const auto content = digest_of_folder(path, digests);
  if (!content)
    return content.failure();
  variant.content = *content;
  for (const auto* name : {"tokenizer.json", "tokenizer.model"})
    if (const auto known = digests.digest_of((fs::path(path) / name).string());
        known && variant.tokenizer.empty())
      variant.tokenizer = *known;
  if (const auto known = digests.digest_of((fs::path(path) / "chat_template.jinja").string()))
    variant.chat_template = *known;
  return variant;
}

} // namespace consort::node
