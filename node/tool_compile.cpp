// SPDX-License-Identifier: Apache-2.0
#include "node/tool_compile.hpp"

#include "node/failure_rules.hpp"
#include "node/placeholders.hpp"
#include "node/small_file.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <initializer_list>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t output_kept_bytes = 16 * 1024;
constexpr std::size_t quality_text_bytes_max = 128;

// A sanitizer reserves terabytes of address space in the tools of its own build.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool address_space_limited = false;
#else
constexpr bool address_space_limited = true;
#endif

std::map<std::string, std::string> values_for(const build_rule& rule, const std::string& folder,
                                              const compile_request& wanted) {
  const auto& profile = rule.profile;
  return {{"plugin", folder},
          {"model", wanted.model_path},
          {"output", wanted.output_path},
          {"work", wanted.work_path},
          {"target", wanted.key.profile.target}, // A device may have named it.
          {"dtype", profile.dtype},
          {"flags", profile.flags},
          {"degree", std::to_string(profile.degree)},
          {"devices", joined_uuids(wanted.devices)},
          {"indexes", joined_indexes(wanted.devices)},
          {"config", wanted.work_path + "/" + rule.config_name}};
}

/// Reads at most `bytes_max`; nothing when the file is missing or larger.
std::optional<std::string> read_small(const std::string& path, std::uint64_t bytes_max) {
  auto text = read_file_head(path, bytes_max + 1);
  return text && text->size() > bytes_max ? std::nullopt : std::move(text);
}

/// The tool's last words on one line: of stderr, or of stdout when that is empty.
std::string last_words(const child_exit& end) {
  const auto& tail = end.err.tail.empty() ? end.out.tail : end.err.tail;
  const auto start = tail.size() - std::min(tail.size(), limits::compile_message_bytes_max);
  std::string words;
  for (const char c : std::string_view(tail).substr(start)) {
    if (c >= ' ' && c <= '~')
      words += c;
    else if (!words.empty() && !words.ends_with(" | "))
      words += c == '\n' || c == '\r' ? " | " : "?";
  }
  while (words.ends_with(" | "))
    words.resize(words.size() - 3);
  return words.empty() ? "it printed nothing" : words;
}

/// Whether one of these stands in its last lines.
bool tells_of(const child_exit& end, std::initializer_list<const char*> all) {
  return std::any_of(all.begin(), all.end(), [&](const char* words) {
    return end.err.tail.find(words) != std::string::npos
           || end.out.tail.find(words) != std::string::npos;
  });
}

/// In the C library's words, which most tools hand on.
bool tells_of_full_disk(const child_exit& end) {
  return tells_of(end, {"No space left on device", "Disk quota exceeded"});
}

/// In the words of the C library, of C++, Python, Java, LLVM and GCC.
bool tells_of_no_memory(const child_exit& end) {
  return tells_of(end, {"Cannot allocate memory", "bad_alloc", "MemoryError", "OutOfMemoryError",
                        "ut of memory", "memory exhausted"});
}

/// Whether the output, or a file in it, ends where the kernel lets none grow further: a tool that
/// does not look at what its writes return leaves it cut there, and may say that all went well.
bool cut_at(const std::string& output, std::uint64_t limit_bytes) {
  namespace fs = std::filesystem;
  if (limit_bytes == 0)
    return false;
  std::error_code failed;
  const auto full = [&](const fs::path& file) {
    return fs::is_regular_file(file, failed) && fs::file_size(file, failed) >= limit_bytes
           && !failed;
  };
  if (!fs::is_directory(output, failed))
    return full(output);
  for (fs::recursive_directory_iterator at(output, failed), end; !failed && at != end;
       at.increment(failed))
    if (std::error_code odd; at->is_regular_file(odd) && at->file_size(odd) >= limit_bytes && !odd)
      return true;
  return false;
}

std::string beyond_disk(const build_rule& rule) {
  return " (files may have " + std::to_string(rule.disk_bytes) + " bytes: `build.disk`)";
}

std::string beyond_memory(const build_rule& rule) {
  return " (its address space may have " + std::to_string(rule.memory_bytes)
         + " bytes: `build.memory`)";
}

/// In the C library's words, or in the shell's of a tool that it ran.
bool tells_of_file_limit(const child_exit& end) {
  return tells_of(end, {"File too large", "File size limit exceeded"});
}

/// docs/PLUGINS.md, "What a compiler must do".
error failure_of(const build_rule& rule, const child_exit& end, const std::string& output) {
  const auto message = rule.profile.compiler + " "
                       + describe_exit(end, rule.timeout_us, "build.timeout") + ": "
                       + last_words(end);
  if (end.timed_out)
    return {recovery::retry_later, "compiler_timeout", message};
  if (end.signal == SIGXFSZ)
    return {recovery::retry_later, "compiler_disk_limit", message + beyond_disk(rule)};
  // Whoever gets no more memory ends as it likes: aborted, or by a status of its own.
  const bool no_memory = rule.memory_bytes > 0 && tells_of_no_memory(end);
  if (end.signal != 0)
    return {recovery::retry_later, no_memory ? "compiler_memory_limit" : "compiler_killed",
            message + (no_memory ? beyond_memory(rule) : "")};
  switch (end.code) {
  case 2: return {recovery::refuse, "compiler_usage", message};
  case 3: return {recovery::refuse, "compiler_unsupported", message};
  case 4: return {recovery::refuse, "compiler_quality", message};
  case 5: return {recovery::retry_later, "compiler_no_room", message};
  default: break;
  }
  if (rule.disk_bytes > 0 && (tells_of_file_limit(end) || cut_at(output, rule.disk_bytes)))
    return {recovery::retry_later, "compiler_disk_limit", message + beyond_disk(rule)};
  if (tells_of_full_disk(end))
    return {recovery::retry_elsewhere, "compiler_disk_full", message};
  if (no_memory)
    return {recovery::retry_later, "compiler_memory_limit", message + beyond_memory(rule)};
  return {recovery::refuse, "compiler_failed", message};
}

void keep_quality(std::map<std::string, std::string>& quality, const std::string& name,
                  const std::string& value) {
  const auto clean = [](const std::string& text) {
    std::string out;
    for (const char c : text.substr(0, quality_text_bytes_max))
      out += c >= ' ' && c <= '~' ? c : '?';
    return out;
  };
  if (quality.size() < limits::quality_entries_max || quality.contains(name))
    quality[clean(name)] = clean(value);
}

/// A file with something in it, or a folder that is not empty.
bool wrote_something(const std::string& output) {
  std::error_code failed;
  return !std::filesystem::is_empty(output, failed) && !failed;
}

bool is_there(const std::string& path) {
  std::error_code failed;
  return std::filesystem::exists(path, failed);
}

result<std::map<std::string, std::string>> read_quality_file(const std::string& path) {
  std::map<std::string, std::string> quality;
  const auto text = read_small(path, limits::quality_bytes_max);
  const auto root = text ? json::parse(*text, nullptr, false) : json();
  if (std::error_code failed; !std::filesystem::exists(path, failed))
    return error{recovery::refuse, "compiler_bad_output",
                 path + ": the compiler wrote no quality figures there (`quality` of its build)"};
  if (!root.is_object())
    return error{recovery::refuse, "compiler_bad_output",
                 path + ": expected a JSON object of quality figures of at most "
                     + std::to_string(limits::quality_bytes_max) + " bytes"};
  for (const auto& [name, value] : root.items()) {
    if (value.is_string())
      keep_quality(quality, name, value.get<std::string>());
    else if (value.is_number() || value.is_boolean())
      keep_quality(quality, name, value.dump());
  }
  return quality;
}

/// Handlers run one at a time; the child is destroyed first, so none runs after it.
class tool_compile : public running_compile {
public:
  tool_compile(const build_rule& rule, std::map<std::string, std::string> values,
               std::function<void(std::uint32_t)> progress,
               std::function<void(result<compile_outcome>)> finished)
      : rule_(rule),
        values_(std::move(values)),
        progress_(std::move(progress)),
        finished_(std::move(finished)) {}

  void start(boost::asio::io_context& io, const tool_place& place, const compile_request& wanted) {
    auto spec = make_spec(wanted);
    // It was there when its version was asked.
    const auto program = find_program(spec.argv.front(), place);
    if (program.empty())
      return finish(error{recovery::retry_elsewhere, "compiler_missing",
                          missing_program(spec.argv.front(), place)});
    spec.argv.front() = program;
    extend_path(spec, place.search);
    if (auto failed = prepare(place.folder, spec))
      return finish(*failed);
    if (!wanted.log_path.empty())
      log_.open(wanted.log_path, std::ios::binary);
    auto child = child_process::start(
        io, spec, [this](std::string_view line, bool) { on_line(line); },
        [this](child_exit end) { on_exit(end); });
    if (!child)
      return finish(child.failure());
    child_ = *std::move(child);
  }

private:
  [[nodiscard]] child_spec make_spec(const compile_request& wanted) const {
    child_spec spec;
    for (const auto& argument : rule_.command)
      spec.argv.push_back(replace_placeholders(argument, values_));
    spec.work_path = wanted.work_path;
    spec.timeout_us = rule_.timeout_us;
    spec.memory_bytes = address_space_limited ? rule_.memory_bytes : 0;
    spec.file_bytes = rule_.disk_bytes;
    spec.output_bytes_max = output_kept_bytes;
    return spec;
  }

  /// Compiles the patterns and writes the config file.
  std::optional<error> prepare(const std::string& folder, const child_spec& spec) {
    const bool by_lines = rule_.quality.what == quality_source::kind::lines;
    if (!take_pattern(rule_.progress, progress_pattern_)
        || !take_pattern(by_lines ? rule_.quality.text : "", quality_pattern_))
      return error{recovery::bug, "plugin_json",
                   rule_.profile.compiler + ": `progress` or `quality` is no regular expression"};
    failures_.emplace(rule_.failures);
    if (rule_.interface != build_interface::config)
      return std::nullopt;
    const auto source = folder + "/" + rule_.config_template;
    const auto text = read_small(source, limits::plugin_json_bytes_max);
    if (!text)
      return error{recovery::refuse, "plugin_template", source + ": missing or too large"};
    const auto path = spec.work_path + "/" + rule_.config_name;
    if (std::ofstream file(path, std::ios::binary); !(file << replace_placeholders(*text, values_)))
      return error{recovery::retry_later, "disk_full", path + ": cannot be written"};
    return std::nullopt;
  }

  void on_line(std::string_view line) {
    if (logged_ + line.size() < limits::build_log_bytes_max && log_) {
      log_ << line << '\n';
      logged_ += line.size() + 1;
    }
    if (const auto given_up = failures_->hear(line); !given_up.empty())
      spdlog::warn("{}: {}", rule_.profile.compiler, given_up);
    if (const auto match = heard_by(quality_pattern_, "quality", line); match.found)
      keep_quality(quality_, match.groups[1], match.groups[2]);
    if (const auto match = heard_by(progress_pattern_, "progress", line); match.found)
      advance(match.groups[1]); // Last: the handler may destroy this object.
  }

  /// Returns: false where `text` is no pattern; an empty one is none, and that is well.
  static bool take_pattern(const std::string& text, std::optional<pattern>& into) {
    if (text.empty())
      return true;
    auto made = pattern::compile(text);
    if (made)
      into = *std::move(made);
    return made.ok();
  }

  /// A pattern that was given up is said once and tried no more: figures are lost, no build.
  pattern_match heard_by(std::optional<pattern>& wanted, const char* field,
                         std::string_view line) const {
    auto match = wanted ? wanted->search(line) : pattern_match{};
    if (match.gave_up) {
      spdlog::warn("{}: {}: {}", rule_.profile.compiler, field, given_up_words(line));
      wanted.reset();
    }
    return match;
  }

  void advance(const std::string& percent) {
    double value = 0;
    const auto [end, status]
        = std::from_chars(percent.data(), percent.data() + percent.size(), value);
    if (status != std::errc{} || !(value >= 0))
      return;
    const auto now_pm = static_cast<std::uint32_t>(std::min(value, 100.0) * 10);
    if (now_pm <= done_pm_ || !progress_)
      return;
    done_pm_ = now_pm;
    const auto handler = progress_;
    handler(now_pm);
  }

  void on_exit(const child_exit& end) {
    log_.close();
    if (!end.ok())
      return finish(judged(failure_of(rule_, end, values_.at("output")), end));
    if (!wrote_something(values_.at("output")))
      return finish(error{recovery::refuse, "compiler_bad_output",
                          rule_.profile.compiler + " reported success but wrote "
                              + (is_there(values_.at("output")) ? "an empty" : "no")
                              + " output to {output}: " + last_words(end)});
    if (cut_at(values_.at("output"), rule_.disk_bytes))
      return finish(error{recovery::retry_later, "compiler_disk_limit",
                          rule_.profile.compiler
                              + " reported success with an output that was cut at its limit"
                              + beyond_disk(rule_) + ": " + last_words(end)});
    compile_outcome outcome;
    outcome.took_us = end.took_us;
    if (rule_.quality.what == quality_source::kind::file) {
      auto read = read_quality_file(replace_placeholders(rule_.quality.text, values_));
      if (!read)
        return finish(read.failure());
      quality_ = *std::move(read);
    }
    outcome.quality = quality_;
    finish(std::move(outcome));
  }

  /// The plugin's own word on it counts before our table.
  [[nodiscard]] error judged(error failure, const child_exit& end) const {
    constexpr std::array actions{recovery::refuse, recovery::retry_elsewhere,
                                 recovery::retry_later};
    if (const auto* rule = failures_->fits(&end))
      failure.action = actions[static_cast<std::size_t>(rule->means)];
    return failure;
  }

  void finish(result<compile_outcome> ended) {
    // A local copy: the callback may destroy this object.
    const auto finished = std::exchange(finished_, nullptr);
    if (finished)
      finished(std::move(ended));
  }

  const build_rule rule_;
  const std::map<std::string, std::string> values_;
  std::function<void(std::uint32_t)> progress_;
  std::function<void(result<compile_outcome>)> finished_;
  std::optional<pattern> progress_pattern_, quality_pattern_;
  std::optional<failure_rules<failure_rule>> failures_; ///< Once it is prepared.
  std::ofstream log_;
  std::size_t logged_ = 0; ///< Bytes.
  std::map<std::string, std::string> quality_;
  std::uint32_t done_pm_ = 0;
  std::unique_ptr<child_process> child_;
};

} // namespace

std::unique_ptr<running_compile>
start_tool_compile(boost::asio::io_context& io, const build_rule& rule, const tool_place& place,
                   const compile_request& wanted, std::function<void(std::uint32_t)> progress,
                   std::function<void(result<compile_outcome>)> finished) {
  auto running = std::make_unique<tool_compile>(rule, values_for(rule, place.folder, wanted),
                                                std::move(progress), std::move(finished));
  running->start(io, place, wanted);
  return running;
}

std::string find_version(const std::string& text) {
  static constexpr std::string_view digits = "0123456789";
  std::string whole_number;
  for (auto at = text.find_first_of(digits); at != std::string::npos;
       at = text.find_first_of(digits, at)) {
    auto end = text.find_first_not_of("0123456789.", at);
    end = end == std::string::npos ? text.size() : end;
    auto word = text.substr(at, std::min<std::size_t>(end - at, 64));
    while (word.ends_with('.'))
      word.pop_back();
    if (word.find('.') != std::string::npos)
      return word;
    if (whole_number.empty())
      whole_number = word;
    at = end;
  }
  return whole_number;
}

std::string cut_version(const std::string& version, version_scope scope) {
  if (scope == version_scope::none)
    return {};
  if (scope == version_scope::exact)
    return version;
  const auto first = version.find('.');
  if (scope == version_scope::major || first == std::string::npos)
    return version.substr(0, first);
  return version.substr(0, version.find('.', first + 1));
}

} // namespace consort::node
