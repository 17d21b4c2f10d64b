// SPDX-License-Identifier: Apache-2.0
// Goal: what is said of a build ahead is what the scheduler would do.
#include "scheduler/compile_plan.hpp"
#include "scheduler/formats.hpp"
#include "scheduler/weights.hpp"
#include "tests/support/core_fixture.hpp"

namespace consort::core::testing {

namespace {

std::vector<planned_build> plan(core_fixture& t, const std::string& devices) {
  const auto plans = plan_compile(t.view(), model_name{"storyteller"}, devices);
  EXPECT_TRUE(plans) << (plans ? "" : plans.failure().message);
  return plans ? *plans : std::vector<planned_build>{};
}

TEST(CompilePlan, SaysWhatWouldBeBuiltAndWhere) {
  core_fixture t;
  t.join("a", 11);
  t.join("b", 22, {refnpu_profile()});
  t.advertise(cpu_spec("a", 0));
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  auto plans = plan(t, "auto");
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[0].device.value, "a/cpu0");
  EXPECT_EQ(plans[0].state, "as-is");
  EXPECT_EQ(plans[1].state, "build");
  EXPECT_EQ(plans[1].where.value, "b");
  EXPECT_EQ(plans[1].profile, refnpu_profile());

  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  const auto order = t.expect<start_compile>();
  EXPECT_EQ(order.node.value, "b");
  EXPECT_EQ(plan(t, "npu")[0].state, "building");

  artifact_record built;
  built.key = order.key;
  built.content = digest{std::string(64, 'c')};
  t.feed(compile_finished{order.compile, incarnation{22}, built});
  EXPECT_EQ(plan(t, "npu")[0].state, "ready");
  EXPECT_EQ(plan(t, "npu")[0].where.value, "b");
}

TEST(CompilePlan, IsBuiltOnceNearWhoeverWasAskedFor) {
  core_fixture t;
  for (const char* node : {"a", "b"}) {
    t.join(node, node[0] == 'a' ? 11 : 22, {refnpu_profile()});
    t.advertise(npu_spec(node, 0));
  }
  t.declare(story_spec());
  for (const auto& one : plan(t, "npu"))
    EXPECT_EQ(one.where.value, "a") << one.device.value << ": one build is for both";
  ASSERT_EQ(plan(t, "npu,node=b").size(), 1U);
  EXPECT_EQ(plan(t, "npu,node=b")[0].where.value, "b");
  t.feed(compile_requested{model_name{"storyteller"}, "npu,node=b"});
  EXPECT_EQ(t.expect<start_compile>().node.value, "b");
  t.expect_empty();
}

TEST(CompilePlan, WhatWasGoneBackToIsNamedByTheCompilerThatBuiltIt) {
  core_fixture t;
  t.join("a", 11);
  auto older = refnpu_profile();
  older.compiler_version = "0.9";
  t.feed(artifact_found{artifact_on("a", engine_key(older), 'b'), t.life_of("a")});
  auto instead = artifact_on("a", engine_key(), 'b');
  instead.own = digest{std::string(64, 'c')};
  t.feed(artifact_found{instead, t.life_of("a")});
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  ASSERT_EQ(plan(t, "npu").size(), 1U);
  EXPECT_EQ(plan(t, "npu")[0].state, "ready");
  EXPECT_EQ(plan(t, "npu")[0].detail, "gone back to bbbbbbbbbbbb, which refnpu-cc 0.9 built");

  t.join("b", 22);
  t.feed(artifact_found{artifact_on("b", engine_key(), 'c'), t.life_of("b")});
  EXPECT_EQ(plan(t, "npu")[0].detail, "cccccccccccc, or where its node has gone back to "
                                      "bbbbbbbbbbbb, which refnpu-cc 0.9 built");
}

TEST(CompilePlan, WithoutACompilerItSaysWhichIsMissing) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(npu_spec("a", 0));
  t.declare(story_spec());
  const auto plans = plan(t, "npu");
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].state, "no-compiler");
  EXPECT_NE(plans[0].detail.find(refnpu_profile().compiler), std::string::npos);
}

device_spec npu_that_reads(const std::vector<std::string>& formats) {
  auto made = npu_spec("a", 0);
  made.capability.build_profiles = {{refnpu_profile(), formats}};
  return made;
}

TEST(CompilePlan, ACompilerThatReadsNoFormatOfTheModelBuildsNothing) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.advertise(npu_that_reads({"gguf"}));
  auto model = story_spec();
  model.variants[0].format = "cl";
  t.declare(model);
  const std::string words = "its compilers cannot read cl: refnpu (refnpu-cc) reads gguf";
  const auto plans = plan(t, "npu");
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].state, "no-compiler");
  EXPECT_EQ(plans[0].detail, words);

  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  EXPECT_TRUE(t.noted(words));
  t.submit();
  EXPECT_TRUE(t.take_all<start_compile>().empty());
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find(words), std::string::npos) << refused.reason.message;
  t.drop_all();
}

/// What a dry run, a compile and a refused request say of the device.
void expect_words(const device_spec& device, const model_spec& model, const std::string& words) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.advertise(device);
  t.declare(model);
  const auto plans = plan(t, "npu");
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].state, "no-compiler");
  EXPECT_EQ(plans[0].detail, words);
  t.feed(compile_requested{model_name{"storyteller"}, "npu"});
  EXPECT_TRUE(t.noted(words));
  t.submit();
  const auto refused = t.expect<reject_request>();
  EXPECT_EQ(refused.http_status, 422);
  EXPECT_NE(refused.reason.message.find("(" + words + ")"), std::string::npos)
      << refused.reason.message;
  t.drop_all();
}

TEST(CompilePlan, SaysWhyThePluginHasNoCompilerForTheDevice) {
  auto device = npu_spec("a", 0);
  device.capability.build_profiles.clear();
  device.attributes[no_compiler_attribute] = "qcc does not say its version: qcc printed nothing";
  expect_words(device, story_spec(), device.attributes[no_compiler_attribute]);
}

TEST(CompilePlan, SaysThatAnInstanceSpansFewerDevices) {
  auto model = story_spec();
  model.devices_per_instance = 2;
  expect_words(npu_spec("a", 0), model,
               "an instance spans at most 1 device of its plugin (devices_max), and the model asks "
               "for 2 (devices_per_instance)");
  auto device = npu_spec("a", 0);
  device.capability.devices_max = 2;
  expect_words(device, model,
               "its compilers build for other numbers of devices (degree), and the model asks for "
               "2 (devices_per_instance)");
}

TEST(CompilePlan, TheVariantThatACompilerReadsIsBuilt) {
  for (const std::vector<std::string>& reads :
       {std::vector<std::string>{"onnx", "gg*"}, std::vector<std::string>{}}) {
    core_fixture t;
    t.join("a", 11, {refnpu_profile()});
    t.advertise(npu_that_reads(reads));
    auto model = story_spec();
    model.variants.push_back(model.variants[0]);
    model.variants[0].format = "cl";
    model.variants[0].content = digest{std::string(64, 'd')};
    t.declare(model);
    t.submit();
    const auto order = t.expect<start_compile>();
    EXPECT_EQ(order.key.binds, model.variants[reads.empty() ? 0 : 1].content.value)
        << "without a word of formats it reads any";
    EXPECT_EQ(plan(t, "npu")[0].state, "building");
    t.drop_all();
  }
}

TEST(CompilePlan, WhatSomebodyBuiltElsewhereIsRunWhateverItWasBuiltFrom) {
  core_fixture t;
  t.join("a", 11, {refnpu_profile()});
  t.advertise(npu_that_reads({"gguf"}));
  auto model = story_spec();
  model.variants[0].format = "cl";
  t.declare(model);
  artifact_record brought;
  brought.key = {artifact_kind::engine_weights, model.variants[0].content.value, refnpu_profile()};
  brought.content = digest{std::string(64, 'c')};
  brought.node = node_id{"a"};
  t.feed(artifact_found{brought, incarnation{11}});
  EXPECT_EQ(plan(t, "npu")[0].state, "ready");
  t.submit();
  EXPECT_EQ(t.take_all<reserve_allocation>().size(), 1U);
  t.drop_all();
}

/// They are to be had ahead, and again after they came wrong, also where nothing is built.
TEST(CompilePlan, WeightsOfElsewhereAreFetchedAheadForWhoRunsThemAsTheyAre) {
  core_fixture t;
  t.join("a", 11, {weights_profile()});
  t.advertise(cpu_spec("a"));
  const auto model = hub_spec();
  t.declare(model);
  const auto planned = [&] { return plan(t, "cpu").at(0); };
  EXPECT_EQ(planned().state, "fetch");
  EXPECT_EQ(planned().profile, weights_profile());
  EXPECT_EQ(planned().where.value, "a");

  const compile_requested asked{model_name{"storyteller"}, "cpu"};
  t.feed(asked);
  const auto first = t.expect<start_compile>();
  EXPECT_EQ(first.key, weights_key(model.variants[0]));
  EXPECT_EQ(planned().state, "building");
  t.feed(compile_failed{
      first.compile, incarnation{11}, {recovery::refuse, "weights_missing", "no such file"}});
  t.pass_time_renewing(limits::return_grace_us, {"a"});
  t.drop_all();
  EXPECT_EQ(planned().state, "failed");
  EXPECT_EQ(planned().detail, "no such file");
  EXPECT_EQ(planned().profile, weights_profile()) << "it can be asked for again";

  t.feed(asked);
  t.compiled(t.expect<start_compile>(), model.variants[0].content.value);
  EXPECT_EQ(planned().state, "ready");
  t.drop_all();
}

TEST(CompilePlan, AModelIsFoundByItsAdapterToo) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  auto model = story_spec();
  model.variants[0].adapters
      = {{model_name{"tales"}, "/adapters/tales", digest{std::string(64, '1')}, 8}};
  t.declare(model);
  EXPECT_TRUE(plan_compile(t.view(), model_name{"tales"}, "cpu"));
}

TEST(CompilePlan, WhatIsLostIsNamed) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(cpu_spec("a"));
  t.declare(story_spec());
  t.feed(device_lost{device_id{"a/cpu0"}, incarnation{11}, "it is gone"});
  const auto plans = plan_compile(t.view(), model_name{"storyteller"}, "a/cpu0");
  ASSERT_FALSE(plans);
  EXPECT_EQ(plans.failure().code, "nothing_selected");
  EXPECT_EQ(plans.failure().message,
            "only lost devices match `a/cpu0`: a/cpu0; ask again when they are back");
  t.drop_all();
}

TEST(CompilePlan, RefusesWhatMakesNoSense) {
  core_fixture t;
  t.join("a", 11);
  t.advertise(cpu_spec("a", 0));
  t.declare(story_spec());
  const auto seen = t.view();
  const auto code = [&](const char* model, const char* devices) {
    const auto plans = plan_compile(seen, model_name{model}, devices);
    return plans ? std::string() : plans.failure().code;
  };
  EXPECT_EQ(code("storyteler", "auto"), "model_unknown");
  EXPECT_EQ(code("storyteller", "gpu"), "nothing_selected");
  EXPECT_EQ(code("storyteller", ","), "selector_malformed");
}

} // namespace

} // namespace consort::core::testing
