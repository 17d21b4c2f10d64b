// SPDX-License-Identifier: Apache-2.0
// The engine's pure parts: text that may be shown, sampling, chat prompts.
#include "node/plugins/llama/backend.hpp"
#include "node/plugins/llama/chat.hpp"
#include "node/plugins/llama/limits.hpp"
#include "node/plugins/llama/sampler.hpp"
#include "node/plugins/llama/text_stream.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

namespace consort::llama {
namespace {

std::string shown(const std::vector<std::string>& pieces, std::vector<std::string> stops = {}) {
  text_stream stream(std::move(stops));
  std::string text;
  for (const std::string& piece : pieces)
    text += stream.push(piece);
  return text + stream.finish();
}

TEST(TextStream, CharactersCutBetweenTokensComeOutWhole) {
  text_stream stream({});
  EXPECT_EQ(stream.push("a\xE2"), "a");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xAC!"), "\xE2\x82\xAC!");
  EXPECT_EQ(stream.push("\xF0\x9F\x98"), "");
  EXPECT_EQ(stream.push("\x80"), "\xF0\x9F\x98\x80");
}

TEST(TextStream, BytesThatFormNoCharacterAreReplaced) {
  EXPECT_EQ(shown({"a\xFF", "b"}), "a\xEF\xBF\xBD"
                                   "b");
  EXPECT_EQ(shown({"\xC0\xAF"}), "\xEF\xBF\xBD\xEF\xBF\xBD");          // Overlong.
  EXPECT_EQ(shown({"\xED\xA0\x80"}).substr(0, 3), "\xEF\xBF\xBD");     // A surrogate.
  EXPECT_EQ(shown({"\xF4\x90\x80\x80"}).substr(0, 3), "\xEF\xBF\xBD"); // Beyond U+10FFFF.
  EXPECT_EQ(shown({"end\xE2\x82"}), "end\xEF\xBF\xBD");                // Cut at the end.
}

TEST(TextStream, TheEarliestOfSeveralStopStringsWins) {
  EXPECT_EQ(shown({"one two", " three four"}, {"four", "three", "two t"}), "one ");
}

TEST(TextStream, NothingThatMayBecomeAStopStringIsShownEarly) {
  text_stream stream({"</end>"});
  EXPECT_EQ(stream.push("text <"), "text ");
  EXPECT_EQ(stream.push("/en"), "");
  EXPECT_EQ(stream.push("ough"), "</enough");
  EXPECT_EQ(stream.push("</end>more"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("more") + stream.finish(), "");
}

TEST(TextStream, TextDoesNotDependOnWhereTokensAreCut) {
  const std::string all = "aab a\xC3\xA9 ab aabX tail";
  const std::string whole = shown({all}, {"aabX"});
  for (std::size_t cut = 0; cut <= all.size(); ++cut)
    EXPECT_EQ(shown({all.substr(0, cut), all.substr(cut)}, {"aabX"}), whole) << cut;
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  const std::array<float, 4> logits{1, 3, 3, 2};
  sampling_options options;
  options.temperature = 0;
  EXPECT_EQ(sampler(options, 0, {}).pick(logits), 1);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const std::array<float, 3> logits{std::log(0.7F), std::log(0.2F), std::log(0.1F)};
  sampler each({}, 11, {});
  std::array<int, 3> counts{};
  constexpr int draws = 20'000;
  for (int i = 0; i < draws; ++i) {
    const llama_token token = each.pick(logits);
    ++counts[static_cast<std::size_t>(token)];
    each.accept(token);
  }
  EXPECT_NEAR(counts[0], draws * 0.7, draws * 0.02);
  EXPECT_NEAR(counts[1], draws * 0.2, draws * 0.02);
}

TEST(Sampler, TopPKeepsTheFewestThatReachTheShare) {
  const std::array<float, 4> logits{std::log(0.1F), std::log(0.5F), std::log(0.3F), std::log(0.1F)};
  sampling_options options;
  options.top_p = 0.75F;
  sampler each(options, 3, {});
  for (int i = 0; i < 500; ++i) {
    const llama_token token = each.pick(logits);
    EXPECT_TRUE(token == 1 || token == 2) << token;
    each.accept(token);
  }
}

TEST(Chat, KnownTemplatesAreAppliedAndUnknownOnesFallBackToPlainText) {
  const std::vector<chat_message> messages{{"developer", "Be brief."}, {"user", "Hello"}};
  const chat_prompt known = render_chat(messages, "{{ '<|im_start|>' + message }}");
  EXPECT_TRUE(known.templated);
  EXPECT_EQ(known.text,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(render_chat(messages, "{{ nothing known }}").text, "Be brief.\nHello");
  EXPECT_FALSE(render_chat(messages, nullptr).templated);
}

TEST(Backend, ThreadsLeaveOneCoreToTheRest) {
  EXPECT_EQ(usable_threads(0), 1U);
  EXPECT_LT(usable_threads(limits::threads_max), std::max(std::thread::hardware_concurrency(), 2U));
}

} // namespace
} // namespace consort::llama
