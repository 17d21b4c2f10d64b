// SPDX-License-Identifier: Apache-2.0
// What simulated devices are made of: their clock, fault menu, requests, model cards; and the
// runtime that runs them on real threads.
#include "node/simulated/limits.hpp"
#include "node/simulated/model_card.hpp"
#include "node/simulated/request.hpp"
#include "node/simulated/runtime.hpp"
#include "tests/unit/node/attempt_recorder.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <future>
#include <thread>

namespace consort::node {
namespace {

TEST(PacedQueue, RunsEachActionAtTheMomentItWasDue) {
  paced_queue queue;
  queue.run_until(5'000);
  std::vector<time_us> seen;
  queue.after(10, [&] {
    seen.push_back(queue.now());
    queue.after(10, [&] { seen.push_back(queue.now()); });
  });
  ASSERT_EQ(queue.next(), 5'010);
  queue.run_until(5'500); // Late; the second follows the first, not the clock.
  EXPECT_THAT(seen, testing::ElementsAre(10, 20));
  EXPECT_EQ(queue.now(), 500);
}

TEST(PacedQueue, LeavesOutWhatIsBeyondTheSlip) {
  paced_queue queue;
  queue.run_until(0);
  int ran = 0;
  queue.after(100, [&] { ++ran; });
  queue.after(200, [&] { ++ran; });
  queue.run_until(100 + limits::paced_slip_us + 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(queue.now(), 100);
  EXPECT_EQ(queue.next(), 200 + limits::paced_slip_us + 1);
}

TEST(Troubles, AreReadAsTheyAreWritten) {
  const std::string text = "cpu0 slow 2.5\nnpu0 crash 3\nnpu0 crashing\nnpu1 hot 2\nnpu1 full\n"
                           "remote0 answer 429 0.5\ncompilers hang\n";
  const auto read = parse_troubles("# a comment\n\n" + text);
  ASSERT_TRUE(read.ok()) << read.failure().message;
  EXPECT_EQ(read->devices.at("cpu0").factor, 2.5);
  EXPECT_TRUE(read->devices.at("npu1").hot);
  EXPECT_EQ(read->devices.at("remote0").status, 429U);
  EXPECT_EQ(read->compilers, compiler_trouble::hang);
  EXPECT_EQ(render_troubles(*read), text);
  EXPECT_EQ(render_troubles({}), "");
}

TEST(Troubles, AreRefusedWithTheirLine) {
  for (const auto* wrong :
       {"npu0", "npu0 slow", "npu0 slow 0.5", "npu0 slow 1e9", "npu0 crash x", "npu0 answer 200 1",
        "npu0 answer 429 2", "npu0 sleeps", "compilers rest", "npu0 full now"}) {
    const auto read = parse_troubles(std::string("npu1 full\n") + wrong);
    ASSERT_FALSE(read.ok()) << wrong;
    EXPECT_THAT(read.failure().message, testing::HasSubstr("line 2"));
  }
  EXPECT_FALSE(parse_troubles(std::string(limits::troubles_bytes_max + 1, '#')).ok());
  EXPECT_TRUE(read_troubles("/nowhere/troubles").ok());
}

attempt_body body_of(std::string text, request_kind kind = request_kind::completion) {
  attempt_body made;
  made.kind = kind;
  made.json = std::move(text);
  return made;
}

TEST(SimulatedRequests, CountTokensAsTheGatewayDoes) {
  const auto plain = read_simulated_request(
      body_of(R"({"prompt": "Once upon a time there was", "max_tokens": 7})"), 16);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->prompt_tokens, 26U / 4 + 1);
  EXPECT_EQ(plain->output_tokens, 7U);
  EXPECT_TRUE(plain->prefix.empty());
  EXPECT_EQ(read_simulated_request(body_of(R"({"prompt": [1, 2, 3]})"), 16)->prompt_tokens, 4U);
  EXPECT_EQ(read_simulated_request(body_of(R"({"prompt": [1, 2, 3]})"), 16)->output_tokens,
            limits::simulated_output_tokens);
  const auto chat
      = read_simulated_request(body_of(R"({"messages": [{"role": "user", "content": "hello"},
                               {"role": "user", "content": [{"text": "you"}]}]})",
                                       request_kind::chat),
                               16);
  EXPECT_EQ(chat->prompt_tokens, (4U + 5 + 2 + 4 + 3 + 2) / 4 + 8 + 1);
}

TEST(SimulatedRequests, KnowSharedBeginnings) {
  const auto asked = [](const std::string& prompt, std::uint32_t block) {
    return *read_simulated_request(body_of(R"({"prompt": ")" + prompt + R"("})"), block);
  };
  const std::string common(128, 'a');
  const auto one = asked(common + "left", 16);
  const auto other = asked(common + "right and more", 16);
  ASSERT_EQ(one.prefix.size(), 2U);
  EXPECT_EQ(one.prefix, other.prefix);
  EXPECT_EQ(one.prefix_tokens, 16U);
  EXPECT_NE(asked("b" + common, 16).prefix.back(), one.prefix.back());
  EXPECT_EQ(asked(common, 24).prefix_tokens, 24U);
  EXPECT_EQ(asked(common, 1).prefix_tokens, 16U) << "not a hash for every token";
}

TEST(SimulatedRequests, RefuseWhatCountsCannotDo) {
  EXPECT_FALSE(read_simulated_request(body_of("[]"), 16).ok());
  EXPECT_FALSE(read_simulated_request(body_of(R"({"prompt": "a", "n": 2})"), 16).ok());
  EXPECT_FALSE(read_simulated_request(body_of(R"({"prompt": ["a", "b"]})"), 16).ok());
  EXPECT_FALSE(read_simulated_request(body_of("{}", request_kind::embedding), 16).ok());
  const std::string huge(4 * std::size_t{limits::simulated_tokens_max}, 'a');
  EXPECT_FALSE(read_simulated_request(body_of(R"({"prompt": ")" + huge + R"("})"), 16).ok());
}

TEST(ModelCards, SayTheSizesOfAModelThatIsNotThere) {
  const test::temp_folder folder;
  model_variant sizes;
  sizes.shape = "storyteller";
  sizes.quantization = "bf16";
  sizes.weight_bytes = 123;
  sizes.kv_bytes_per_token = 4;
  sizes.context_tokens = 512;
  const auto path = folder.write("storyteller.sim", render_simulated_card(sizes));
  digest_cache digests;
  const auto read = describe_simulated_card(path, digests);
  ASSERT_TRUE(read.ok()) << read.failure().message;
  EXPECT_EQ(read->format, "simulated");
  EXPECT_EQ(read->shape, "storyteller");
  EXPECT_EQ(read->weight_bytes, 123U);
  EXPECT_EQ(read->context_tokens, 512U);
  EXPECT_EQ(read->content, *hash_file(path));
  for (const auto* wrong : {"{}", R"({"simulated_model": "x", "weight_bytes": 0})", "no JSON",
                            R"({"simulated_model": "x", "weight_bytes": 1, "contexts": 1})"}) {
    const auto failed = describe_simulated_card(folder.write("wrong.sim", wrong), digests);
    ASSERT_FALSE(failed.ok()) << wrong;
    EXPECT_EQ(failed.failure().code, "bad_model");
  }
  folder.write("large.sim", std::string(limits::simulated_card_bytes_max + 1, ' '));
  EXPECT_FALSE(read_simulated_card(folder / "large.sim").ok());
}

TEST(SimulatedRuntime, RunsOnRealThreadsAndIsAPlugin) {
  boost::asio::io_context io;
  auto work = boost::asio::make_work_guard(io);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] { io.run(); });
  {
    auto model = *sim::find_device_model("cpu-local");
    model.load_us = 1'000;
    const auto runs = simulated_runtime::make(
        io, {"edge", {std::make_shared<const sim::device_model>(model)}, {}, {}, 1});
    const auto plugin = make_simulated_plugin(runs);
    EXPECT_TRUE(plugin->available().ok());
    session_request order;
    order.device = plugin->probe()->front();
    order.variant.weight_bytes = 1'000;
    order.variant.kv_bytes_per_token = 10;
    std::promise<std::shared_ptr<runtime_session>> opened;
    plugin->device_runtime()->open(
        order, [&](result<std::shared_ptr<runtime_session>> got) { opened.set_value(*got); },
        [](const error&) {});
    auto session = opened.get_future().get();
    const auto sink = std::make_shared<test::attempt_recorder>();
    session->submit(test::attempt(1), body_of(R"({"prompt": "a", "max_tokens": 20})"), sink);
    EXPECT_TRUE(std::holds_alternative<attempt_completed>(sink->wait_end().back()));
    EXPECT_EQ(session->stats().tokens_generated_total, 20U);
    EXPECT_EQ(plugin->read()->size(), 1U);
    const auto cut = std::make_shared<test::attempt_recorder>();
    session->submit(test::attempt(2), body_of(R"({"prompt": "a", "max_tokens": 20000})"), cut);
    session.reset();
    EXPECT_EQ(cut->failure().failure.code, "unloaded");
  }
  work.reset();
  io.stop();
  for (auto& thread : threads)
    thread.join();
}

} // namespace
} // namespace consort::node
