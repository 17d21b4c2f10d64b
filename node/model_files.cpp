// SPDX-License-Identifier: Apache-2.0
#include "node/model_files.hpp"

#include "node/gguf.hpp"
#include "node/lora.hpp"
#include "node/model_folder.hpp"
#include "node/simulated/model_card.hpp"
#include "node/small_file.hpp"
#include "node/weights/web_client.hpp"
#include "scheduler/weights.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace consort::node {

namespace {

constexpr std::string_view server_scheme = "server:";

std::optional<error> objection(const std::string& source) {
  if (!source.starts_with('/'))
    return error{recovery::refuse, "source_relative",
                 without_password(source) + ": must be an absolute path on the server"};
  return std::nullopt;
}

/// The format of a file that is no GGUF and does not say that it were: its ending.
std::optional<std::string> plain_format(const std::string& path) {
  auto ending = std::filesystem::path(path).extension().string();
  ending.erase(0, 1);
  const bool word = !ending.empty() && ending.size() <= limits::format_bytes_max
                    && std::all_of(ending.begin(), ending.end(), [](unsigned char c) {
                         return std::isalnum(c) != 0 && std::isupper(c) == 0;
                       });
  const auto head = read_file_head(path, 4).value_or("");
  return word && ending != "gguf" && head != "GGUF" ? std::optional(ending) : std::nullopt;
}

/// A file that only its plugin understands: nothing is known of it but its digest and size.
result<model_variant> describe_plain(const std::string& path, const std::string& format,
                                     digest_cache& digests) {
  const auto stamp = stamp_file(path);
  if (!stamp)
    return stamp.failure();
  if (const auto whole = check_model_files(path, format); !whole)
    return whole.failure();
  const auto content = digests.digest_of(path);
  if (!content)
    return content.failure();
  model_variant variant;
  variant.format = format;
  variant.source = path;
  variant.content = *content;
  variant.weight_bytes = stamp->size_bytes;
  variant.context_tokens = limits::plain_context_tokens;
  return variant;
}

/// What the weights are, wherever they lie.
result<model_variant> look_at(const std::string& source, digest_cache& digests,
                              weight_reader& elsewhere) {
  return core::weights_elsewhere(source) ? elsewhere.describe(source, digests)
                                         : describe_here(source, digests);
}

result<model_variant> describe_variant(const model_variant& declared, digest_cache& digests,
                                       weight_reader& elsewhere) {
  if (const auto name = name_at_server(declared.source)) {
    if (name->empty())
      return error{recovery::refuse, "source_unsupported", "server: needs the model's name there"};
    auto served = declared;
    served.format = "server/" + *name;
    return served;
  }
  auto found = look_at(declared.source, digests, elsewhere);
  if (!found)
    return found.failure();
  if (!declared.content.empty() && declared.content != found->content)
    return error{recovery::refuse, "model_changed",
                 declared.source + ": its digest is " + found->content.value + ", not "
                     + declared.content.value};
  if (declared.context_tokens > 0)
    found->context_tokens = std::min(found->context_tokens, declared.context_tokens);
  if (!declared.equivalence.empty())
    found->equivalence = declared.equivalence;
  return found;
}

} // namespace

std::optional<std::string> name_at_server(const std::string& source) {
  if (!source.starts_with(server_scheme))
    return std::nullopt;
  return source.substr(server_scheme.size());
}

result<model_variant> describe_here(const std::string& source, digest_cache& digests) {
  if (auto failure = objection(source))
    return *failure;
  if (is_model_folder(source))
    return describe_model_folder(source, digests);
  if (is_simulated_card(source))
    return describe_simulated_card(source, digests);
  if (const auto format = plain_format(source))
    return describe_plain(source, *format, digests);
  return describe_gguf(source, digests);
}

result<model_spec> describe_model(model_spec declared, digest_cache& digests,
                                  weight_reader& elsewhere) {
  for (auto& variant : declared.variants) {
    auto found = describe_variant(variant, digests, elsewhere);
    if (!found)
      return error{found.failure().action, found.failure().code,
                   "model `" + declared.name.value + "`: " + found.failure().message};
    found->adapters = std::move(variant.adapters);
    variant = std::move(*found);
    for (auto& adapter : variant.adapters) {
      // The engine of every machine would open the name as a file.
      if (variant.format == "gguf" && name_at_server(adapter.source))
        return error{recovery::refuse, "bad_adapter",
                     "model `" + declared.name.value + "`, adapter `" + adapter.name.value
                         + "`: " + adapter.source
                         + " is of a model that a server has, and this one is a file: give the "
                           "adapter's folder or file"};
      auto known = describe_adapter(adapter, digests, elsewhere);
      if (!known)
        return error{known.failure().action, known.failure().code,
                     "model `" + declared.name.value + "`, adapter `" + adapter.name.value
                         + "`: " + known.failure().message};
      adapter = std::move(*known);
    }
  }
  return declared;
}

} // namespace consort::node
