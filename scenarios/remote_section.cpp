// SPDX-License-Identifier: Apache-2.0
#include "scenarios/remote_section.hpp"

#include "scheduler/nearest_name.hpp"

#include <algorithm>

namespace consort::strict_json {

namespace {

/// In the order of core::remote_use.
const std::vector<std::string> use_words{"free", "overflow", "never"};

} // namespace

const std::string& remote_word(core::remote_use use) {
  return use_words.at(static_cast<std::size_t>(use));
}

remote_settings read_remote(const value& section, std::string_view origin,
                            std::optional<error>& first_error) {
  remote_settings made;
  object_reader reader(section, origin, first_error);
  const auto word = reader.text("use", "free");
  const auto known = std::find(use_words.begin(), use_words.end(), word);
  if (known == use_words.end())
    reader.fail("use", "unknown use `" + word + "`" + did_you_mean_or_list(word, use_words));
  else
    made.use = static_cast<core::remote_use>(known - use_words.begin());
  made.budget_micros_per_hour
      = static_cast<std::uint64_t>(reader.integer("budget_milli_per_hour", 0, 0, 1'000'000'000))
        * 1'000;
  reader.finish();
  return made;
}

} // namespace consort::strict_json
