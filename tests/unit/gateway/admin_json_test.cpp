// SPDX-License-Identifier: Apache-2.0
#include "gateway/admin_json.hpp"

#include "scheduler/limits.hpp"

#include "gateway/pages.hpp"
#include "gateway/request_headers.hpp"
#include "links/holds.hpp"

#include <gtest/gtest.h>

#include <set>

namespace consort::gateway {
namespace {

TEST(AdminJson, ABuildThatSaysNothingIsNotAtZero) {
  core::artifact_view view;
  view.state = artifact_state::building;
  EXPECT_TRUE(to_json(view)["done_pm"].is_null());
  EXPECT_TRUE(to_json(view)["eta_us"].is_null());
  view.done_pm = 420;
  EXPECT_EQ(to_json(view)["done_pm"], 420);
}

TEST(AdminJson, DevicesShowNamesWordsNumbersAndNulls) {
  core::device_view view;
  view.spec.id = device_id("local/npu0");
  view.spec.type = resource_type::npu;
  view.spec.capability.max_sequences = 4;
  view.spec.capability.runtime.resume = resume_support::tokens;
  view.reading.power_mw = 7'000;
  view.alive = true;
  view.loaded = {model_name("m")};
  const auto out = to_json(view);
  EXPECT_EQ(out["spec"]["id"], "local/npu0");
  EXPECT_EQ(out["spec"]["type"], "npu");
  EXPECT_EQ(out["spec"]["capability"]["runtime"]["resume"], "tokens");
  EXPECT_EQ(out["reading"]["power_mw"], 7000);
  EXPECT_TRUE(out["reading"]["memory_used_bytes"].is_null());
  EXPECT_EQ(out["reading"]["health"], "healthy");
  EXPECT_EQ(out["loaded"], json::array({"m"}));
  EXPECT_EQ(out["breaker"], "closed");
}

TEST(AdminJson, IdsAreTextOrNumbersAsDocumented) {
  core::node_view node;
  node.node = node_id("local");
  node.life = incarnation(0xdeadbeef);
  node.lease_epoch = epoch(3);
  EXPECT_EQ(to_json(node)["life"], "00000000deadbeef");
  EXPECT_EQ(to_json(node)["lease_epoch"], 3);
  core::request_view request;
  request.id = {gateway_id(0xabc), 7};
  EXPECT_EQ(to_json(request)["id"], "0000000000000abc-7");
}

TEST(AdminJson, NodesThatTheLinkGuardHoldsOffAreShown) {
  core::node_view known;
  known.node = node_id("a");
  known.held_off_us = 5;
  auto nodes = json::array({to_json(known)});
  EXPECT_EQ(nodes[0]["held_off_us"], 5) << "by the scheduler";
  show_held_off(nodes, {{links::peer_role::node, "a", 9},
                        {links::peer_role::gateway, "front", 7},
                        {links::peer_role::node, "stranger", 8}});
  ASSERT_EQ(nodes.size(), 2U) << "gateways are no nodes";
  EXPECT_EQ(nodes[0]["held_off_us"], 9);
  EXPECT_EQ(nodes[1]["node"], "stranger");
  EXPECT_EQ(nodes[1]["alive"], false);
  EXPECT_EQ(nodes[1]["held_off_us"], 8);
}

TEST(AdminJson, ListsAreWrappedByTheirName) {
  core::snapshot seen;
  seen.replicas.resize(2);
  seen.artifacts.resize(1);
  for (const auto* name : {"nodes", "devices", "models", "replicas", "artifacts"})
    EXPECT_TRUE(list_json(seen, name).at(name).is_array()) << name;
  EXPECT_EQ(list_json(seen, "replicas")["replicas"].size(), 2U);
  EXPECT_EQ(list_json(seen, "artifacts")["artifacts"][0]["state"], "absent");
  EXPECT_TRUE(list_json(seen, "artifacts")["artifacts"][0]["eta_us"].is_null());
  EXPECT_TRUE(list_json(seen, "secrets").is_null());
}

TEST(AdminJson, RequestsSayHowManyThereAreAndWhereTheyGoOn) {
  core::snapshot_page page;
  core::request_view one;
  one.external_id = "r1";
  one.tenant = tenant_id("team-a");
  one.priority = "batch";
  one.number = 7;
  page.rows.requests = {one};
  page.rows.requests_total = 330;
  auto out = requests_json(page);
  EXPECT_EQ(out["total"], 330);
  EXPECT_TRUE(out["next"].is_null());
  EXPECT_EQ(out["requests"][0]["tenant"], "team-a");
  EXPECT_EQ(out["requests"][0]["priority"], "batch");
  EXPECT_TRUE(out["requests"][0]["deadline_left_us"].is_null());
  EXPECT_EQ(out["requests"][0]["number"], 7);
  page.rows.requests[0].deadline_left_us = 5;
  page.next = core::view_cursor{core::view_part::requests, {}, 7};
  out = requests_json(page);
  EXPECT_EQ(out["next"], 7);
  EXPECT_EQ(out["requests"][0]["deadline_left_us"], 5);
}

TEST(AdminJson, ClusterCountsWhatIsAlive) {
  core::snapshot seen;
  seen.cluster = "default";
  seen.devices.resize(3);
  seen.devices[0].alive = true;
  seen.devices[0].running = 2;
  seen.counters.finished = 9;
  const auto out = cluster_json(seen);
  EXPECT_EQ(out["cluster"], "default");
  EXPECT_EQ(out["totals"]["devices"], 3);
  EXPECT_EQ(out["totals"]["devices_alive"], 1);
  EXPECT_EQ(out["totals"]["requests_running"], 2);
  EXPECT_EQ(out["counters"]["finished"], 9);
  EXPECT_FALSE(out["version"].get<std::string>().empty());
}

TEST(AdminJson, ExplanationsShowCandidatesAndTerms) {
  core::explanation view;
  core::decision_view decision;
  decision.outcome = "ticket";
  core::candidate_view candidate;
  candidate.device = device_id("local/cpu0");
  candidate.terms = {{"prefill", 12}, {"decode", 30}};
  candidate.score = 42;
  decision.candidates.push_back(candidate);
  view.decisions.push_back(decision);
  const auto out = to_json(view)["decisions"][0]["candidates"][0];
  EXPECT_EQ(out["score"], 42);
  EXPECT_EQ(out["terms"][1]["name"], "decode");
  EXPECT_EQ(out["terms"][1]["value"], 30);
}

TEST(AdminJson, ExplanationsSayWithWhatARequestWouldBeRefused) {
  core::explanation view;
  EXPECT_FALSE(to_json(view).contains("http_status"));
  EXPECT_FALSE(to_json(view).contains("retry_after_us"));
  view.http_status = 429;
  view.retry_after_us = 12;
  EXPECT_EQ(to_json(view)["http_status"], 429);
  EXPECT_EQ(to_json(view)["retry_after_us"], 12);
}

TEST(AdminJson, ModelDeclarationsRoundTrip) {
  model_spec spec;
  spec.name = model_name("storyteller");
  spec.aliases = {model_name("default")};
  spec.variants.resize(1);
  spec.variants[0].format = "gguf";
  spec.variants[0].source = "models/s.gguf";
  spec.variants[0].weight_bytes = 10'000'000;
  spec.replicas_max = 4;
  spec.policy = policy_name("cost");
  const auto back = model_spec_from_json(to_json(spec));
  ASSERT_TRUE(back.ok()) << back.failure().message;
  EXPECT_EQ(*back, spec);
}

TEST(AdminJson, NamesAsHubsAndServersHaveThemPass) {
  for (const auto* name : {"org/name:tag", "gpt-4o", "meta-llama/Llama-3.1-8B-Instruct@main",
                           "/models/llama", "a+b", "llama3:8b-instruct-q4_K_M"})
    EXPECT_TRUE(model_spec_from_json({{"name", name}, {"source", "/m"}, {"aliases", {name}}}).ok())
        << name;
}

TEST(AdminJson, AdaptersAreOfTheSource) {
  const auto got = model_spec_from_json(
      {{"name", "m"}, {"source", "/m.gguf"}, {"adapters", {{"b", "/b"}, {"a", "server:a"}}}});
  ASSERT_TRUE(got.ok()) << got.failure().message;
  ASSERT_EQ(got->variants.at(0).adapters.size(), 2U);
  EXPECT_EQ(got->variants[0].adapters[0], (model_adapter{model_name("a"), "server:a", {}, 0}));
  EXPECT_EQ(got->variants[0].adapters[1].source, "/b");
  auto many = json::object();
  for (std::size_t at = 0; at <= core::limits::adapters_max; ++at)
    many["a" + std::to_string(at)] = "/a";
  EXPECT_FALSE(model_spec_from_json({{"name", "m"}, {"source", "/m"}, {"adapters", many}}).ok());
}

TEST(AdminJson, ShortDeclarationsGuessTheFormat) {
  const auto got = model_spec_from_json({{"name", "m"}, {"source", "models/m.gguf"}});
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->variants.at(0).format, "gguf");
}

/// As those of a configuration file.
TEST(AdminJson, ADeclarationWithoutATimeIsUnloadedAfterTenIdleMinutes) {
  const auto ttl = [](const json& more) {
    json from{{"name", "m"}, {"source", "/m"}};
    from.update(more);
    return model_spec_from_json(from)->idle_ttl_us;
  };
  EXPECT_EQ(ttl(json::object()), 600'000'000);
  EXPECT_EQ(ttl({{"idle_ttl_us", 0}}), 0) << "never";
}

TEST(AdminJson, WrongDeclarationsNameTheField) {
  const std::vector<std::pair<const char*, std::string>> cases{
      {R"([])", "must be an object"},
      {R"({"source":"x"})", "`name` is missing"},
      {R"({"name":"m"})", "`source` is missing"},
      {R"({"name":1,"source":"x"})", "`name` must be a string"},
      {R"({"name":"m","variants":[{"source":"1"},{"source":"2"},{"source":"3"},{"source":"4"},
          {"source":"5"},{"source":"6"},{"source":"7"},{"source":"8"},{"source":"9"}]})",
       "`variants` more than 8"},
      {R"({"name":"m","source":"x","replica_max":1})",
       "`replica_max` is not a known field (did you mean replicas_max"},
      {R"({"name":"m","source":"x","replicas_max":-1})", "`replicas_max` must be a whole"},
      {R"({"name":"m","source":"x","replicas_max":4294967296})", "`replicas_max` must be a whole"},
      {R"({"name":"m","variants":[{"format":"gguf"}]})", "`variants[0].source` is missing"},
      {R"({"name":"m","source":"x","adapters":"y"})", "`variants[0].adapters` must be an object"},
      {R"({"name":"m","source":"x","adapters":{"a":1}})",
       "`variants[0].adapters.source` must be a"},
      {R"({"name":"m","source":"x","adapters":{"a":""}})", "needs a name and a source"},
      {R"({"name":"m","source":"x","aliases":[1]})", "`aliases` must hold strings"},
      {R"({"name":"a b","source":"x"})", "`name` must be of letters, digits and ._:/@+- only"},
      {R"({"name":"../../x;$(touch P","source":"x"})", "`name` must be of letters"},
      {R"({"name":"-x","source":"x"})", "`name` must not begin with `-` or `.`"},
      {R"({"name":"a/../b","source":"x"})", "`name` must have no `..` between slashes"},
      {R"({"name":"m","source":"x","aliases":["a;b"]})", "`aliases` must be of letters"},
      {R"({"name":"m","source":"x","adapters":{"`a`":"/a"}})",
       "`variants[0].adapters.name` must be of letters"},
      {R"({"name":"m\n","source":"x"})", "`name` must have no control characters"},
      {R"({"name":"m","source":"x\u0000"})", "`source` must have no control characters"},
      {R"({"name":"m","source":"x","aliases":["\u001b[2J"]})",
       "`aliases` must have no control characters"}};
  for (const auto& [text, words] : cases) {
    const auto got = model_spec_from_json(json::parse(text));
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_NE(got.failure().message.find(words), std::string::npos) << got.failure().message;
  }
}

TEST(Pages, OpenapiHasEveryRoute) {
  const auto document = json::parse(openapi_document(routes()));
  EXPECT_EQ(document["openapi"], "3.1.0");
  std::size_t operations = 0;
  for (const auto& [path, item] : document["paths"].items())
    operations += item.size();
  EXPECT_EQ(operations, routes().size());
  const auto& chat = document["paths"]["/v1/chat/completions"]["post"];
  EXPECT_EQ(chat["tags"], json::array({"openai"}));
  EXPECT_EQ(chat["requestBody"]["content"]["application/json"]["schema"]["required"],
            json::array({"model", "messages"}));
  EXPECT_TRUE(document["paths"].contains("/v1/models/{id}"));
  const auto& plugins = document["paths"]["/api/v1/plugins"]["get"];
  EXPECT_EQ(plugins["parameters"][0]["name"], "node");
  EXPECT_EQ(plugins["parameters"][0]["in"], "query");
}

TEST(Pages, OpenapiHasEveryHeaderThatIsKnown) {
  const auto document = json::parse(openapi_document(routes()));
  std::set<std::string> told;
  for (const auto& one : document["paths"]["/v1/completions"]["post"]["parameters"])
    if (one["name"].get<std::string>().starts_with("X-Consort-"))
      told.insert(one["name"].get<std::string>());
  EXPECT_EQ(told, std::set<std::string>(request_header_names.begin(), request_header_names.end()));
}

TEST(Pages, TheDashboardNeedsNothingFromElsewhere) {
  for (const auto* name : {"index.html", "dashboard.css", "dashboard.js", "activity.js",
                           "charts.js", "devices.js", "playground.js"}) {
    const auto* const page = find_page(name);
    ASSERT_NE(page, nullptr) << name;
    EXPECT_GT(page->text.size(), 500U) << name;
    EXPECT_EQ(page->text.find("https://"), std::string_view::npos) << name;
    EXPECT_EQ(page->text.find("innerHTML"), std::string_view::npos) << name;
  }
  EXPECT_EQ(find_page("dashboard.css")->content_type(), "text/css; charset=utf-8");
  EXPECT_EQ(find_page("charts.js")->content_type(), "text/javascript; charset=utf-8");
}

TEST(Pages, OtherNamesAreNoFiles) {
  for (const auto* name : {"", "../index.html", "index.html/", "/etc/passwd", "INDEX.HTML"})
    EXPECT_EQ(find_page(name), nullptr) << name;
}

} // namespace
} // namespace consort::gateway
