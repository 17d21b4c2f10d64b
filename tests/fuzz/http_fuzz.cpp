// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request's body and headers. What is accepted keeps its bounds; what is refused is
// a client error in valid JSON; what a runtime may say never breaks the answer's JSON.
#include "gateway/json_text.hpp"
#include "gateway/limits.hpp"
#include "gateway/openai_request.hpp"
#include "gateway/openai_response.hpp"
#include "gateway/request_headers.hpp"
#include "scheduler/limits.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

using namespace consort;
using namespace consort::gateway;

void require(bool true_statement) {
  if (!true_statement)
    std::abort();
}

void check_failure(const api_error& failure) {
  require(failure.status == 400 && !failure.code.empty() && !failure.message.empty());
  require(nlohmann::json::accept(error_body(failure)));
}

void check_body(request_kind kind, std::string_view text) {
  const auto got = parse_body(kind, text);
  if (const auto* failure = std::get_if<api_error>(&got))
    return check_failure(*failure);
  const auto& body = std::get<parsed_body>(got);
  require(body.choices >= 1 && body.choices <= core::limits::choices_max);
  require(body.prefix_blocks.size() <= core::limits::prefix_blocks_max);
  require(!body.model.empty() && body.model.value.size() <= limits::model_name_bytes_max);
  require(body.max_tokens <= limits::max_tokens_max);
}

void check_headers(std::string_view text) {
  static constexpr const char* names[]
      = {"x-consort-device", "x-consort-policy", "x-consort-priority", "x-consort-deadline",
         "x-consort-wait",   "x-consort-tenant", "x-consort-session",  "x-request-id"};
  http_request from;
  for (const auto* name : names)
    from.headers.emplace_back(name, std::string(text));
  const auto got = read_request_options(from);
  if (const auto* failure = std::get_if<api_error>(&got))
    return check_failure(*failure);
  const auto& options = std::get<request_options>(got);
  require(options.external_id.size() <= core::limits::external_id_bytes_max);
}

void check_answer(std::string_view text) {
  answer_builder builder({request_kind::chat, "id", 1, "m", false});
  builder.tokens({0, std::string(text), {}, std::string(text)});
  builder.choice_done(0, std::string(text));
  require(nlohmann::json::accept(builder.render({}, {})));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_body(request_kind::chat, text);
  check_body(request_kind::completion, text);
  check_headers(text);
  check_answer(text);
  (void)percent_decode(text);
  return 0;
}
