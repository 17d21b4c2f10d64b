// SPDX-License-Identifier: Apache-2.0
#include "cli/submission.hpp"

#include "cli/config.hpp"
#include "cli/limits.hpp"
#include "cli/table.hpp"
#include "gateway/limits.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <chrono>
#include <istream>
#include <ostream>

namespace consort::cli {

namespace {

using clock = std::chrono::steady_clock;

duration_us since(clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - start).count();
}

std::string check_duration(const std::string& given) {
  return parse_duration(given) ? "" : "`" + given + "` is not a duration such as 0s, 250ms or 2m";
}

/// Text of one stream chunk, of either route.
std::string text_of(const json& chunk) {
  const auto plain = text_at(chunk, "/choices/0/text");
  return plain.empty() ? text_at(chunk, "/choices/0/delta/content") : plain;
}

/// Prints a stream; remembers what the closing lines need.
class stream_printer {
public:
  explicit stream_printer(context& env) : env_(env) {}

  bool on_event(const links::sse_event& event) {
    if (event.data == "[DONE]")
      return finished_ = true, false;
    const auto chunk = json::parse(event.data, nullptr, false);
    // After the first byte the status is already 200, so an error can only come as an event.
    if (event.name == "error" || (chunk.is_object() && chunk.contains("error"))) {
      failure_ = refusal(200, event.data);
      failure_->message = text_at(chunk, "/error/message");
      failure_->code = "failed";
      return false;
    }
    const auto text = text_of(chunk);
    if (text.empty())
      return true;
    if (!first_token_us_)
      first_token_us_ = since(start_);
    ++chunks_;
    last_letter_ = text.back();
    env_.out << text << std::flush;
    return env_.out.good();
  }

  exit_code end(const http_answer& answer) {
    // The shell's prompt belongs on a line of its own.
    if (last_letter_ != '\n')
      env_.out << '\n' << std::flush;
    if (failure_)
      return complain(env_, *failure_);
    if (!finished_)
      return complain(env_, {recovery::retry_later, "failed",
                             "the stream ended early: see the server's log, then try again"});
    if (env_.wide())
      env_.err << summary(answer) << '\n';
    return exit_code::done;
  }

private:
  std::string summary(const http_answer& answer) const {
    const auto header = [&](const char* name) {
      const auto found = answer.headers.find(name);
      return found == answer.headers.end() ? std::string("-") : printable(found->second);
    };
    return "request " + header("x-request-id") + " on " + header("x-consort-device") + ", attempts "
           + header("x-consort-attempts") + ", queued " + header("x-consort-queue-ms")
           + " ms, first token "
           + (first_token_us_ ? format_duration(*first_token_us_) : std::string("-")) + ", total "
           + format_duration(since(start_)) + ", " + std::to_string(chunks_) + " chunks";
  }

  context& env_;
  clock::time_point start_ = clock::now();
  std::optional<duration_us> first_token_us_;
  std::optional<error> failure_;
  std::size_t chunks_ = 0;
  char last_letter_ = '\n';
  bool finished_ = false;
};

exit_code print_whole(context& env, const result<http_answer>& answer) {
  if (!answer)
    return complain(env, answer.failure());
  if (answer->status != 200)
    return complain(env, refusal(answer->status, answer->body));
  const auto parsed = json::parse(answer->body, nullptr, false);
  env.out << (parsed.is_discarded() ? answer->body : parsed.dump(2)) << '\n';
  return exit_code::done;
}

} // namespace

std::shared_ptr<submission> add_submission_flags(CLI::App& command) {
  auto made = std::make_shared<submission>();
  auto& wanted = *made;
  command.add_option("MODEL", wanted.model, "Model name or alias")->required();
  command.add_option("PROMPT", wanted.prompt, "The prompt; `-` or none reads stdin");
  command.add_flag("--chat", wanted.chat, "Send as a chat message instead of a bare prompt");
  command.add_option("--max-tokens", wanted.max_tokens, "Most tokens to generate")
      ->check(CLI::Range(1U, gateway::limits::max_tokens_max));
  command.add_option("--temperature", wanted.temperature, "0 is greedy")->check(CLI::Range(0., 2.));
  command.add_option("--seed", wanted.random_seed, "Of the sampler");
  command.add_option("--device", wanted.device, "Selector: a type, an id or glob, tag=..., auto");
  command.add_option("--policy", wanted.policy, "Profile for this request, e.g. hybrid");
  command.add_option("--priority", wanted.priority, "interactive, standard or batch")
      ->check(CLI::IsMember({"interactive", "standard", "batch"}));
  command.add_option("--wait", wanted.wait, "Longest wait for a load, compile or queue, e.g. 0s")
      ->check(CLI::Validator(check_duration, "DURATION"));
  return made;
}

result<done> read_prompt(context& env, submission& wanted) {
  if (!wanted.prompt.empty() && wanted.prompt != "-")
    return done{};
  wanted.prompt.clear();
  char piece[4096];
  while (env.in.read(piece, sizeof piece), env.in.gcount() > 0) {
    wanted.prompt.append(piece, static_cast<std::size_t>(env.in.gcount()));
    if (wanted.prompt.size() > limits::prompt_bytes_max)
      return error{recovery::refuse, "usage",
                   "the prompt is larger than " + format_size(limits::prompt_bytes_max)};
  }
  // `echo` adds a newline that nobody means as part of the prompt.
  if (!wanted.prompt.empty() && wanted.prompt.back() == '\n')
    wanted.prompt.pop_back();
  if (wanted.prompt.empty())
    return error{recovery::refuse, "usage", "the prompt is empty: give it after MODEL or on stdin"};
  return done{};
}

http_request to_http(const submission& wanted, bool stream) {
  json body{{"model", wanted.model}};
  if (wanted.chat)
    body["messages"] = json::array({{{"role", "user"}, {"content", wanted.prompt}}});
  else
    body["prompt"] = wanted.prompt;
  if (wanted.max_tokens)
    body["max_tokens"] = *wanted.max_tokens;
  if (wanted.temperature)
    body["temperature"] = *wanted.temperature;
  if (wanted.random_seed)
    body["seed"] = *wanted.random_seed;
  body["stream"] = stream;
  http_request made;
  made.method = "POST";
  made.path = wanted.chat ? "/v1/chat/completions" : "/v1/completions";
  // Bytes that are no UTF-8 become U+FFFD here; the server would refuse them.
  made.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  const auto header = [&](const char* name, const std::string& text) {
    if (!text.empty())
      made.headers[name] = text;
  };
  header("X-Consort-Device", wanted.device);
  header("X-Consort-Policy", wanted.policy);
  header("X-Consort-Priority", wanted.priority);
  header("X-Consort-Wait", wanted.wait);
  return made;
}

exit_code run_submission(context& env, const std::string& url, const submission& wanted) {
  http_client client(url, env.options.api_key);
  const auto request = to_http(wanted, !env.json());
  if (env.json())
    return print_whole(env, client.call(request, limits::stream_gap_timeout));
  stream_printer printer(env);
  const auto answer = client.stream(
      request, [&](const links::sse_event& event) { return printer.on_event(event); },
      limits::stream_gap_timeout);
  if (!answer)
    return complain(env, answer.failure());
  if (answer->status != 200)
    return complain(env, refusal(answer->status, answer->body));
  return printer.end(*answer);
}

} // namespace consort::cli
