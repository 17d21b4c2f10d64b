// SPDX-License-Identifier: Apache-2.0
// The list of live requests, of which there may be a million: a page of it, and of some kinds only.
#include "gateway/admin.hpp"
#include "gateway/admin_json.hpp"
#include "gateway/errors.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <charconv>

namespace consort::gateway {

namespace {

/// All of `text`, in decimal.
template <class Number>
bool read_number(std::string_view text, Number& to) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), to);
  return failed == std::errc{} && end == text.data() + text.size();
}

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
    if (read_number(value, to.limit) && to.limit >= 1 && to.limit <= limit_max)
      return std::nullopt;
    return bad_value(name, "a number from 1 to " + std::to_string(limit_max));
  }
  if (name == "after")
    return read_number(value, to.after)
               ? std::nullopt
               : std::optional(bad_value(name, "the `number` of a request"));
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
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decode(pair.substr(0, equals));
    const auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value)
      return bad_request("bad_query", "the query is not percent-encoded as it should be");
    if (auto failure = apply(*name, *value, to))
      return failure;
  }
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
