// SPDX-License-Identifier: Apache-2.0
// Goal: a server that is wrapped is known by its gauges, whatever else its metrics say, and nothing
// is taken for what it is not.
#include "cli/known_server.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace consort::cli {
namespace {

namespace fs = std::filesystem;

const fs::path shipped = fs::path(CONSORT_SOURCE_DIR) / "node/plugins";

std::string known(std::string_view gauges, std::string_view protocol = "openai",
                  const fs::path& folder = shipped) {
  const auto found = know_by_gauges(gauges, protocol, folder);
  return found ? found->plugin : "";
}

TEST(KnownServer, IsToldByItsGauges) {
  EXPECT_EQ(known("# TYPE vllm:num_requests_running gauge\n"
                  "vllm:num_requests_running{engine=\"0\"} 0.0\n"
                  "vllm:num_requests_waiting{engine=\"0\"} 0.0\n"),
            "vllm-server");
  EXPECT_EQ(known("sglang:num_running_reqs 0.0\nsglang:token_usage 0.0\n"), "sglang");
  EXPECT_EQ(known("llamacpp:requests_processing 0"), "llama-server");
  EXPECT_EQ(known("tgi_batch_current_size 3\n", "tgi"), "tgi");
}

TEST(KnownServer, LendsWhatItsPluginKnows) {
  const auto vllm = know_by_gauges("vllm:num_requests_running 1\n", "openai", shipped);
  ASSERT_TRUE(vllm);
  EXPECT_EQ(vllm->metrics["waiting"], "vllm:num_requests_waiting");
  EXPECT_EQ(vllm->can["resume"], "text");
  EXPECT_EQ(vllm->max_sequences, 256);
  const auto started = know_by_gauges("llamacpp:requests_processing 0\n", "openai", shipped);
  ASSERT_TRUE(started);
  EXPECT_EQ(started->max_sequences, std::nullopt) << "its plugin tells it how many";
}

TEST(KnownServer, IsNobodyWithoutThem) {
  EXPECT_EQ(known(""), "");
  EXPECT_EQ(known("# HELP vllm:num_requests_running Number of requests\n"), "") << "a comment";
  EXPECT_EQ(known("vllm:num_requests_running_total 1\n"), "") << "another name";
  EXPECT_EQ(known("vllm:num_requests_waiting 1\n"), "") << "not what runs";
  EXPECT_EQ(known("tgi_batch_current_size 3\n"), "") << "another protocol";
  EXPECT_EQ(known("vllm:num_requests_running 1\n", "openai", "/nonexistent"), "");
}

TEST(KnownServer, PassesOverWhatCannotBeRead) {
  const auto folder = fs::path(::testing::TempDir()) / "known-server";
  const auto plugin = [&folder](const std::string& name, const std::string& text) {
    fs::create_directories(folder / name);
    std::ofstream(folder / name / "plugin.json") << text;
  };
  plugin("broken", "{");
  plugin("list", "[]");
  plugin("odd", R"({"name": "odd", "runtime": {"protocol": 3, "metrics": {"path": []}}})");
  plugin("odder", R"({"name": "odder", "runtime": {"protocol": "openai",
                      "metrics": {"running": [{"at": 4}, null]}}})");
  plugin("whole", R"({"name": "whole", // Comments are.
                      "runtime": {"protocol": "openai", "metrics": {"running": "load"}}})");
  fs::create_directories(folder / "pipe/plugin.json");
  EXPECT_EQ(known("load 1\n", "openai", folder), "whole");
  fs::remove_all(folder);
}

} // namespace
} // namespace consort::cli
