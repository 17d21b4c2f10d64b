// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A data port on loopback over a scripted service and a real store.

#include "messages/codec.hpp"
#include "node/data_port.hpp"
#include "tests/support/io_threads.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/scripted_attempts.hpp"
#include "tests/unit/links/test_cluster.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <nlohmann/json.hpp>

namespace consort::node::test {

using testing::raw_head;
using testing::raw_http;

inline constexpr duration_us ms = 1'000;
/// Of what is noticed without a timer, on a machine that has much else to do; timers take longer.
inline constexpr std::chrono::seconds at_once{5};

/// Frames of an attempt's answer, decoded; an undecodable rest becomes a failure of the test.
inline std::vector<attempt_event> events_of(const std::string& bytes) {
  std::vector<attempt_event> out;
  messages::frame_reader reader;
  reader.feed(bytes);
  for (auto frame = reader.next(); frame.ok() && *frame; frame = reader.next()) {
    auto event = messages::decode_attempt_event((*frame)->payload);
    EXPECT_TRUE(event.ok());
    if (event)
      out.push_back(*std::move(event));
  }
  EXPECT_EQ(reader.buffered(), 0U);
  return out;
}

inline std::string open_frame(std::uint64_t sequence = 1, const std::string& json = "{}") {
  const auto payload = messages::encode(
      messages::attempt_open{testing::make_ticket("127.0.0.1:1", sequence), {{}, json, {}}});
  const auto frame = messages::write_frame(messages::frame_kind::attempt_open, *payload);
  return {frame->begin(), frame->end()};
}
inline std::string post(const std::string& body, const std::string& further = "",
                        const std::string& path = "/v1/attempts") {
  return "POST " + path + " HTTP/1.1\r\nHost: n\r\nContent-Length: " + std::to_string(body.size())
         + "\r\n" + further + "\r\n" + body;
}
inline std::string get(const digest& content, const std::string& further = "",
                       const std::string& method = "GET") {
  return method + " /v1/artifacts/" + content.value + " HTTP/1.1\r\nHost: n\r\n" + further + "\r\n";
}
inline std::string code_of(const std::string& body) {
  const auto document = nlohmann::json::parse(body, nullptr, false);
  return document.is_object() && document.contains("error") ? document["error"].value("code", "")
                                                            : "no error in: " + body;
}

class data_port_fixture : public ::testing::Test {
protected:
  void SetUp() override {
    auto opened = artifact_store::open(folder_.path(), node_id("n1"));
    ASSERT_TRUE(opened.ok()) << opened.failure().message;
    store_ = *std::move(opened);
  }
  void TearDown() override {
    port_.reset();
    threads_.stop();
  }
  void start(limits::data_port_limits limits = {},
             std::shared_ptr<const links::credentials> credentials = nullptr) {
    auto started = data_port::start(
        threads_.io(), {"127.0.0.1", 0, "", std::move(credentials), limits}, attempts_, *store_);
    ASSERT_TRUE(started.ok()) << started.failure().message;
    port_ = *std::move(started);
  }
  artifact_record put(const std::string& content) {
    auto staging = store_->stage(content.size());
    std::ofstream(staging->output_path(), std::ios::binary) << content;
    artifact_key key;
    key.binds = std::string(64, 'b');
    key.profile.name = "p";
    auto record = store_->put(*std::move(staging), key, {{"kl_mean", "0.01"}}, 5'000);
    EXPECT_TRUE(record.ok()) << record.failure().message;
    return *record;
  }
  [[nodiscard]] raw_http client() const { return raw_http(port_->port()); }
  /// Waits for a counter, which follows what a client sees by a moment.
  template <class Condition>
  static bool eventually(const Condition& condition) {
    const auto until = std::chrono::steady_clock::now() + testing::attempts_patience;
    while (!condition())
      if (std::chrono::steady_clock::now() > until)
        return false;
      else
        std::this_thread::yield();
    return true;
  }
  [[nodiscard]] std::uint64_t refused(const std::string& code) const {
    const auto all = port_->counters().refused;
    const auto found = all.find(code);
    return found == all.end() ? 0 : found->second;
  }

  temp_folder folder_;
  testing::scripted_attempts attempts_;
  std::unique_ptr<artifact_store> store_;
  testing::io_threads threads_;
  std::unique_ptr<data_port> port_;
};

} // namespace consort::node::test
