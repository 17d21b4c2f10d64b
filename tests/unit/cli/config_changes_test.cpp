// SPDX-License-Identifier: Apache-2.0
#include "cli/config_changes.hpp"

#include <gtest/gtest.h>

namespace consort::cli {

namespace {

using key_list = std::vector<std::string>;

cluster_config settings_in(const std::string& text) {
  const auto lookup = [](const std::string&) { return std::optional<std::string>(); };
  auto made = parse_config(text, "c.json", "/", lookup);
  EXPECT_TRUE(made) << made.failure().message;
  return made ? *made : cluster_config{};
}

key_list changed_by(const std::string& text) {
  return keys_that_need_a_restart(settings_in("{}"), settings_in(text));
}

TEST(ConfigChanges, NameTheKeysThatARunningProcessDoesNotTakeUp) {
  EXPECT_EQ(changed_by("{}"), key_list{});
  EXPECT_EQ(changed_by(R"({"models":{"m":{"source":"/m.gguf"}}})"), key_list{})
      << "which it takes up";
  EXPECT_EQ(changed_by(R"({"scheduler":{"policy":"energy"}})"), key_list{"scheduler.policy"});
  EXPECT_EQ(changed_by(R"({"cluster":"lab","scheduler":{"lease":"5s","queue_max":9,
      "remote":{"use":"overflow"}},"http":{"listen":"127.0.0.1:1"},"pools":{"p":"cpu"}})"),
            (key_list{"cluster", "scheduler.queue_max", "scheduler.lease", "scheduler.remote.use",
                      "pools", "http.listen"}));
  EXPECT_EQ(changed_by(R"({"link":{"token":"t"},"plugins":["/p"],"data":"/d"})"),
            (key_list{"link.token", "data", "plugins"}));
}

TEST(ConfigChanges, AreToldWithWhatTookEffect) {
  EXPECT_EQ(reread_words({}), "read the configuration again: models take effect now");
  EXPECT_EQ(reread_words({"scheduler.policy", "pools"}),
            "read the configuration again: models take effect now; what changed of "
            "scheduler.policy, pools does with the next start only");
}

} // namespace

} // namespace consort::cli
