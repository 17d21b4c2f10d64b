// SPDX-License-Identifier: Apache-2.0
#include "node/compiler.hpp"

#include "scheduler/artifact_model.hpp"

#include "tests/unit/node/plugin_samples.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <chrono>
#include <fstream>
#include <future>
#include <thread>

namespace consort::node {
namespace {

using test::changed;
using test::fake_plugin;
using test::read_file;
using test::temp_folder;

constexpr std::chrono::seconds patience{10}; // For a thread to say that it is done.

/// A node with the fake vendor's plugin, a store and one model.
class compiler_fixture : public ::testing::Test {
protected:
  void start(const std::string& compiler_body, const std::string& json = fake_plugin()) {
    folder.write("plugins/fake/plugin.json", json);
    folder.script("plugins/fake/fake-smi", "echo '{\"devices\": []}'");
    folder.script("plugins/fake/fake-cc",
                  "[ \"$1\" = --version ] && echo 3.1.4 && exit\n" + compiler_body);
    auto opened = artifact_store::open(folder / "data", node_id("n"));
    ASSERT_TRUE(opened.ok());
    store = *std::move(opened);
    ASSERT_TRUE(plugins.load(folder / "plugins", {io, nullptr}).empty());
    ASSERT_TRUE(plugins.probe().empty());
    order.id = compile_id(1);
    order.model = model_name("m");
    order.source.source = folder.write("model.bin", "weights");
    order.source.content = hash_text("weights");
    order.key.binds = order.source.content.value;
    order.key.profile = plugins.toolchains().front();
  }
  result<artifact_record> build() {
    compiler made(
        plugins, *store, digests, [](const model_variant& variant) { return variant.source; },
        free_bytes);
    std::optional<result<artifact_record>> ended;
    std::promise<void> told;
    const auto running = made.build(
        order, [&](std::uint32_t done_pm) { progress = done_pm; },
        [&](result<artifact_record> record) {
          EXPECT_FALSE(ended.has_value()) << "finished twice";
          ended = std::move(record);
          told.set_value();
        });
    EXPECT_NE(running, nullptr);
    io.restart();
    io.run();
    told.get_future().wait_for(patience);
    return ended ? *ended : error{recovery::bug, "silent", "finished was not called"};
  }
  /// Builds while another process imports an engine of the same key. Sets `built`; returns: the
  /// import.
  result<artifact_record> build_beside_an_import() {
    auto beside = artifact_store::open(folder / "data", node_id("cli"));
    if (!beside)
      return beside.failure();
    for (int number = 0; number < 9; ++number) // Folders are numbered, and both are this process.
      EXPECT_TRUE((*beside)->stage(1).ok());
    compiler made(plugins, *store, digests,
                  [](const model_variant& variant) { return variant.source; });
    std::promise<result<artifact_record>> told;
    const auto running = made.build(
        order, nullptr, [&](result<artifact_record> record) { told.set_value(std::move(record)); });
    auto staging = (*beside)->stage(1);
    if (!staging)
      return staging.failure();
    std::ofstream(staging->output_path()) << "theirs";
    auto imported = (*beside)->put(*std::move(staging), order.key, {{"origin", "prebuilt"}}, 0);
    io.restart();
    io.run();
    auto ended = told.get_future();
    if (ended.wait_for(patience) != std::future_status::ready)
      return error{recovery::bug, "silent", "finished was not called"};
    built = ended.get();
    return built ? imported : result<artifact_record>(built.failure());
  }
  void expect_failure(const char* code, recovery action) {
    const auto record = build();
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.failure().code, code) << record.failure().message;
    EXPECT_EQ(record.failure().action, action);
    EXPECT_TRUE(store->list().empty());
    EXPECT_TRUE(nothing_staged());
  }

  [[nodiscard]] bool nothing_staged() const {
    const auto own = folder / ("data/staging/" + std::to_string(::getpid()));
    return !std::filesystem::exists(own) || std::filesystem::is_empty(own);
  }

  temp_folder folder;
  boost::asio::io_context io;
  inventory plugins{node_id("n")};
  std::unique_ptr<artifact_store> store;
  digest_cache digests;
  build_order order;
  std::uint32_t progress = 0;
  compiler::free_space free_bytes; ///< Nothing = the disk's.
  result<artifact_record> built = error{recovery::bug, "unbuilt", "nothing was built"};
};

using Compiler = compiler_fixture;

TEST_F(Compiler, PutsWhatTheToolBuiltIntoTheStore) {
  start("echo '50%'; echo 'quality kl=0.1'; echo \"engine of $(cat \"$1\")\" > \"$2\"");
  const auto record = build();
  ASSERT_TRUE(record.ok()) << record.failure().message;
  EXPECT_EQ(record->key, order.key);
  EXPECT_EQ(record->node, node_id("n"));
  EXPECT_EQ(record->quality.at("kl"), "0.1");
  EXPECT_EQ(record->quality.at(artifact_model), "m");
  EXPECT_GT(record->build_us, 0);
  EXPECT_EQ(progress, 500U);
  EXPECT_EQ(read_file(*store->path_of(order.key)), "engine of weights\n");
  EXPECT_TRUE(nothing_staged());
}

/// By another process, while the tool runs: what the vendor made is what serves.
TEST_F(Compiler, WhatWasImportedMeanwhileIsNotReplaced) {
  start("echo building; echo x > \"$2\"");
  const auto imported = build_beside_an_import();
  ASSERT_TRUE(imported.ok());
  EXPECT_EQ(built->content, imported->content);
  EXPECT_EQ(read_file(*store->path_of(order.key)), "theirs");
  EXPECT_EQ(store->list().size(), 1U) << "and what was built in vain takes no room";
  EXPECT_FALSE(store->log_of(imported->content)) << "nor is its log the import's";
}

/// A deterministic compiler makes again what an operator marked: that stays.
TEST_F(Compiler, AnImportMeanwhileRemovesNothingThatWasThere) {
  start("echo x > \"$2\"");
  for (const bool marked : {true, false}) {
    const auto first = build();
    ASSERT_TRUE(first.ok()) << first.failure().message;
    ASSERT_TRUE(store->mark_kept(first->content, marked).ok());
    const auto imported = build_beside_an_import();
    ASSERT_TRUE(imported.ok());
    EXPECT_EQ(built->content, first->content) << marked;
    EXPECT_TRUE(store->path_of(first->content).ok()) << marked;
    EXPECT_EQ(store->kept(first->content), marked);
    ASSERT_TRUE(store->remove(first->content).ok());
    ASSERT_TRUE(store->remove(imported->content).ok());
  }
}

TEST_F(Compiler, KeepsTheOutputOnAThreadOfItsOwn) {
  start("echo x > \"$2\"");
  compiler made(plugins, *store, digests,
                [](const model_variant& variant) { return variant.source; });
  std::promise<std::thread::id> kept_by;
  const auto running = made.build(order, nullptr, [&](const result<artifact_record>&) {
    kept_by.set_value(std::this_thread::get_id());
  });
  io.run();
  auto told = kept_by.get_future();
  ASSERT_EQ(told.wait_for(patience), std::future_status::ready);
  EXPECT_NE(told.get(), std::this_thread::get_id()) << "the io thread is free meanwhile";
}

TEST_F(Compiler, RefusesAToolThatReportsSuccessWithoutOutput) {
  start("exit 0");
  expect_failure("compiler_bad_output", recovery::refuse);
}

TEST_F(Compiler, RefusesEmptyOutput) {
  start(": > \"$2\"");
  expect_failure("compiler_bad_output", recovery::refuse);
}

TEST_F(Compiler, RefusesAFolderAsOutput) {
  start("mkdir \"$2\"");
  expect_failure("compiler_bad_output", recovery::refuse);
}

TEST_F(Compiler, PassesOnADeterministicRefusal) {
  start("echo 'layer 7 is too odd' >&2; echo junk > \"$2\"; exit 3");
  expect_failure("compiler_unsupported", recovery::refuse);
}

TEST_F(Compiler, RefusesAFormatThatTheToolDoesNotRead) {
  start("echo x > \"$2\"",
        changed("\"dtype\": \"q8_0\",", "\"dtype\": \"q8_0\", \"formats\": [\"gguf\"],"));
  order.source.format = "onnx";
  expect_failure("compiler_unsupported", recovery::refuse);
}

TEST_F(Compiler, AHandlerMayAskForAnotherBuildAtOnce) {
  start("echo x > \"$2\"");
  compiler made(plugins, *store, digests,
                [](const model_variant& variant) { return variant.source; });
  auto wrong = order;
  wrong.key.profile.compiler_version = "9.9";
  int failures = 0;
  const auto running = made.build(wrong, nullptr, [&](const result<artifact_record>&) {
    const auto again
        = made.build(wrong, nullptr, [&](const result<artifact_record>&) { ++failures; });
    ++failures;
  });
  EXPECT_EQ(failures, 2);
}

TEST_F(Compiler, AHangingToolIsTriedAgainLater) {
  start("exec sleep 600", changed("\"timeout\": \"1m\"", "\"timeout\": \"100ms\""));
  expect_failure("compiler_timeout", recovery::retry_later);
}

TEST_F(Compiler, AToolThatFillsItsDiskShareIsTriedAgainLater) {
  start("exec head -c 9000000 /dev/zero > \"$2\"");
  expect_failure("compiler_disk_limit", recovery::retry_later);
}

TEST_F(Compiler, AFloodOfOutputDoesNoHarm) {
  start(
      "head -c 5000000 /dev/zero | tr '\\0' '\\n'; head -c 5000000 /dev/zero >&2; echo x > \"$2\"");
  EXPECT_TRUE(build().ok());
}

TEST_F(Compiler, RefusesADamagedModelBeforeTheToolSeesIt) {
  start("echo x > \"$2\"; touch " + (folder / "ran"));
  for (const auto* format : {"gguf", "safetensors"}) {
    order.source.format = format;
    expect_failure("bad_model", recovery::refuse);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "ran"));
}

TEST_F(Compiler, RefusesAModelThatIsNotTheOneOrdered) {
  start("echo x > \"$2\"");
  order.source.content = hash_text("other weights");
  expect_failure("model_changed", recovery::retry_elsewhere);
}

TEST_F(Compiler, AMissingModelIsBuiltElsewhere) {
  start("echo x > \"$2\"");
  order.source.source = folder / "gone.bin";
  expect_failure("model_missing", recovery::retry_elsewhere);
}

TEST_F(Compiler, AnUnknownProfileIsBuiltElsewhere) {
  start("echo x > \"$2\"");
  order.key.profile.compiler_version = "9.9";
  expect_failure("no_compiler", recovery::retry_elsewhere);
}

TEST_F(Compiler, WantsRoomForTheOutputFirst) {
  start("echo x > \"$2\"; touch " + (folder / "ran"));
  order.source.weight_bytes = std::uint64_t{1} << 60U;
  expect_failure("disk_full", recovery::retry_later);
  EXPECT_FALSE(std::filesystem::exists(folder / "ran"));
}

TEST_F(Compiler, OnAFullDiskNoWordOfSuccessIsBelieved) {
  free_bytes = [] { return std::uint64_t{0}; };
  start("echo cut > \"$2\"");
  expect_failure("disk_full", recovery::retry_later);
  EXPECT_NE(build().failure().message.find("headroom of 64 MiB"), std::string::npos);
  free_bytes = [] { return std::uint64_t{1}; };
  EXPECT_TRUE(build().ok());
}

TEST_F(Compiler, AFullDiskExplainsAnOutputThatIsNotThere) {
  free_bytes = [] { return std::uint64_t{0}; };
  start("exit 0");
  expect_failure("disk_full", recovery::retry_later);
  const auto failure = build().failure();
  EXPECT_NE(failure.message.find("wrote no output"), std::string::npos) << failure.message;
}

TEST_F(Compiler, DestroyingABuildStopsTheToolAndRemovesItsFiles) {
  start("echo '1%'; exec sleep 600");
  compiler made(plugins, *store, digests,
                [](const model_variant& variant) { return variant.source; });
  std::unique_ptr<running_compile> running;
  bool finished = false;
  running = made.build(
      order, [&](std::uint32_t) { running.reset(); },
      [&](const result<artifact_record>&) { finished = true; });
  io.run();
  EXPECT_EQ(running, nullptr);
  EXPECT_FALSE(finished);
  EXPECT_TRUE(nothing_staged());
}

TEST_F(Compiler, AHandlerMayDestroyItsBuild) {
  start("echo x > \"$2\"");
  compiler made(plugins, *store, digests,
                [](const model_variant& variant) { return variant.source; });
  std::unique_ptr<running_compile> running;
  std::promise<bool> good;
  running = made.build(order, nullptr, [&](const result<artifact_record>& record) {
    const bool ok = record.ok();
    running.reset();
    good.set_value(ok);
  });
  io.run();
  auto told = good.get_future();
  ASSERT_EQ(told.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(told.get());
}

} // namespace
} // namespace consort::node
