// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One request from the command line: its flags, its OpenAI body, and its answer streamed to the
/// terminal. Shared by `submit` and `run`.

#include "cli/api.hpp"

#include <memory>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace consort::cli {

struct submission {
  std::string model;
  std::string prompt; ///< `-` or empty = read stdin.
  bool chat = false;
  std::optional<std::uint32_t> max_tokens;
  std::optional<double> temperature;
  std::optional<std::int64_t> random_seed;
  std::string device;
  std::string policy;
  std::string priority;
  std::string wait; ///< A duration; empty = the cluster's queue timeout.
};

/// Declares the flags of a submission on a subcommand.
[[nodiscard]] std::shared_ptr<submission> add_submission_flags(CLI::App& command);

/// Fills `prompt` from `env.in` when it is to be read there. Limit: limits::prompt_bytes_max.
[[nodiscard]] result<done> read_prompt(context& env, submission& wanted);

/// The HTTP request it becomes.
[[nodiscard]] http_request to_http(const submission& wanted, bool stream);

/// Sends it to `url`, prints the answer as it comes (`-o json`: the whole answer as JSON; `-o
/// wide`: a closing line on stderr with device, attempts and times).
exit_code run_submission(context& env, const std::string& url, const submission& wanted);

} // namespace consort::cli
