// SPDX-License-Identifier: Apache-2.0
#include "cli/submission.hpp"

#include "cli/limits.hpp"
#include "tests/unit/cli/command_run.hpp"
#include "tests/unit/cli/test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace consort::cli {
namespace {

using testing::HasSubstr;

canned_answer stream_of(std::string body) {
  canned_answer made;
  made.type = "text/event-stream";
  made.headers = {{"X-Request-Id", "r1"}, {"X-Consort-Device", "n/cpu0"}};
  made.body = std::move(body);
  return made;
}

const auto hello = stream_of("data: {\"choices\":[{\"text\":\"Hel\"}]}\n\n"
                             "data: {\"choices\":[{\"text\":\"lo\"}]}\n\ndata: [DONE]\n\n");
const auto hello_chat = stream_of("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
                                  "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"
                                  "data: [DONE]\n\n");

command_run submit(const test_server& server, std::vector<std::string> arguments,
                   const std::string& input = {}) {
  arguments.insert(arguments.begin(), {"--server", server.url(), "submit"});
  return run_command(arguments, input);
}

TEST(Submit, StreamsTextAndEndsTheLine) {
  const test_server server({{"POST /v1/completions", hello}});
  const auto done = submit(server, {"m", "Once", "--max-tokens", "9", "--temperature", "0.5",
                                    "--device", "cpu", "--priority", "batch", "--wait", "0s"});
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  EXPECT_EQ(done.out, "Hello\n");
  const auto seen = server.seen().at(0);
  const auto body = json::parse(seen.body);
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["prompt"], "Once");
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["stream"], true);
  EXPECT_EQ(seen.headers.at("x-consort-device"), "cpu");
  EXPECT_EQ(seen.headers.at("x-consort-priority"), "batch");
  EXPECT_EQ(seen.headers.at("x-consort-wait"), "0s");
  EXPECT_EQ(seen.headers.count("x-consort-policy"), 0U);
}

TEST(Submit, ReadsThePromptFromStdin) {
  const test_server server({{"POST /v1/completions", hello}});
  EXPECT_EQ(submit(server, {"m", "-"}, "from stdin\n").code, exit_code::done);
  EXPECT_EQ(submit(server, {"m"}, "again").code, exit_code::done);
  EXPECT_EQ(json::parse(server.seen().at(0).body)["prompt"], "from stdin");
  EXPECT_EQ(json::parse(server.seen().at(1).body)["prompt"], "again");
}

TEST(Submit, RefusesAnEmptyOrHugePrompt) {
  const test_server server({});
  EXPECT_EQ(submit(server, {"m"}, "").code, exit_code::usage);
  EXPECT_EQ(submit(server, {"m"}, std::string(limits::prompt_bytes_max + 1, 'x')).code,
            exit_code::usage);
  EXPECT_TRUE(server.seen().empty());
}

TEST(Submit, ChatUsesMessages) {
  const test_server server({{"POST /v1/chat/completions", hello_chat}});
  const auto done = submit(server, {"m", "Hello", "--chat"});
  EXPECT_EQ(done.out, "Hi\n") << done.err;
  EXPECT_EQ(json::parse(server.seen().at(0).body)["messages"][0]["content"], "Hello");
}

TEST(Submit, WideTellsWhereItRan) {
  const test_server server({{"POST /v1/completions", hello}});
  const auto done = submit(server, {"m", "x", "-o", "wide"});
  EXPECT_THAT(done.err, HasSubstr("request r1 on n/cpu0"));
  EXPECT_EQ(done.out, "Hello\n");
}

TEST(Submit, JsonIsTheWholeAnswer) {
  canned_answer whole;
  whole.body = R"({"id":"r1","choices":[{"text":"Hello"}]})";
  const test_server server({{"POST /v1/completions", whole}});
  const auto done = submit(server, {"m", "x", "-o", "json"});
  EXPECT_EQ(json::parse(done.out)["id"], "r1");
  EXPECT_EQ(json::parse(server.seen().at(0).body)["stream"], false);
}

TEST(Submit, ARefusalIsExitCodeFourWithTheServersWords) {
  const test_server server({});
  const auto done = submit(server, {"m", "x"});
  EXPECT_EQ(done.code, exit_code::refused);
  EXPECT_EQ(done.err, "consort: no such thing (HTTP 404)\n");
}

TEST(Submit, AnErrorEventOrAnEarlyEndFails) {
  const test_server failing(
      {{"POST /v1/completions",
        stream_of("data: {\"choices\":[{\"text\":\"a\"}]}\n\nevent: error\n"
                  "data: {\"error\":{\"message\":\"the device failed\"}}\n\n")}});
  const auto failed = submit(failing, {"m", "x"});
  EXPECT_EQ(failed.code, exit_code::failed);
  EXPECT_EQ(failed.out, "a\n");
  EXPECT_THAT(failed.err, HasSubstr("the device failed"));
  const test_server ending(
      {{"POST /v1/completions", stream_of("data: {\"choices\":[{\"text\":\"a\"}]}\n\n")}});
  const auto ended = submit(ending, {"m", "x"});
  EXPECT_EQ(ended.code, exit_code::failed);
  EXPECT_THAT(ended.err, HasSubstr("ended early"));
}

/// A cluster that is one test server.
class fake_cluster : public running_cluster {
public:
  fake_cluster(std::string url, int& stops) : url_(std::move(url)), stops_(stops) {}
  std::string url() const override { return url_; }
  void stop() override { ++stops_; }

private:
  std::string url_;
  int& stops_;
};

class RunTest : public testing::Test {
protected:
  RunTest() {
    char pattern[] = "/tmp/consort-run-XXXXXX";
    folder_ = mkdtemp(pattern);
    const auto port = dead_url().substr(sizeof("http://127.0.0.1:") - 1);
    std::ofstream(folder_ + "/c.json")
        << R"({"data": "state", "http": {"listen": ":)" << port << "\"}}";
  }
  ~RunTest() override { std::filesystem::remove_all(folder_); }

  /// A starter that counts, and gives `url`; an empty one fails.
  cluster_starter starter(std::string url) {
    return [this, url](const cluster_config& config) -> result<std::unique_ptr<running_cluster>> {
      ++starts_;
      EXPECT_EQ(config.http_port, 0);
      if (url.empty())
        return error{recovery::refuse, "failed", "no device found"};
      return std::unique_ptr<running_cluster>(std::make_unique<fake_cluster>(url, stops_));
    };
  }
  command_run run_without_server(const std::string& url) {
    return run_command({"--config", folder_ + "/c.json", "run", "m", "x"}, "", starter(url));
  }

  std::string folder_;
  int starts_ = 0;
  int stops_ = 0;
};

TEST_F(RunTest, StartsItsOwnClusterWhenNoServerIsUpAndStopsIt) {
  const test_server embedded({{"POST /v1/completions", hello}});
  const auto done = run_without_server(embedded.url());
  EXPECT_EQ(done.code, exit_code::done) << done.err;
  EXPECT_EQ(done.out, "Hello\n");
  EXPECT_EQ(starts_, 1);
  EXPECT_EQ(stops_, 1);
}

TEST_F(RunTest, StopsItsOwnClusterAfterARefusalToo) {
  const test_server embedded({});
  EXPECT_EQ(run_without_server(embedded.url()).code, exit_code::refused);
  EXPECT_EQ(stops_, 1);
}

TEST_F(RunTest, SaysWhyItsOwnClusterCannotStart) {
  const auto done = run_without_server("");
  EXPECT_EQ(done.code, exit_code::failed);
  EXPECT_EQ(done.err, "consort: no device found\n");
}

TEST_F(RunTest, AsksTheServerThatIsUp) {
  const test_server up({{"GET /healthz", {}}, {"POST /v1/completions", hello}});
  const auto done = run_command({"--server", up.url(), "run", "m", "x"}, "", starter(""));
  EXPECT_EQ(done.out, "Hello\n") << done.err;
  EXPECT_EQ(starts_, 0);
}

TEST_F(RunTest, NeverReplacesAServerThatWasNamed) {
  const auto done = run_command({"--server", dead_url(), "run", "m", "x"}, "", starter("x"));
  EXPECT_EQ(done.code, exit_code::unreachable);
  EXPECT_EQ(starts_, 0);
}

} // namespace
} // namespace consort::cli
