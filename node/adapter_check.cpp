// SPDX-License-Identifier: Apache-2.0
#include "node/adapter_check.hpp"

#include "node/gguf.hpp"
#include "node/model_folder.hpp"
#include "node/small_file.hpp"
#include "node/weights/adapter_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace consort::node {

namespace {

namespace fs = std::filesystem;

constexpr const char* weights_name = "adapter_model.safetensors";
/// The first number of such a file is the length of its table, a JSON object; as the format limits
/// it.
constexpr std::uint64_t table_bytes_max = 100'000'000;
constexpr std::size_t length_bytes = 8;

error bad_adapter(const std::string& what) {
  return {recovery::refuse, "bad_adapter", what};
}

/// The first bytes; fewer where the file ends. Returns: nothing when it cannot be read.
std::optional<std::string> head_of(const std::string& path, std::size_t count) {
  return read_file_head(path, count);
}

result<done> check_safetensors(const std::string& path) {
  std::error_code failed;
  const auto size = fs::file_size(path, failed);
  const auto read = head_of(path, length_bytes + 1);
  if (failed || !read)
    return done{};
  const auto& head = *read;
  std::uint64_t table = 0;
  for (std::size_t at = 0; at < length_bytes && at < head.size(); ++at)
    table |= std::uint64_t{static_cast<unsigned char>(head[at])} << (8 * at);
  if (head.size() <= length_bytes || table < 2 || table > table_bytes_max
      || table > size - length_bytes || head[length_bytes] != '{')
    return bad_adapter(path
                       + " is no safetensors file: it does not begin with the length of its table");
  return done{};
}

result<done> check_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator one(path, failed); !failed && one != fs::directory_iterator();
       one.increment(failed))
    names.push_back(one->path().filename().string());
  if (failed)
    return done{};
  if (const auto found = adapter_files(names, "", path); !found)
    return bad_adapter(found.failure().message);
  return check_safetensors(path + "/" + weights_name);
}

} // namespace

result<done> check_adapter(const std::string& path) {
  if (is_model_folder(path))
    return check_folder(path);
  const auto ending = fs::path(path).extension().string();
  if (ending == ".safetensors")
    return check_safetensors(path);
  if (ending == ".bin" || ending == ".pt" || ending == ".pth")
    return bad_adapter(path
                       + ": such weights are code where they are read: they are to be converted to "
                       + weights_name + " or GGUF");
  if (ending != ".gguf" && head_of(path, 4) != "GGUF")
    return done{};
  const auto type = type_of_gguf_file(path);
  if (!type && type.failure().code == "bad_model")
    return bad_adapter(type.failure().message);
  if (!type) // It cannot be read.
    return done{};
  if (*type == "adapter")
    return done{};
  return bad_adapter(path + " is a GGUF file of "
                     + (type->empty() ? "a model" : "type `" + *type + "`")
                     + ", not an adapter (general.type)");
}

} // namespace consort::node
