// SPDX-License-Identifier: Apache-2.0
#include "gateway/router.hpp"

#include "gateway/admin.hpp"
#include "gateway/errors.hpp"
#include "gateway/inference.hpp"
#include "gateway/json_text.hpp"
#include "gateway/pages.hpp"
#include "gateway/sites.hpp"

#include <array>

namespace consort::gateway {

namespace {

task<void> chat(gateway_context& context, const http_request& request, const std::string&,
                exchange& out) {
  co_await serve_inference(context, request_kind::chat, request, out);
}
task<void> response(gateway_context& context, const http_request& request, const std::string&,
                    exchange& out) {
  co_await serve_responses(context, request, out);
}
task<void> completion(gateway_context& context, const http_request& request, const std::string&,
                      exchange& out) {
  co_await serve_inference(context, request_kind::completion, request, out);
}
task<void> embedding(gateway_context& context, const http_request& request, const std::string&,
                     exchange& out) {
  co_await serve_inference(context, request_kind::embedding, request, out);
}
task<void> openapi(gateway_context&, const http_request&, const std::string&, exchange& out) {
  const auto answer = make_response(200, openapi_document(routes()));
  co_await out.respond(answer);
}
/// Nothing of the page comes from elsewhere, and nobody else's page may frame it.
constexpr const char* page_policy = "default-src 'self'; img-src data:; base-uri 'none'; "
                                    "form-action 'none'; frame-ancestors 'none'";

task<void> web_file(gateway_context&, const http_request& request, const std::string& name,
                    exchange& out) {
  const auto* const page = find_page(request.path == "/" ? "index.html" : name);
  if (page == nullptr) {
    const auto unknown = not_found("no such file: " + name.substr(0, 128));
    co_await respond_error(out, unknown);
    co_return;
  }
  auto answer = make_response(200, std::string(page->text), std::string(page->content_type()));
  answer.headers = {{"Content-Security-Policy", page_policy},
                    {"X-Content-Type-Options", "nosniff"},
                    {"Cache-Control", "no-cache"}};
  co_await out.respond(answer);
}

constexpr std::array table{
    route{"POST", "/v1/chat/completions", chat, "openai", "Answer a conversation"},
    route{"POST", "/v1/responses", response, "openai", "Answer a conversation, in items"},
    route{"POST", "/v1/completions", completion, "openai", "Continue a text"},
    route{"POST", "/v1/embeddings", embedding, "openai", "Vectors of texts"},
    route{"GET", "/v1/models", list_models, "openai", "Models served"},
    route{"GET", "/v1/models/*", show_model, "openai", "One model, by name or alias"},
    route{"GET", "/healthz", show_health, "operations", "The process is alive"},
    route{"GET", "/readyz", show_readiness, "operations", "A request could be served now"},
    route{"GET", "/metrics", show_metrics, "operations", "Prometheus exposition"},
    route{"GET", "/openapi.json", openapi, "operations", "This document"},
    route{"GET", "/", web_file, "operations", "Dashboard"},
    route{"GET", "/web/*", web_file, "operations", "Its files"},
    route{"GET", "/api/v1/cluster", show_cluster, "admin", "Totals and counters"},
    route{"GET", "/api/v1/nodes", show_list, "admin", "Nodes"},
    route{"GET", "/api/v1/devices", show_list, "admin", "Devices"},
    route{"GET", "/api/v1/pools", show_list, "admin", "Pools and their devices now"},
    route{"GET", "/api/v1/models", show_list, "admin", "Declared models"},
    route{"GET", "/api/v1/replicas", show_list, "admin", "Loaded instances"},
    route{"GET", "/api/v1/artifacts", show_list, "admin", "Artifacts and builds"},
    route{"GET", "/api/v1/plugins", show_plugins, "admin",
          "Plugins of the nodes and the devices that they found"},
    route{"GET", "/api/v1/requests", show_requests, "admin", "Live requests, oldest first"},
    route{"GET", "/api/v1/events", stream_events, "admin", "Notes and finished requests (SSE)"},
    route{"GET", "/api/v1/explain/*", show_explanation, "admin", "Why this device; why it waits"},
    route{"POST", "/api/v1/explain", post_explanation, "admin",
          "Where a request would go, without running it"},
    route{"POST", "/api/v1/drain", post_drain, "admin",
          "No new work; what runs at the deadline moves elsewhere"},
    route{"POST", "/api/v1/plan", post_plan, "admin", "What would be done next, without doing it"},
    route{"POST", "/api/v1/plugins/reload", post_reload, "admin",
          "Nodes look at their plugin folders again"},
    route{"POST", "/api/v1/undrain", post_undrain, "admin", "Ends a drain; a cordon stays"},
    route{"POST", "/api/v1/cordon", post_cordon, "admin", "No new work; what runs stays"},
    route{"POST", "/api/v1/uncordon", post_uncordon, "admin", "Ends a cordon and a drain"},
    route{"POST", "/api/v1/models", post_model, "admin", "Declare a model"},
    route{"DELETE", "/api/v1/models/*", delete_model, "admin", "Remove a model"},
    route{"POST", "/api/v1/compile", post_compile, "admin", "Build an artifact ahead"},
    route{"POST", "/api/v1/compile/plan", post_compile_plan, "admin",
          "What that would build, and where"},
};

/// Returns: what `*` matched (empty for exact patterns), or nullopt when the path is another.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*'))
    return pattern == path ? std::optional(std::string_view{}) : std::nullopt;
  pattern.remove_suffix(1);
  if (!path.starts_with(pattern) || path.size() == pattern.size())
    return std::nullopt;
  return path.substr(pattern.size());
}

constexpr std::string_view operators_tag = "admin";

} // namespace

std::span<const route> routes() {
  return table;
}

task<void> dispatch(gateway_context& context, const http_request& request, exchange& out) {
  if (has_control(request.path)) { // Decoded: names of models and requests are in it.
    const auto unclean = bad_request("bad_path", "the path must have no control characters");
    co_await respond_error(out, unclean);
    co_return;
  }
  const auto method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allowed;
  for (const auto& row : table) {
    const auto rest = match(row.pattern, request.path);
    if (!rest)
      continue;
    if (row.method == method) {
      // Whoever shows the operator a page could otherwise add models and drain nodes by it.
      if (method != "GET" && row.tag == operators_tag
          && of_another_site(request, context.config.sites)) {
        const api_error foreign{.status = 403,
                                .code = "foreign_origin",
                                .message
                                = "pages of other sites may not command this cluster; a name "
                                  "of its own is told to it with --site"};
        co_await respond_error(out, foreign);
        co_return;
      }
      const std::string matched(*rest);
      co_await row.handle(context, request, matched, out);
      co_return;
    }
    allowed.append(allowed.empty() ? "" : ", ").append(row.method);
  }
  const auto failure = allowed.empty() ? not_found("no such path: " + request.path.substr(0, 128)
                                                   + "; /openapi.json lists them")
                                       : wrong_method(request.path, allowed);
  co_await respond_error(out, failure);
}

} // namespace consort::gateway
