// SPDX-License-Identifier: Apache-2.0
#include "gateway/embeddings.hpp"

#include "gateway/json_text.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

constexpr std::size_t embeddings_depth = 2; ///< A list of lists of numbers.

bool is_embedding(const nlohmann::json& value) {
  if (value.is_string())
    return !value.get_ref<const std::string&>().empty();
  return value.is_array() && !value.empty()
         && std::all_of(value.begin(), value.end(),
                        [](const nlohmann::json& one) { return one.is_number(); });
}

} // namespace

result<std::string> embeddings_data(std::string_view said, std::uint32_t inputs) {
  const auto bad = [](const std::string& what) {
    return error{recovery::retry_elsewhere, "bad_embeddings", "the device made " + what};
  };
  if (find_too_deep(said, embeddings_depth))
    return bad("no list of embeddings");
  const auto list = nlohmann::json::parse(said, nullptr, false);
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_embedding))
    return bad("no list of embeddings");
  if (list.size() != inputs)
    return bad(std::to_string(list.size()) + " embeddings of " + std::to_string(inputs)
               + " inputs");
  std::string out = "[";
  for (std::size_t at = 0; at < list.size(); ++at)
    out.append(at == 0 ? "" : ",")
        .append(R"({"object":"embedding","index":)")
        .append(std::to_string(at))
        .append(R"(,"embedding":)")
        .append(list[at].dump())
        .append("}");
  return out.append("]");
}

std::string embeddings_answer(std::string_view data, std::string_view model,
                              const token_usage& usage, const served_by& served) {
  std::string out = R"({"object":"list","data":)";
  out.append(data).append(R"(,"model":)");
  append_json_string(out, model);
  const auto tokens = std::to_string(usage.prompt_tokens);
  return out.append(R"(,"usage":{"prompt_tokens":)")
      .append(tokens)
      .append(R"(,"total_tokens":)")
      .append(tokens)
      .append(R"(,"consort":)")
      .append(served_json(served))
      .append("}}\n");
}

} // namespace consort::gateway
