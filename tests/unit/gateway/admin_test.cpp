// SPDX-License-Identifier: Apache-2.0
// The routes beside inference, over a real socket.
#include "links/holds.hpp"
#include "scheduler/limits.hpp"
#include "tests/unit/gateway/gateway_fixture.hpp"

#include <gmock/gmock.h>

#include <array>

namespace consort::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Admin : public gateway_fixture {
protected:
  void declare(const std::string& name, const std::string& alias) {
    core::model_view view;
    view.spec.name = model_name(name);
    view.spec.aliases = {model_name(alias)};
    port_.seen.models.push_back(view);
  }
  void add_device() {
    core::device_view device;
    device.spec.id = device_id("local/cpu0");
    device.alive = true;
    port_.seen.devices.push_back(device);
  }
  void add_node(const std::string& name) { port_.seen.nodes.emplace_back().node = node_id(name); }
};

TEST_F(Admin, ModelsAreListedAndFoundByNameOrAlias) {
  declare("org/storyteller", "default");
  start();
  http_client client(http_port());
  const auto list = nlohmann::json::parse(client.get("/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "org/storyteller");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(client.get("/v1/models/org%2Fstoryteller").status, 200);
  EXPECT_EQ(client.get("/v1/models/org/storyteller").status, 200);
  const auto alias = nlohmann::json::parse(client.get("/v1/models/default").body);
  EXPECT_EQ(alias["id"], "org/storyteller");
}

TEST_F(Admin, UnknownModelsOfferTheNearest) {
  declare("storyteller", "default");
  start();
  http_client client(http_port());
  const auto answer = client.get("/v1/models/storytaller");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(error_of(answer)["code"], "model_not_found");
  EXPECT_NE(error_of(answer)["message"].get<std::string>().find("storyteller"), std::string::npos);
}

TEST_F(Admin, ReadinessNeedsADevice) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("/healthz").status, 200);
  const auto before = client.get("/readyz");
  EXPECT_EQ(before.status, 503);
  EXPECT_NE(before.body.find("no device is alive"), std::string::npos);
}

TEST_F(Admin, ReadyWhenADeviceIsAlive) {
  add_device();
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("/readyz").status, 200);
}

TEST_F(Admin, EveryListAnswers) {
  add_device();
  declare("m", "d");
  start();
  http_client client(http_port());
  for (const std::string name :
       {"nodes", "devices", "models", "replicas", "artifacts", "requests"}) {
    const auto answer = client.get("/api/v1/" + name);
    EXPECT_EQ(answer.status, 200) << name;
    EXPECT_TRUE(nlohmann::json::parse(answer.body).at(name).is_array()) << name;
  }
  EXPECT_EQ(nlohmann::json::parse(client.get("/api/v1/cluster").body)["totals"]["devices"], 1);
  EXPECT_EQ(client.get("/openapi.json").status, 200);
  EXPECT_EQ(client.get("/").headers.at("Content-Type"), "text/html; charset=utf-8");
}

TEST_F(Admin, RequestsAreListedByPageAndKind) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.get("/api/v1/requests").status, 200);
  EXPECT_EQ(port_.listed, core::requests_wish{});
  EXPECT_EQ(client
                .get("/api/v1/requests?limit=1000&after=7&model=a%2Fb&tenant=team-a&priority=batch"
                     "&state=queued")
                .status,
            200);
  const core::requests_wish wanted{
      7,       core::limits::requests_page_max, model_name("a/b"), tenant_id("team-a"), "batch",
      "queued"};
  EXPECT_EQ(port_.listed, wanted);
  for (const std::string bad : {"limit=0", "limit=1001", "limit=x", "after=-1", "priority=high",
                                "state=gone", "tenant=", "model=%zz", "limits=5"}) {
    const auto refused = client.get("/api/v1/requests?" + bad);
    EXPECT_EQ(refused.status, 400) << bad;
  }
  EXPECT_EQ(error_of(client.get("/api/v1/requests?limit=1001"))["param"], "limit");
}

TEST_F(Admin, NodesHeldOffByTheLinkGuardAreListed) {
  config_.held_off = [] {
    return std::vector<links::held_peer>{{links::peer_role::node, "noisy", 700}};
  };
  start();
  const auto seen = nlohmann::json::parse(http_client(http_port()).get("/api/v1/nodes").body);
  EXPECT_EQ(seen["nodes"].back()["node"], "noisy");
  EXPECT_EQ(seen["nodes"].back()["held_off_us"], 700);
}

TEST_F(Admin, SilentSchedulerIs503WithinTheTimeout) {
  port_.silent = true;
  config_.limits.port_timeout = 20 * ms;
  config_.limits.plugins_time = 20 * ms;
  start();
  http_client client(http_port());
  for (const auto* path : {"/v1/models", "/api/v1/cluster", "/readyz", "/api/v1/nodes",
                           "/api/v1/requests", "/api/v1/plugins"})
    EXPECT_EQ(client.get(path).status, 503) << path;
  EXPECT_EQ(client.post("/api/v1/drain", R"({"target":"local"})").status, 503);
  EXPECT_EQ(client.get("/metrics").status, 200) << "what the gateway knows is still shown";
}

TEST_F(Admin, ExplainFindsByIdOrIs404) {
  core::explanation found;
  found.request.external_id = "mine";
  found.outcome = "finished";
  port_.explained = found;
  start();
  http_client client(http_port());
  EXPECT_EQ(nlohmann::json::parse(client.get("/api/v1/explain/mine").body)["outcome"], "finished");
  const auto missing = client.get("/api/v1/explain/other");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(error_of(missing)["code"], "unknown_request");
}

TEST_F(Admin, ExplainSaysWhereARequestWouldGo) {
  core::explanation told;
  told.request.state = "dry-run";
  told.starts_in_us = 5;
  port_.explained = told;
  start();
  http_client client(http_port());
  const auto answer = client.post("/api/v1/explain", chat_body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(nlohmann::json::parse(answer.body)["starts_in_us"], 5);
  ASSERT_TRUE(port_.dry_run);
  EXPECT_EQ(port_.dry_run->kind, request_kind::chat);
  EXPECT_EQ(port_.dry_run->model.value, "storyteller");
  EXPECT_EQ(client.post("/api/v1/explain", "{").status, 400);
  port_.explained.reset();
  EXPECT_EQ(client.post("/api/v1/explain", chat_body).status, 404);
  port_.unexplained = {recovery::refuse, "policy_not_found", "no policy 'hybird'"};
  const auto refused = client.post("/api/v1/explain", chat_body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused)["param"], "X-Consort-Policy") << "as the request itself would be";
}

/// A device that runs what one profile builds for the model.
core::device_view builds_for(const model_spec& model) {
  core::device_view device;
  device.spec.id = device_id("local/npu0");
  device.spec.type = resource_type::npu;
  device.alive = true;
  build_profile profile;
  profile.name = "p";
  profile.compiler = "fake-cc";
  profile.degree = model.devices_per_instance;
  device.spec.capability.build_profiles = {{profile, {}}};
  return device;
}

TEST_F(Admin, BuildsAheadArePlannedAndWhatMakesNoSenseIsRefused) {
  declare("m", "d");
  port_.seen.models[0].spec.variants.resize(1);
  port_.seen.devices.push_back(builds_for(port_.seen.models[0].spec));
  add_device();
  start();
  http_client client(http_port());
  const auto ask = [&](const char* body) { return client.post("/api/v1/compile/plan", body); };
  const auto plan = nlohmann::json::parse(ask(R"({"model":"d","for":"npu"})").body)["builds"];
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0]["state"], "no-compiler");
  EXPECT_EQ(plan[0]["compiler"], "fake-cc");
  EXPECT_EQ(ask(R"({"model":"n","for":"npu"})").status, 404);
  EXPECT_EQ(ask(R"({"model":"m","for":"gpu"})").status, 422);
  EXPECT_EQ(ask(R"({"model":"m","for":","})").status, 400);
  EXPECT_EQ(ask(R"({"model":"m"})").status, 400);
  EXPECT_EQ(client.post("/api/v1/compile", R"({"model":"m","for":"cpu"})").status, 422);
  EXPECT_TRUE(port_.admin_requests().empty());
}

/// Weights that a device runs as they are have to come from their hub all the same.
TEST_F(Admin, WeightsCanBeFetchedAheadWhereNothingIsBuilt) {
  declare("m", "d");
  auto& weights = port_.seen.models[0].spec.variants.emplace_back();
  weights.source = "hf:org/m@main/m.gguf";
  weights.format = "gguf";
  add_device();
  port_.seen.devices[0].spec.capability.formats = {"gguf"};
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/api/v1/compile", R"({"model":"m","for":"auto"})").status, 202);
  EXPECT_EQ(port_.admin_requests().size(), 1U);
}

TEST_F(Admin, CommandsReachTheScheduler) {
  declare("m", "d");
  port_.seen.models[0].spec.variants.resize(1);
  port_.seen.devices.push_back(builds_for(port_.seen.models[0].spec));
  add_node("local");
  config_.describe = [](model_spec declared) {
    declared.variants.at(0).quantization = "q8_0";
    return declared;
  };
  start();
  http_client client(http_port());
  EXPECT_EQ(
      client.post("/api/v1/drain", R"({"target":"local/npu0","reason":"firmware","deadline":"2m"})")
          .status,
      202);
  EXPECT_EQ(client.post("/api/v1/cordon", R"({"target":"local"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/uncordon", R"({"target":"local"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/undrain", R"({"target":"local"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/models", R"({"name":"m","source":"models/m.gguf"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/compile", R"({"model":"m","for":"npu"})").status, 202);
  client.send(http_client::request("DELETE", "/api/v1/models/m"));
  EXPECT_EQ(client.read_answer().status, 202);

  const auto asked = port_.admin_requests();
  ASSERT_EQ(asked.size(), 7U);
  const auto& drained = std::get<core::drain_changed>(asked[0]);
  EXPECT_EQ(drained.target, "local/npu0");
  EXPECT_EQ(drained.reason, "firmware");
  EXPECT_TRUE(drained.draining);
  EXPECT_EQ(drained.move_after_us, 120'000'000);
  EXPECT_EQ(drained.kind, core::hold_kind::drain);
  const auto hold = [&](std::size_t at) {
    const auto& said = std::get<core::drain_changed>(asked[at]);
    return std::pair(said.draining, said.kind);
  };
  EXPECT_EQ(hold(1), std::pair(true, core::hold_kind::cordon));
  EXPECT_EQ(hold(2), std::pair(false, core::hold_kind::any));
  EXPECT_EQ(hold(3), std::pair(false, core::hold_kind::drain));
  const auto& added = std::get<core::model_declared>(asked[4]).spec;
  EXPECT_EQ(added.name.value, "m");
  EXPECT_EQ(added.variants.at(0).quantization, "q8_0") << "as its file is, not as declared";
  EXPECT_EQ(std::get<core::compile_requested>(asked[5]).selector, "npu");
  EXPECT_EQ(std::get<core::model_removed>(asked[6]).name.value, "m");
}

/// A browser sends such a request for any page that its user looks at, without asking first.
TEST_F(Admin, PagesOfOtherSitesCommandNothing) {
  add_node("local");
  start();
  http_client client(http_port());
  const auto body = R"({"target":"local"})";
  for (const auto* origin : {"http://other.example", "null", "http://test.other.example"}) {
    const auto refused
        = client.post("/api/v1/cordon", body, std::string("Origin: ") + origin + "\r\n");
    EXPECT_EQ(refused.status, 403) << origin;
    EXPECT_EQ(error_of(refused)["code"], "foreign_origin");
  }
  EXPECT_TRUE(port_.admin_requests().empty());
  EXPECT_EQ(client.get("/api/v1/nodes", "Origin: http://other.example\r\n").status, 200)
      << "which no page of another site can read";
  EXPECT_EQ(client.post("/api/v1/cordon", body, "Origin: http://test\r\n").status, 202)
      << "our own page, by the host that it was asked of";
}

TEST_F(Admin, AReloadTellsWhatCameOfItOnEachNode) {
  messages::reload_report good, silent;
  good.node = node_id("a");
  good.answered = true;
  good.devices_came = {"a/npu0"};
  good.complaints = {"x: broken"};
  silent.node = node_id("b");
  port_.reloaded = gateway::reload_reports{good, silent};
  start();
  http_client client(http_port());
  const auto ask = [&](const char* body) { return client.post("/api/v1/plugins/reload", body); };
  const auto nodes = nlohmann::json::parse(ask("{}").body)["nodes"];
  EXPECT_TRUE(port_.reload_node.empty());
  EXPECT_EQ(port_.reload_timeout_us, gateway::limits::reload_time_us);
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0]["devices_came"][0], "a/npu0");
  EXPECT_EQ(nodes[0]["complaints"][0], "x: broken");
  EXPECT_EQ(nodes[1]["answered"], false);
  port_.reloaded = error{recovery::refuse, "unknown_node", "no node `c` has a link just now"};
  EXPECT_EQ(ask(R"({"node":"c","timeout":"2s"})").status, 404);
  EXPECT_EQ(port_.reload_node, node_id("c"));
  EXPECT_EQ(port_.reload_timeout_us, 2'000'000);
  for (const auto* bad : {R"({"timeout":"soon"})", R"({"timeout":"11m"})", R"({"nodes":"c"})"})
    EXPECT_EQ(ask(bad).status, 400) << bad;
}

TEST_F(Admin, PluginsAreThoseOfEveryNodeThatAnswers) {
  messages::plugins_report good, silent;
  good.node = node_id("a");
  good.answered = true;
  good.left_out = 2;
  good.plugins = {{"far", "1.2", "Far", 60, "/p/far", true, "", {"a/npu0"}},
                  {"near", "1", "Near", 50, "built-in", false, "no device found", {}}};
  good.claims = {{"U-1", "a/npu0", "far", {"near"}, "priority 60 over 50 (near)"}};
  silent.node = node_id("b");
  port_.plugins = gateway::plugins_reports{good, silent};
  start();
  http_client client(http_port());
  const auto seen = nlohmann::json::parse(client.get("/api/v1/plugins").body);
  EXPECT_TRUE(port_.plugins_node.empty());
  EXPECT_EQ(port_.plugins_timeout_us, gateway::limits::plugins_time_us);
  ASSERT_EQ(seen["nodes"].size(), 2U);
  EXPECT_EQ(seen["nodes"][0]["left_out"], 2);
  EXPECT_EQ(seen["nodes"][1]["answered"], false);
  ASSERT_EQ(seen["plugins"].size(), 2U);
  EXPECT_EQ(seen["plugins"][0]["node"], "a");
  EXPECT_EQ(seen["plugins"][0]["devices"][0], "a/npu0");
  EXPECT_EQ(seen["plugins"][1]["reason"], "no device found");
  EXPECT_EQ(seen["claims"][0]["losers"][0], "near");
  EXPECT_EQ(client.get("/api/v1/plugins?node=a%2Db").status, 200);
  EXPECT_EQ(port_.plugins_node, node_id("a-b"));
  const auto longest = std::string(gateway::limits::node_name_bytes_max, 'n');
  EXPECT_EQ(client.get("/api/v1/plugins?node=" + longest).status, 200);
  for (const auto& bad : {std::string("node="), "node=n" + longest, std::string("nodes=a"),
                          std::string("node=a&node=b"), std::string("node=%zz")})
    EXPECT_EQ(client.get("/api/v1/plugins?" + bad).status, 400) << bad;
  port_.plugins = error{recovery::refuse, "unknown_node", "no node `c` has a link just now"};
  EXPECT_EQ(client.get("/api/v1/plugins?node=c").status, 404);
}

TEST_F(Admin, PlanIsAListOfSteps) {
  core::decision_view step;
  step.outcome = "load";
  step.reason = "m, 1MiB";
  step.winner = device_id{"local/npu0"};
  port_.explained = core::explanation{{}, {step}, "", {}};
  start();
  http_client client(http_port());
  const auto answer = client.post("/api/v1/plan", R"({"model":"m","for":"npu"})");
  EXPECT_EQ(answer.status, 200);
  const auto steps = nlohmann::json::parse(answer.body)["steps"];
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps[0]["action"], "load");
  EXPECT_EQ(steps[0]["where"], "local/npu0");
  EXPECT_EQ(port_.planned, (core::plan_wish{model_name{"m"}, "npu", {}}));
  EXPECT_EQ(client.post("/api/v1/plan", R"({"for":"npu"})").status, 400);
  const auto both = client.post("/api/v1/plan", R"({"model":"m","drain":"local"})");
  EXPECT_EQ(both.status, 400) << "neither is overlooked";
  EXPECT_EQ(error_of(both)["param"], "drain");
}

TEST_F(Admin, WrongCommandsAre400NamingTheField) {
  start();
  http_client client(http_port());
  const std::vector<std::array<std::string, 3>> cases{
      {"/api/v1/drain", R"({"reason":"x"})", "target"},
      {"/api/v1/drain", R"({"target":1})", "target"},
      {"/api/v1/drain", R"({"target":"a","when":"now"})", "when"},
      {"/api/v1/drain", R"({"target":"a","deadline":"soon"})", "deadline"},
      {"/api/v1/drain", R"({"target":"a","reason":"x\n13:00:00.000 error FAKE"})", "reason"},
      {"/api/v1/compile", R"({"model":"m"})", "for"},
      {"/api/v1/compile", R"({"for":"npu"})", "model"}};
  for (const auto& [path, body, param] : cases) {
    const auto answer = client.post(path, body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(error_of(answer)["param"], param);
  }
  EXPECT_EQ(client.post("/api/v1/models", "{").status, 400);
  EXPECT_TRUE(port_.admin_requests().empty());
}

TEST_F(Admin, PathsWithControlCharactersAreRefused) {
  start();
  http_client client(http_port());
  for (const auto* path : {"/v1/models/a%0A13:00:00.000%20error", "/api/v1/explain/%1B[31m"}) {
    const auto answer = client.get(path);
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_EQ(error_of(answer)["code"], "bad_path");
  }
}

TEST_F(Admin, ModelsWhoseFilesAreNoGoodAreRefused) {
  config_.describe = [](const model_spec& declared) -> result<model_spec> {
    const auto& source = declared.variants.at(0).source;
    return error{recovery::refuse, source == "/none" ? "file_missing" : "bad_model",
                 source + ": why"};
  };
  start();
  http_client client(http_port());
  const auto damaged = client.post("/api/v1/models", R"({"name":"m","source":"/half.gguf"})");
  EXPECT_EQ(damaged.status, 422);
  EXPECT_EQ(error_of(damaged)["code"], "bad_model");
  EXPECT_EQ(error_of(damaged)["message"], "/half.gguf: why");
  EXPECT_EQ(client.post("/api/v1/models", R"({"name":"m","source":"/none"})").status, 400);
  EXPECT_TRUE(port_.admin_requests().empty());
}

/// As node's describe_adapter() says it of a file that no runtime could load.
TEST_F(Admin, ModelsWithABrokenAdapterAreRefusedInItsWords) {
  const std::string why = "model `m`, adapter `tales`: /lora/tales.bin: such weights are code";
  config_.describe = [&](const model_spec& declared) -> result<model_spec> {
    EXPECT_EQ(declared.variants.at(0).adapters.at(0).source, "/lora/tales.bin");
    return error{recovery::refuse, "bad_adapter", why};
  };
  start();
  const auto refused
      = http_client(http_port()).post("/api/v1/models", R"({"name":"m","source":"/m.gguf",
                                 "adapters":{"tales":"/lora/tales.bin"}})");
  EXPECT_EQ(refused.status, 422) << refused.body;
  EXPECT_EQ(error_of(refused)["code"], "bad_adapter");
  EXPECT_EQ(error_of(refused)["message"], why);
  EXPECT_TRUE(port_.admin_requests().empty());
}

TEST_F(Admin, AModelsPolicyMustBeKnownToTheScheduler) {
  config_.describe = [](model_spec declared) { return declared; };
  start();
  http_client client(http_port());
  const auto* body = R"({"name":"m","source":"/m.gguf","policy":"cost"})";
  EXPECT_EQ(client.post("/api/v1/models", body).status, 202);
  ASSERT_EQ(port_.admin_requests().size(), 1U);
  const auto declared = std::get<core::model_declared>(port_.admin_requests()[0]).spec;
  EXPECT_EQ(declared.policy.value, "cost");
  EXPECT_EQ(port_.dry_run->policy->value, "cost");
  port_.unexplained
      = {recovery::refuse, "policy_not_found", "no policy 'cots' (did you mean cost?)"};
  const auto refused = client.post("/api/v1/models", body);
  EXPECT_EQ(refused.status, 400) << refused.body;
  EXPECT_EQ(error_of(refused)["param"], "policy");
  EXPECT_EQ(error_of(refused)["message"], "no policy 'cots' (did you mean cost?)");
  EXPECT_EQ(port_.admin_requests().size(), 1U);
  EXPECT_EQ(client.post("/api/v1/models", R"({"name":"m","source":"/m.gguf","policy":3})").status,
            400);
}

TEST_F(Admin, NamesThatOthersHaveAreRefusedByField) {
  config_.describe = [](model_spec declared) { return declared; };
  core::snapshot seen;
  auto& model = seen.models.emplace_back().spec;
  model.name = model_name("storyteller");
  model.aliases = {model_name("default")};
  model.variants.emplace_back().adapters = {{model_name("tales"), "/lora/tales", {}, 0}};
  port_.seen = seen;
  start();
  http_client client(http_port());
  const auto refused = [&](const nlohmann::json& body) {
    const auto answer = client.post("/api/v1/models", body.dump());
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(error_of(answer)["code"], "name_taken");
    return error_of(answer)["message"].get<std::string>();
  };
  const auto with = [](const char* adapter) {
    return nlohmann::json{
        {"name", "m"}, {"source", "/m.gguf"}, {"adapters", {{adapter, "/lora/x"}}}};
  };
  EXPECT_EQ(refused(with("storyteller")), "`adapters`: `storyteller` is a model already");
  EXPECT_EQ(refused(with("default")), "`adapters`: `default` is an alias of `storyteller` already");
  EXPECT_EQ(refused(with("tales")), "`adapters`: `tales` is an adapter of `storyteller` already");
  EXPECT_EQ(refused(with("m")), "`adapters`: `m` is named twice");
  EXPECT_EQ(refused({{"name", "tales"}, {"source", "/m.gguf"}}),
            "`name`: `tales` is an adapter of `storyteller` already");
  EXPECT_EQ(refused({{"name", "m"}, {"source", "/m.gguf"}, {"aliases", {"default"}}}),
            "`aliases`: `default` is an alias of `storyteller` already");
  EXPECT_TRUE(port_.admin_requests().empty());
  EXPECT_EQ(client.post("/api/v1/models", with("free").dump()).status, 202);
  EXPECT_EQ(client
                .post("/api/v1/models",
                      R"({"name":"storyteller","source":"/m.gguf","aliases":["default"],
                          "adapters":{"tales":"/lora/tales"}})")
                .status,
            202)
      << "declared anew with what it has";
}

/// Whoever means an adapter does not mean its model and all else that it serves.
TEST_F(Admin, PartsOfAModelAreNotRemovedNorTheModelByTheirName) {
  declare("storyteller", "default");
  port_.seen.models[0].spec.variants.emplace_back().adapters
      = {{model_name("tales"), "/lora/tales", {}, 0}};
  start();
  http_client client(http_port());
  const auto remove = [&](const std::string& name) {
    client.send(http_client::request("DELETE", "/api/v1/models/" + name));
    return client.read_answer();
  };
  for (const auto& [part, is] :
       {std::pair("tales", "an adapter"), std::pair("default", "an alias")}) {
    const auto refused = remove(part);
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(error_of(refused)["code"], "part_of_model");
    EXPECT_THAT(error_of(refused)["message"].get<std::string>(),
                AllOf(HasSubstr("`" + std::string(part) + "` is " + is + " of `storyteller`"),
                      HasSubstr("consort model rm storyteller")));
  }
  EXPECT_TRUE(port_.admin_requests().empty());
  EXPECT_EQ(remove("storyteller").status, 202);
  ASSERT_EQ(port_.admin_requests().size(), 1U);
}

TEST_F(Admin, WhatADeclarationTakesThePlaceOfIsNamed) {
  config_.describe = [](model_spec declared) { return declared; };
  declare("m", "d");
  port_.seen.models[0].spec.variants.emplace_back().source = "/before.gguf";
  start();
  http_client client(http_port());
  const auto add = [&](const char* body) {
    return nlohmann::json::parse(client.post("/api/v1/models", body).body);
  };
  EXPECT_EQ(add(R"({"name":"m","source":"/m.gguf"})")["replaced"],
            nlohmann::json::array({"/before.gguf"}));
  EXPECT_FALSE(add(R"({"name":"other","source":"/m.gguf"})").contains("replaced"));
}

TEST_F(Admin, GatewaysWithoutFilesAddNoModels) {
  start();
  http_client client(http_port());
  EXPECT_EQ(client.post("/api/v1/models", R"({"name":"m","source":"/m.gguf"})").status, 422);
}

TEST_F(Admin, OneModelAtATimeIsReadAndOthersAreServedMeanwhile) {
  std::promise<void> go_on;
  config_.describe = [gate = go_on.get_future().share()](model_spec declared) {
    gate.wait();
    return declared;
  };
  config_.limits.describe_time = 20 * ms;
  start();
  http_client client(http_port());
  const auto slow = client.post("/api/v1/models", R"({"name":"m","source":"/m.gguf"})");
  EXPECT_EQ(slow.status, 503) << "not read within describe_time";
  EXPECT_EQ(client.get("/healthz").status, 200);
  const auto second = client.post("/api/v1/models", R"({"name":"n","source":"/n.gguf"})");
  EXPECT_EQ(second.status, 503);
  EXPECT_NE(second.body.find("another model"), std::string::npos) << second.body;
  EXPECT_TRUE(port_.admin_requests().empty());
  go_on.set_value();
}

TEST_F(Admin, RefusedCommandsSayWhy) {
  port_.on_admin = [](const auto&) {
    return result<gateway::admin_taken>(
        error{recovery::refuse, "unknown_target", "no node or device `x`"});
  };
  add_node("x"); // Gone since the gateway looked.
  start();
  http_client client(http_port());
  const auto answer = client.post("/api/v1/drain", R"({"target":"x"})");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(error_of(answer)["message"], "no node or device `x`");
}

/// What is told as taken has an effect. What was kept of a target that is away can be lifted.
TEST_F(Admin, HoldsOfAnUnknownTargetAre404NamingTheNearest) {
  add_node("small");
  add_device();
  start();
  http_client client(http_port());
  for (const auto* path : {"/api/v1/drain", "/api/v1/cordon"}) {
    const auto answer = client.post(path, R"({"target":"smal"})");
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(error_of(answer)["param"], "target");
    EXPECT_EQ(error_of(answer)["message"], "no such node or device: `smal` (did you mean small?)");
  }
  EXPECT_TRUE(port_.admin_requests().empty());
  EXPECT_EQ(client.post("/api/v1/cordon", R"({"target":"local/cpu0"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/undrain", R"({"target":"away"})").status, 202);
  EXPECT_EQ(client.post("/api/v1/uncordon", R"({"target":"away"})").status, 202);
}

TEST_F(Admin, ModelsWithBoundsThatCannotBeAre400NamingTheField) {
  bool read = false;
  config_.describe = [&](model_spec declared) {
    read = true;
    return declared;
  };
  start();
  http_client client(http_port());
  const auto post = [&](const std::string& field, std::uint64_t value) {
    const nlohmann::json body{
        {"name", "m"}, {"source", "/m.gguf"}, {"replicas_max", 2}, {field, value}};
    return client.post("/api/v1/models", body.dump());
  };
  const auto refused = post("replicas_min", 5);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(error_of(refused)["param"], "replicas_min");
  for (const auto devices : {0U, core::limits::devices_per_instance_max + 1}) {
    const auto answer = post("devices_per_instance", devices);
    EXPECT_EQ(answer.status, 400) << devices;
    EXPECT_EQ(error_of(answer)["param"], "devices_per_instance");
    EXPECT_EQ(error_of(answer)["message"], "`devices_per_instance` must be between 1 and 64");
  }
  EXPECT_FALSE(read) << "refused before the file is read";
  EXPECT_TRUE(port_.admin_requests().empty());
  EXPECT_EQ(post("replicas_min", 2).status, 202);
  EXPECT_EQ(post("devices_per_instance", core::limits::devices_per_instance_max).status, 202);
}

/// Done is not kept: the disk of the scheduler may be full.
TEST_F(Admin, CommandsSayWhetherTheyAreKeptOverARestart) {
  add_node("x");
  start();
  http_client client(http_port());
  const auto said = [&](gateway::admin_taken taken) {
    port_.on_admin = [taken](const auto&) { return result<gateway::admin_taken>(taken); };
    const auto answer = client.post("/api/v1/cordon", R"({"target":"x"})");
    EXPECT_EQ(answer.status, 202);
    return nlohmann::json::parse(answer.body);
  };
  EXPECT_EQ(said({}), nlohmann::json::parse(R"({"accepted":true})")) << "nobody knows";
  EXPECT_EQ(said({true, {}}), nlohmann::json::parse(R"({"accepted":true,"kept":true})"));
  EXPECT_EQ(said({false, "disk is full"}),
            nlohmann::json::parse(R"({"accepted":true,"kept":false,"kept_error":"disk is full"})"));
}

TEST_F(Admin, MetricsCountWhatWasServed) {
  start();
  http_client client(http_port());
  client.post("/v1/chat/completions", chat_body);
  client.post("/v1/chat/completions", "{");
  client.post("/v1/completions", R"({"model":"unheard-of"})");
  const auto text = client.get("/metrics").body;
  EXPECT_NE(text.find("consort_requests_total{outcome=\"finished\"} 1"), std::string::npos);
  EXPECT_NE(text.find("consort_requests_total{outcome=\"invalid\"} 2"), std::string::npos);
  EXPECT_NE(text.find("consort_tokens_total{kind=\"completion\",model=\"storyteller\"} 3"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("unheard-of"), std::string::npos);
}

} // namespace
} // namespace consort::testing
