// SPDX-License-Identifier: Apache-2.0
#include "node/model_files.hpp"

#include "node/gguf.hpp"
#include "node/model_folder.hpp"

#include <algorithm>

namespace consort::node {

namespace {

constexpr std::string_view server_scheme = "server:";

std::optional<error> objection(const std::string& source) {
  for (const auto* scheme : {"hf:", "https:", "http:"})
    if (source.starts_with(scheme))
      return error{recovery::refuse, "source_unsupported",
                   source + ": only files of the server are served; fetch it there first"};
  if (!source.starts_with('/'))
    return error{recovery::refuse, "source_relative",
                 source + ": must be an absolute path on the server"};
  return std::nullopt;
}

result<model_variant> describe_variant(const model_variant& declared, digest_cache& digests) {
  if (const auto name = name_at_server(declared.source)) {
    if (name->empty())
      return error{recovery::refuse, "source_unsupported", "server: needs the model's name there"};
    auto served = declared;
    served.format = "server/" + *name;
    return served;
  }
  if (auto failure = objection(declared.source))
    return *failure;
  auto found = is_model_folder(declared.source) ? describe_model_folder(declared.source, digests)
                                                : describe_gguf(declared.source, digests);
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

result<model_spec> describe_model(model_spec declared, digest_cache& digests) {
  for (auto& variant : declared.variants) {
    auto found = describe_variant(variant, digests);
    if (!found)
      return error{found.failure().action, found.failure().code,
                   "model `" + declared.name.value + "`: " + found.failure().message};
    variant = std::move(*found);
  }
  return declared;
}

} // namespace consort::node
