// SPDX-License-Identifier: Apache-2.0
// The reference accelerator as its users see it: its programs as children, its runtime through the
// C ABI, from the plugin folder that the build lays out.
#include "tests/unit/engine/runtime_client.hpp"

#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/engine_file.hpp"
#include "node/plugins/reference/limits.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

namespace consort::llama_test {
namespace {

using json = nlohmann::json;
namespace fs = std::filesystem;

std::string plugin_folder() {
  return std::string(CONSORT_BINARY_DIR) + "/share/consort/plugins/reference";
}

struct run_result {
  int code = -1; ///< Exit code; 128 + signal when one ended it.
  std::string output;
};

/// Runs a program of the plugin folder by the shell, both streams joined.
run_result run(const std::string& command) {
  FILE* pipe = popen((plugin_folder() + "/" + command + " 2>&1").c_str(), "r");
  run_result result;
  std::array<char, 4096> block{};
  while (const std::size_t bytes = fread(block.data(), 1, block.size(), pipe))
    result.output.append(block.data(), bytes);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

class Reference : public testing::Test {
protected:
  Reference()
      : folder(testing::TempDir() + "consort_refnpu." + std::to_string(getpid())),
        engine(folder + "/story.rnpu") {
    fs::create_directories(folder);
    setenv("REFNPU_STATE", (folder + "/state").c_str(), 1);
  }
  ~Reference() override {
    unsetenv("REFNPU_STACK");
    unsetenv("REFNPU_FAULT");
    unsetenv("REFNPU_CC_FAULT");
    fs::remove_all(folder);
  }
  run_result compile(const std::string& options = "", const std::string& model = model_path()) {
    return run("refnpu-cc --model " + model + " --output " + engine + " " + options);
  }
  /// A fresh copy of the test's one engine.
  void build() {
    const std::string once = folder + "/once.rnpu";
    if (!fs::exists(once)) {
      const run_result built = compile();
      ASSERT_EQ(built.code, 0) << built.output;
      fs::copy_file(engine, once);
    }
    fs::copy_file(once, engine, fs::copy_options::overwrite_existing);
  }
  /// An engine with another header and valid checksums.
  void rebuild(const std::function<void(reference::engine_header&)>& change) {
    build();
    auto header = reference::read_engine_header(engine);
    ASSERT_TRUE(header.ok());
    std::ifstream file(engine, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(header->payload_offset));
    const std::string payload = folder + "/payload.gguf";
    std::ofstream(payload, std::ios::binary) << file.rdbuf();
    change(*header);
    ASSERT_TRUE(reference::write_engine(engine, *header, payload).ok());
  }
  void flip_byte(std::streamoff at) {
    std::fstream file(engine, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(at);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(at);
    file.put(byte);
  }
  void refused(runtime_client& client, const std::string& names) {
    EXPECT_EQ(client.open({{"model", engine}}), CONSORT_BAD_MODEL);
    EXPECT_NE(client.message().find(names), std::string::npos) << client.message();
  }
  static std::string library() { return plugin_folder() + "/librefnpu.so"; }

  std::string folder;
  std::string engine;
};

const json greedy_request
    = {{"prompt", "Once upon a time there was a king who"}, {"temperature", 0}, {"max_tokens", 24}};

TEST_F(Reference, TheBuildLaysOutAWholePluginFolder) {
  for (const char* name :
       {"plugin.json", "calibration.txt", "README.md", "refnpu-smi", "refnpu-cc", "librefnpu.so"})
    EXPECT_TRUE(fs::exists(plugin_folder() + "/" + name)) << name;
}

TEST_F(Reference, CompiledEngineGeneratesText) {
  const run_result built = compile();
  ASSERT_EQ(built.code, 0) << built.output;
  EXPECT_NE(built.output.find("progress: 100%"), std::string::npos);
  const json quality = json::parse(std::ifstream(engine + ".quality.json"));
  EXPECT_GT(quality["kl_mean"].get<double>(), 0);
  EXPECT_GT(quality["top1"].get<double>(), 0.95);
  const auto header = reference::read_engine_header(engine);
  ASSERT_TRUE(header.ok());
  EXPECT_NEAR(header->quality.kl_mean, quality["kl_mean"].get<double>(), 1e-6);
  EXPECT_EQ(header->source_sha256, reference::sha256_of(model_path()).value());
  EXPECT_LT(fs::file_size(engine), fs::file_size(model_path()));
  runtime_client client(library());
  ASSERT_EQ(client.open({{"model", engine}}), CONSORT_OK) << client.message();
  const answer got = client.complete(greedy_request);
  EXPECT_EQ(got.completion_tokens, 24U);
  EXPECT_EQ(got.text.at(0).rfind(" had a daughter", 0), 0U) << got.text.at(0);
}

TEST_F(Reference, TheSameInputGivesTheSameEngine) {
  ASSERT_EQ(compile().code, 0);
  const std::string first = reference::sha256_of(engine).value();
  ASSERT_EQ(compile().code, 0);
  EXPECT_EQ(reference::sha256_of(engine).value(), first);
}

TEST_F(Reference, EnginesBelowTheQualityBoundAreRefused) {
  for (const char* option : {"--kl-max 0.000001", "--top1-min 1"}) {
    const run_result bad = compile(option);
    EXPECT_EQ(bad.code, 4) << bad.output;
    EXPECT_NE(bad.output.find("quality bound"), std::string::npos) << bad.output;
    EXPECT_FALSE(fs::exists(engine));
  }
}

TEST_F(Reference, EveryExitCodeHasItsCause) {
  EXPECT_EQ(run("refnpu-cc").code, 2);
  EXPECT_EQ(run("refnpu-cc --model x").code, 2);
  EXPECT_EQ(compile("--threads many").code, 2);
  EXPECT_EQ(compile("--frobnicate 1").code, 2);
  EXPECT_EQ(compile("--target refnpu-9").code, 3);
  const std::string damaged = folder + "/damaged.gguf";
  fs::copy_file(model_path(), damaged);
  fs::resize_file(damaged, fs::file_size(damaged) / 2);
  EXPECT_EQ(compile("", damaged).code, 3);
  EXPECT_EQ(compile("", folder + "/none.gguf").code, 5);
  EXPECT_EQ(compile("--work " + folder + "/none").code, 5);
  EXPECT_EQ(compile("--calibration " + folder + "/none.txt").code, 5);
  std::ofstream(folder + "/short.txt") << "Too short.";
  EXPECT_EQ(compile("--calibration " + folder + "/short.txt").code, 3);
  EXPECT_FALSE(fs::exists(engine));
  EXPECT_EQ(run("refnpu-cc --version").code, 0);
}

TEST_F(Reference, TheCompilerMisbehavesOnRequest) {
  setenv("REFNPU_CC_FAULT", "fail", 1);
  EXPECT_EQ(compile().code, 3);
  setenv("REFNPU_CC_FAULT", "disk", 1);
  EXPECT_EQ(compile().code, 5);
  setenv("REFNPU_CC_FAULT", "crash", 1);
  EXPECT_NE(compile().code, 0);
  setenv("REFNPU_CC_FAULT", "garbage", 1);
  EXPECT_EQ(compile().code, 0);
  runtime_client client(library());
  refused(client, "RNPU");
  EXPECT_EQ(run("refnpu-cc --version").code, 0);
}

/// What `runs_older: major` of its plugin.json promises.
TEST_F(Reference, EnginesOfOlderCompilersOfItsMajorVersionRun) {
  build(); // By 1.0.0.
  setenv("REFNPU_STACK", "1.2.0", 1);
  EXPECT_NE(run("refnpu-cc --version").output.find("refnpu-cc 1.2.0 "), std::string::npos);
  {
    runtime_client client(library());
    EXPECT_EQ(client.open({{"model", engine}}), CONSORT_OK) << client.message();
  }
  setenv("REFNPU_STACK", "2.0.0", 1);
  {
    runtime_client client(library());
    refused(client, "this runtime of 2.0.0");
  }
  unsetenv("REFNPU_STACK");
}

TEST_F(Reference, ForeignAndDamagedEnginesAreRefused) {
  runtime_client client(library());
  fs::copy_file(model_path(), engine);
  refused(client, "RNPU");
  fs::remove(engine);
  rebuild([](auto& header) { header.target = "refnpu-2"; });
  refused(client, "'refnpu-2'");
  rebuild([](auto& header) { header.compiler_version = "1.1.0"; });
  refused(client, "1.1.0");
  rebuild([](auto& header) { header.compiler_version = "1.0.9"; });
  EXPECT_EQ(client.open({{"model", engine}}), CONSORT_OK) << client.message();
  rebuild([](auto& header) { header.compiler_version = "0.9.0"; });
  refused(client, "0.9.0");
  rebuild([](auto& header) { header.compiler_version = "garbage"; });
  refused(client, "garbage");
  build();
  flip_byte(4);
  refused(client, "format version");
  build();
  flip_byte(40);
  refused(client, "checksum");
  build();
  flip_byte(40'000);
  refused(client, "checksum");
  build();
  fs::resize_file(engine, fs::file_size(engine) - 1);
  refused(client, "payload is not");
}

TEST_F(Reference, DevicesKeepTheirIdentity) {
  const json listed = json::parse(run("refnpu-smi -j").output)["devices"];
  ASSERT_EQ(listed.size(), reference::limits::devices_default);
  EXPECT_EQ(listed, json::parse(run("refnpu-smi -j").output)["devices"]);
  EXPECT_NE(listed[0]["uuid"], listed[1]["uuid"]);
  EXPECT_TRUE(listed[0]["simulated"].get<bool>());
  EXPECT_TRUE(listed[0]["temperature"].is_null());
  EXPECT_EQ(listed[0]["memory"]["used"], 0);
  EXPECT_EQ(run("refnpu-smi --frobnicate").code, 2);
  setenv("REFNPU_DEVICES", "1000", 1);
  EXPECT_EQ(json::parse(run("refnpu-smi -j").output)["devices"].size(),
            reference::limits::devices_max);
  unsetenv("REFNPU_DEVICES");
}

TEST_F(Reference, LoadedEnginesShowInTheTelemetryOfTheirDevice) {
  build();
  runtime_client client(library());
  EXPECT_EQ(client.open({{"model", engine}, {"device", "9"}}), CONSORT_FAILED);
  ASSERT_EQ(client.open({{"model", engine}, {"device", reference::device_uuid(1)}}), CONSORT_OK);
  (void)client.complete(greedy_request);
  // The first reading is written when the session opens, by a thread of its own.
  std::uint64_t used = 0;
  for (int i = 0; i < 200 && used == 0; ++i)
    used = json::parse(run("refnpu-smi -j").output)["devices"][1]["memory"]["used"];
  EXPECT_GT(used, fs::file_size(engine) / 2);
  EXPECT_EQ(json::parse(run("refnpu-smi -j").output)["devices"][0]["memory"]["used"], 0);
  client.close();
  EXPECT_EQ(json::parse(run("refnpu-smi -j").output)["devices"][1]["memory"]["used"], 0);
}

TEST_F(Reference, OldAndForeignReadingsSayNothing) {
  reference::write_reading({0, getpid(), 5, 0.5, reference::unix_ms() - 60'000}, 1);
  reference::write_reading({0, 999'999'999, 5, 0.5, reference::unix_ms()}, 2);
  std::ofstream(reference::state_folder() + "/npu0.junk.json") << "{\"device\": \"zero\"}";
  EXPECT_TRUE(reference::read_readings(reference::unix_ms()).empty());
  reference::write_reading({0, getpid(), 5, 0.5, reference::unix_ms()}, 3);
  EXPECT_EQ(reference::read_readings(reference::unix_ms()).size(), 1U);
}

TEST_F(Reference, TheRuntimeCrashesOnRequest) {
  build();
  setenv("REFNPU_FAULT", "crash:3", 1);
  EXPECT_DEATH(
      {
        runtime_client client(library());
        if (client.open({{"model", engine}}) == CONSORT_OK)
          (void)client.complete(greedy_request);
      },
      "");
}

} // namespace
} // namespace consort::llama_test
