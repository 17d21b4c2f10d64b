// SPDX-License-Identifier: Apache-2.0
// The list of live requests, of which there may be a million: a page of it, and of some kinds only.
#include "gateway/admin.hpp"
#include "gateway/admin_json.hpp"
#include "gateway/errors.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

api_error bad_value(const std::string& name, const std::string& what) {
  return bad_request("invalid_value", "`" + name + "` must be " + what, name);
}

/// One of those words.
std::optional<api_error> read_word(const std::string& name, const std::string& value,
                                   const std::vector<std::string>& words, std::string& to) {
  if (std::find(words.begin(), words.end(), value) == words.end()) {
    std::string all;
    for (const auto& word : words)
      all += (all.empty() ? "`" : ", `") + word + "`";
    return bad_value(name, "one of " + all);
  }
  to = value;
  return std::nullopt;
}

std::optional<api_error> read_name(const std::string& name, const std::string& value,
                                   std::size_t bytes_max, std::string& to) {
  if (value.empty() || value.size() > bytes_max)
    return bad_value(name, "a name of 1 to " + std::to_string(bytes_max) + " bytes");
  to = value;
  return std::nullopt;
}

std::optional<api_error> apply(const std::string& name, const std::string& value,
                               core::requests_wish& to) {
  constexpr auto limit_max = core::limits::requests_page_max;
  if (name == "limit") {
    const auto limit = decimal<decltype(to.limit)>(value);
    if (!limit || *limit < 1 || *limit > limit_max)
      return bad_value(name, "a number from 1 to " + std::to_string(limit_max));
    to.limit = *limit;
    return std::nullopt;
  }
  if (name == "after") {
    const auto after = decimal<decltype(to.after)>(value);
    if (!after)
      return bad_value(name, "the `number` of a request");
    to.after = *after;
    return std::nullopt;
  }
  if (name == "model")
    return read_name(name, value, limits::model_name_bytes_max, to.model.value);
  if (name == "tenant")
    return read_name(name, value, limits::tenant_bytes_max, to.tenant.value);
  if (name == "priority")
    return read_word(name, value, {"interactive", "standard", "batch"}, to.priority);
  if (name == "state")
    return read_word(name, value, {"queued", "loading", "compiling", "running"}, to.state);
  return bad_request("bad_query", "of requests one may ask `limit`, `after`, `model`, `tenant`, "
                                  "`priority` and `state`, nothing else"
                                      + did_you_mean(name, {"limit", "after", "model", "tenant",
                                                            "priority", "state"}));
}

std::optional<api_error> read_wish(std::string_view query, core::requests_wish& to) {
  const auto pairs = split_query(query);
  if (!pairs)
    return bad_request("bad_query", "the query is not percent-encoded as it should be");
  for (const auto& [name, value] : *pairs)
    if (auto failure = apply(name, value, to))
      return failure;
  return std::nullopt;
}

} // namespace

task<void> show_requests(gateway_context& context, const http_request& request, const std::string&,
                         exchange& out) {
  core::requests_wish wish;
  if (const auto failure = read_wish(request.query, wish)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  const auto start = [&](auto reply) { context.port.requests(wish, std::move(reply)); };
  auto answer
      = co_await await_answer<result<core::snapshot_page>>(out, port_deadline(context), start);
  const auto told = answer ? std::move(*answer) : result<core::snapshot_page>(scheduler_silent());
  if (!told) {
    const auto refused = from_admin(told.failure());
    co_await respond_error(out, refused);
    co_return;
  }
  const auto body = requests_json(*told);
  co_await respond_json(out, 200, body);
}

} // namespace consort::gateway
