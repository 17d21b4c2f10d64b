// SPDX-License-Identifier: Apache-2.0
// What the nodes know of their plugins: asked of them, through the scheduler, at every request.
#include "gateway/admin.hpp"
#include "gateway/admin_json.hpp"
#include "gateway/errors.hpp"

namespace consort::gateway {

namespace {

/// Reads `node=NAME` or nothing. Returns: what is wrong with it.
std::optional<api_error> read_query(std::string_view query, node_id& node) {
  const auto pairs = split_query(query);
  if (!pairs)
    return bad_request("bad_query", "the query is not percent-encoded as it should be");
  if (pairs->empty())
    return std::nullopt;
  const auto& [key, name] = pairs->front();
  if (key != "node" || pairs->size() > 1)
    return bad_request("bad_query", "of plugins one may ask those of one `node`, nothing else");
  if (name.empty() || name.size() > limits::node_name_bytes_max)
    return bad_request("invalid_value", "`node` must be the name of a node", "node");
  node.value = name;
  return std::nullopt;
}

} // namespace

task<void> show_plugins(gateway_context& context, const http_request& request, const std::string&,
                        exchange& out) {
  node_id node;
  if (const auto failure = read_query(request.query, node)) {
    co_await respond_error(out, *failure);
    co_return;
  }
  const auto span = context.config.limits.plugins_time;
  const auto start = [&](auto reply) { context.port.list_plugins(node, span, std::move(reply)); };
  const auto until = port_deadline(context) + std::chrono::microseconds(span);
  auto answer = co_await await_answer<result<plugins_reports>>(out, until, start);
  const auto told = answer ? std::move(*answer) : result<plugins_reports>(scheduler_silent());
  if (!told) {
    const auto refused = from_admin(told.failure());
    co_await respond_error(out, refused);
    co_return;
  }
  const auto body = plugins_json(*told);
  co_await respond_json(out, 200, body);
}

} // namespace consort::gateway
