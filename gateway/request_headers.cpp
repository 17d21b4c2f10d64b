// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_headers.hpp"

#include "gateway/limits.hpp"
#include "scheduler/labels.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <algorithm>
#include <array>

namespace consort::gateway {

namespace {

constexpr std::array<std::string_view, 3> priority_words{"interactive", "standard", "batch"};
constexpr std::array<std::string_view, 2> switch_words{"false", "true"};
constexpr std::string_view own_prefix = "x-consort-";
/// Session headers that agents and other routers already send, after our own.
constexpr std::array<std::string_view, 4> session_headers{"x-consort-session", "x-session-id",
                                                          "x-claude-code-session-id", "session-id"};

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

api_error bad_header(std::string_view name, const std::string& allowed) {
  return bad_request("invalid_header", std::string(name) + " must be " + allowed,
                     std::string(name));
}

/// As people write them: `x-consort-wait` is `X-Consort-Wait`.
std::string canonical(std::string_view key) {
  std::string out(key);
  for (std::size_t at = 0; at < out.size(); ++at)
    if ((at == 0 || out[at - 1] == '-') && out[at] >= 'a' && out[at] <= 'z')
      out[at] = static_cast<char>(out[at] - 'a' + 'A');
  return out;
}

/// The nearest of ours, by what follows the prefix that all share; all of them when none is near.
std::string meant_header(std::string_view name) {
  const std::vector<std::string> all(request_header_names.begin(), request_header_names.end());
  std::vector<std::string> ends;
  for (const auto& one : all)
    ends.push_back(one.substr(own_prefix.size()));
  const auto near = nearest_names(name.substr(own_prefix.size()), ends, 1);
  return near.empty() ? did_you_mean_or_list({}, all)
                      : " (did you mean " + canonical(own_prefix) + near.front() + "?)";
}

/// A mistyped X-Consort-Labels would let data go where it must not.
std::optional<api_error> unknown_header(const http_request& from) {
  for (const auto& [key, value] : from.headers) {
    if (!key.starts_with(own_prefix))
      continue;
    const auto name = canonical(key.substr(0, limits::header_name_bytes_max));
    if (std::find(request_header_names.begin(), request_header_names.end(), name)
        == request_header_names.end())
      return bad_request("unknown_header", name + " is not a known header" + meant_header(name),
                         name);
  }
  return std::nullopt;
}

template <std::size_t Count>
std::string one_of(const std::array<std::string_view, Count>& words) {
  std::string out = "one of ";
  for (const auto word : words)
    out.append(word).append(word == words.back() ? "" : ", ");
  return out;
}

/// Reads one header after another; keeps the first failure.
class header_reader {
public:
  explicit header_reader(const http_request& from) : from_(from) {}

  template <class Enum, std::size_t Count, class Out>
  void word(std::string_view key, std::string_view name,
            const std::array<std::string_view, Count>& words, Out& out) {
    const auto value = value_of(key, name);
    if (!value)
      return;
    const auto found = std::find(words.begin(), words.end(), *value);
    if (found == words.end())
      fail(bad_header(name, one_of(words)));
    else
      out = static_cast<Enum>(found - words.begin());
  }

  void span(std::string_view key, std::string_view name, bool zero_allowed,
            std::optional<duration_us>& out) {
    const auto value = value_of(key, name);
    if (!value)
      return;
    out = parse_duration(*value);
    if (!out || (*out == 0 && !zero_allowed))
      fail(bad_header(
          name, zero_allowed ? "a duration such as 0s, 250ms, 30s or 10m, at most ten years"
                             : "a duration above 0 such as 250ms, 30s or 10m, at most ten years"));
  }

  void text(std::string_view key, std::string_view name, std::size_t bytes_max, std::string& out) {
    const auto value = value_of(key, name);
    if (!value)
      return;
    if (value->empty() || value->size() > bytes_max || !printable(*value))
      fail(bad_header(name, "1 to " + std::to_string(bytes_max) + " printable ASCII characters"));
    else
      out = std::string(*value);
  }

  void labels(std::string_view key, std::string_view name, std::vector<std::string>& out) {
    const auto value = value_of(key, name);
    if (!value)
      return;
    if (auto parsed = parse_labels(*value))
      out = std::move(*parsed);
    else
      fail(bad_header(name, std::string(labels_allowed)));
  }

  [[nodiscard]] const std::optional<api_error>& failure() const { return failure_; }

private:
  /// A header given twice may be the client's beside the one that a proxy added: neither counts.
  std::optional<std::string_view> value_of(std::string_view key, std::string_view name) {
    const auto count = std::count_if(from_.headers.begin(), from_.headers.end(),
                                     [&](const auto& one) { return one.first == key; });
    if (count > 1)
      fail(bad_header(name, "given once"));
    return count == 1 ? from_.header(key) : std::nullopt;
  }
  void fail(api_error problem) {
    if (!failure_)
      failure_ = std::move(problem);
  }

  const http_request& from_;
  std::optional<api_error> failure_;
};

} // namespace

std::optional<std::vector<std::string>> parse_labels(std::string_view text) {
  std::vector<std::string> labels;
  for (;;) {
    const auto comma = text.find(',');
    auto one = text.substr(0, comma);
    while (!one.empty() && one.front() == ' ')
      one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ')
      one.remove_suffix(1);
    if (!core::label_well_formed(one) || labels.size() == core::limits::labels_max)
      return std::nullopt;
    labels.emplace_back(one);
    if (comma == std::string_view::npos)
      return labels;
    text.remove_prefix(comma + 1);
  }
}

std::string usable_request_id(const http_request& from) {
  const auto value = from.header("x-request-id");
  const bool usable = value && !value->empty()
                      && value->size() <= core::limits::external_id_bytes_max && printable(*value);
  return usable ? std::string(*value) : std::string{};
}

std::variant<request_options, api_error> read_request_options(const http_request& from) {
  if (auto unknown = unknown_header(from))
    return *std::move(unknown);
  request_options out;
  header_reader in(from);
  out.external_id = usable_request_id(from);
  in.text("x-consort-device", "X-Consort-Device", limits::selector_bytes_max, out.selector);
  // Which profiles there are only the scheduler knows.
  std::string policy;
  in.text("x-consort-policy", "X-Consort-Policy", core::limits::policy_bytes_max, policy);
  if (!policy.empty())
    out.policy = policy_name{std::move(policy)};
  in.word<priority_class>("x-consort-priority", "X-Consort-Priority", priority_words, out.priority);
  in.span("x-consort-deadline", "X-Consort-Deadline", false, out.deadline_us);
  in.span("x-consort-wait", "X-Consort-Wait", true, out.wait_us);
  in.text("x-consort-tenant", "X-Consort-Tenant", limits::tenant_bytes_max, out.tenant.value);
  in.word<bool>("x-consort-hedge", "X-Consort-Hedge", switch_words, out.hedge);
  in.labels("x-consort-labels", "X-Consort-Labels", out.labels);
  for (const auto name : session_headers)
    if (out.session.empty())
      in.text(name, name == session_headers.front() ? "X-Consort-Session" : name,
              limits::session_bytes_max, out.session);
  if (in.failure())
    return *in.failure();
  return out;
}

} // namespace consort::gateway
