// SPDX-License-Identifier: Apache-2.0
#include "gateway/pages.hpp"
#include "scheduler/policy/profile.hpp"

#include "gateway/admin_json.hpp"
#include "gateway/embeddings.hpp"

#include <algorithm>

namespace consort::gateway {

namespace {

/// `/api/v1/explain/*` as OpenAPI writes it.
std::string templated(std::string_view pattern) {
  std::string out(pattern);
  if (out.ends_with('*'))
    out.replace(out.size() - 1, 1, "{id}");
  return out;
}

json header_parameters() {
  const auto one = [](const char* name, const char* text, json schema) {
    return json{{"name", name}, {"in", "header"}, {"description", text}, {"schema", schema}};
  };
  const json text{{"type", "string"}};
  const auto words = [](std::vector<std::string> list) {
    return json{{"type", "string"}, {"enum", std::move(list)}};
  };
  return json::array({
      one("X-Consort-Device", "Selector: auto, a type, an id or glob", text),
      one("X-Consort-Policy", "Profile that chooses: a built-in one or a configured one",
          json{{"type", "string"}, {"examples", core::policy_words()}}),
      one("X-Consort-Priority", "Class", words({"interactive", "standard", "batch"})),
      one("X-Consort-Deadline", "Duration such as 2s; passed: 408", text),
      one("X-Consort-Wait",
          "Duration to wait for a load or compile, at most the cluster's queue_timeout; 0s = never",
          text),
      one("X-Consort-Tenant",
          "Who shares fairly with the others, 1 to 64 characters; absent = the "
          "anonymous one",
          json{{"type", "string"}, {"minLength", 1}, {"maxLength", limits::tenant_bytes_max}}),
      one("X-Consort-Labels", "Of its data, e.g. local-only: never to a REMOTE device", text),
      one("X-Consort-Hedge", "A second attempt may run beside one whose first token is late",
          words({"false", "true"})),
      one("X-Consort-Session",
          "Conversation: where its last turn ended, prompt and answer are believed cached", text),
      one("X-Request-Id", "Echoed; made when absent", text),
  });
}

/// Of the list of live requests.
json page_parameters() {
  const auto one = [](const char* name, const char* text, json schema) {
    return json{{"name", name}, {"in", "query"}, {"description", text}, {"schema", schema}};
  };
  const json text{{"type", "string"}};
  const json count{{"type", "integer"},
                   {"minimum", 1},
                   {"maximum", core::limits::requests_page_max},
                   {"default", core::limits::snapshot_requests_max}};
  return json::array({
      one("limit", "At most so many", count),
      one("after", "Only those behind this `number`: the `next` of the page before",
          json{{"type", "integer"}, {"minimum", 0}}),
      one("model", "Only of this model, by any of its names", text),
      one("tenant", "Only of this tenant", text),
      one("priority", "Only of this class",
          json{{"type", "string"}, {"enum", {"interactive", "standard", "batch"}}}),
      one("state", "Only those in this state",
          json{{"type", "string"}, {"enum", {"queued", "loading", "compiling", "running"}}}),
  });
}

json chat_schema() {
  return {{"type", "object"},
          {"required", {"model", "messages"}},
          {"properties",
           {{"model", {{"type", "string"}}},
            {"messages", {{"type", "array"}, {"minItems", 1}, {"items", {{"type", "object"}}}}},
            {"stream", {{"type", "boolean"}}},
            {"max_tokens", {{"type", "integer"}, {"minimum", 1}}},
            {"n", {{"type", "integer"}, {"minimum", 1}}}}},
          {"additionalProperties", true}};
}

json completion_schema() {
  auto out = chat_schema();
  out["required"] = {"model", "prompt"};
  out["properties"].erase("messages");
  out["properties"]["prompt"] = {{"description", "A string, strings, tokens or lists of tokens"}};
  return out;
}

json responses_schema() {
  return {{"type", "object"},
          {"required", {"model", "input"}},
          {"properties",
           {{"model", {{"type", "string"}}},
            {"input", {{"description", "A string, or items: messages, calls and their outputs"}}},
            {"instructions", {{"type", "string"}}},
            {"stream", {{"type", "boolean"}}},
            {"max_output_tokens", {{"type", "integer"}, {"minimum", 1}}}}},
          {"additionalProperties", true}};
}

json embedding_schema() {
  const json text{{"type", "string"}, {"minLength", 1}};
  const json texts{{"type", "array"},
                   {"minItems", 1},
                   {"maxItems", limits::embedding_inputs_max},
                   {"items", text}};
  return {{"type", "object"},
          {"required", {"model", "input"}},
          {"properties",
           {{"model", {{"type", "string"}}},
            {"input", {{"anyOf", json::array({text, texts})}}},
            {"encoding_format", {{"type", "string"}, {"enum", {"float", "base64"}}}},
            {"dimensions", {{"type", "integer"}, {"minimum", 1}}},
            {"user", {{"type", "string"}}}}},
          {"additionalProperties", true}};
}

json body_of(json schema) {
  return {{"required", true}, {"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
}

json strings_schema(const std::vector<std::string>& required,
                    const std::vector<std::string>& optional = {}) {
  json out{{"type", "object"}, {"required", required}, {"properties", json::object()}};
  for (const auto& list : {required, optional})
    for (const auto& field : list)
      out["properties"][field] = {{"type", "string"}};
  return out;
}

json request_body(std::string_view pattern) {
  if (pattern == "/v1/chat/completions")
    return body_of(chat_schema());
  if (pattern == "/v1/responses")
    return body_of(responses_schema());
  if (pattern == "/v1/completions")
    return body_of(completion_schema());
  if (pattern == "/v1/embeddings")
    return body_of(embedding_schema());
  if (pattern == "/api/v1/compile" || pattern == "/api/v1/compile/plan")
    return body_of(strings_schema({"model", "for"}));
  if (pattern == "/api/v1/models")
    return body_of(strings_schema({"name", "source"}));
  if (pattern == "/api/v1/explain") // A request of any kind, which is not run.
    return body_of(
        json{{"anyOf", json::array({chat_schema(), completion_schema(), embedding_schema()})}});
  if (pattern == "/api/v1/plan")
    return body_of(strings_schema({}, {"model", "for", "drain"}));
  if (pattern == "/api/v1/plugins/reload")
    return body_of(strings_schema({}, {"node", "timeout"}));
  if (pattern == "/api/v1/drain")
    return body_of(strings_schema({"target"}, {"reason", "deadline"}));
  return body_of(strings_schema({"target"}, {"reason"}));
}

json operation(const route& row) {
  json out{{"tags", {row.tag}}, {"summary", row.summary}};
  const bool asks
      = row.method == "POST" && (row.tag == "openai" || row.pattern == "/api/v1/explain");
  auto parameters = asks ? header_parameters() : json::array();
  if (row.pattern == "/api/v1/plugins")
    parameters.push_back({{"name", "node"},
                          {"in", "query"},
                          {"description", "Only that node's; without it every node is asked"},
                          {"schema", {{"type", "string"}}}});
  if (row.pattern == "/api/v1/requests")
    parameters = page_parameters();
  if (row.pattern.ends_with('*'))
    parameters.push_back(
        {{"name", "id"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}});
  if (!parameters.empty())
    out["parameters"] = std::move(parameters);
  if (row.method == "POST")
    out["requestBody"] = request_body(row.pattern);
  out["responses"] = {{"default", {{"description", "JSON; errors in OpenAI's envelope"}}}};
  return out;
}

} // namespace

std::string openapi_document(std::span<const route> rows) {
  json paths = json::object();
  for (const auto& row : rows) {
    std::string method(row.method);
    std::transform(method.begin(), method.end(), method.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    paths[templated(row.pattern)][method] = operation(row);
  }
  const json document{{"openapi", "3.1.0"},
                      {"info", {{"title", "Consort"}, {"version", CONSORT_VERSION}}},
                      {"paths", std::move(paths)}};
  return document.dump() + "\n";
}

} // namespace consort::gateway
