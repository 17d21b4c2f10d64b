// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Runs a vendor's tool: an argument vector (never a shell), in a process group of its own, under
/// time, memory, file-size and CPU limits, with both output streams read to their end and kept up
/// to a bound. Whoever holds the object owns the group: the end of the tool, a timeout, a cancel,
/// destruction, or the death of this process (SIGKILL included) ends every member of it, and what
/// the tool left behind in sessions of its own.
///
/// A guard process is each tool's parent: node/process_guard.hpp. Between fork and exec only
/// async-signal-safe calls are made; all descriptors are close-on-exec.

#include "node/limits.hpp"
#include "scheduler/result.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace consort::node {

/// What to run. A limit of 0 means none; run_child() needs a timeout.
struct child_spec {
  std::vector<std::string> argv;          ///< argv[0]: a path, or a name looked up in PATH.
  std::map<std::string, std::string> env; ///< Added to, or replacing in, this process's own.
  std::string work_path;                  ///< Current directory; empty = ours.
  duration_us timeout_us = limits::plugin_call_us_max;
  duration_us grace_us = limits::child_grace_us;
  std::uint64_t memory_bytes = 0; ///< Address space of each process.
  std::uint64_t file_bytes = 0;   ///< Largest file that it may write.
  std::uint64_t cpu_s = 0;        ///< CPU seconds of each process.
  std::size_t output_bytes_max = limits::child_output_bytes_max; ///< Kept per stream.
  std::size_t line_bytes_max = limits::child_line_bytes_max;     ///< Longer lines are cut.
  /// It is a client of something that outlives it, as a container engine's is: what has left its
  /// group stays.
  bool leaves_daemons = false;
};

/// One output stream: its head up to the bound, its last bytes, and how much there was in all.
struct captured_output {
  std::string text; ///< First output_bytes_max bytes.
  std::string tail; ///< Last limits::child_tail_bytes_max bytes.
  std::uint64_t bytes_total = 0;
  [[nodiscard]] bool cut() const { return bytes_total > text.size(); }
};

/// How the tool ended. Exactly one of: exited with `code`, died of `signal`.
struct child_exit {
  int code = 0;
  int signal = 0;         ///< 0 = exited by itself.
  bool timed_out = false; ///< We ended it because its time was up.
  captured_output out;
  captured_output err;
  duration_us took_us = 0;
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0 && !timed_out; }
};

/// Runs to the end and waits; returns within timeout + grace. Errors (`tool_missing`,
/// `tool_start_failed`) mean that nothing ran.
[[nodiscard]] result<child_exit> run_child(const child_spec& spec);

/// One line of output, without its end (`\n` or `\r`); `from_stderr` says which stream.
using child_line_handler = std::function<void(std::string_view line, bool from_stderr)>;
using child_exit_handler = std::function<void(child_exit)>;

/// A tool running in the background. Thread-safe.
class child_process {
public:
  /// Starts it; handlers run on `io`'s threads, one at a time; `on_exit` once, last. `io` outlives
  /// nothing: when it goes first, the group is killed and `on_exit` never comes.
  [[nodiscard]] static result<std::unique_ptr<child_process>> start(boost::asio::io_context& io,
                                                                    const child_spec& spec,
                                                                    child_line_handler on_line,
                                                                    child_exit_handler on_exit);
  /// TERM to the group, KILL after the grace, in the background. No handler runs once it returned.
  ~child_process();
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  /// Asks the group to end (TERM, then KILL after the grace); `on_exit` follows.
  void cancel();
  /// Sends a signal to the tool alone: what leads its group goes on watching.
  void signal(int number);

private:
  friend result<child_exit> run_child(const child_spec& spec);
  [[nodiscard]] static result<child_exit> run(const child_spec& spec);
  struct state;
  explicit child_process(std::shared_ptr<state> running);
  std::shared_ptr<state> state_;
};

/// Where a plugin's tools are looked for besides PATH: in its folder before, and behind in those
/// folders where its vendor's packages put them without telling PATH.
struct tool_place {
  std::string folder;
  std::vector<std::string> search; ///< Whole paths, in order.
  std::string state = {};          ///< What `{state}` is; empty = what it keeps is forgotten.
};

/// The absolute path that `name` stands for: as it is when it holds a slash (relative to `folder`),
/// else an executable in `folder`, else one in PATH. Empty when there is none.
[[nodiscard]] std::string find_program(const std::string& name, const std::string& folder = {});
/// The same, or else one in `place.search`.
[[nodiscard]] std::string find_program(const std::string& name, const tool_place& place);

/// Has a tool find its vendor's other tools as well: `search` behind PATH, unless the tool's
/// environment says its own.
void extend_path(child_spec& spec, const std::vector<std::string>& search);

/// For a name that find_program() does not find: what is wrong with the file of that name in
/// `folder`, which a copy without its mode is. Empty when there is no such file.
[[nodiscard]] std::string no_executable(const std::string& name, const std::string& folder);
/// The same, or that there is none: a whole sentence.
[[nodiscard]] std::string missing_program(const std::string& name, const tool_place& place);

/// `exited with 3`, `was killed by signal 9`, `ran out of time`: for messages.
[[nodiscard]] std::string describe_exit(const child_exit& end);
/// The same, with the limit and the field that sets it: `ran out of time (10s, probe.timeout)`.
[[nodiscard]] std::string describe_exit(const child_exit& end, duration_us limit_us,
                                        const std::string& field);
/// `exited with 3: WORDS`, or that it `printed nothing`, which is something to go by.
[[nodiscard]] std::string with_last_words(std::string how, std::string_view said);

} // namespace consort::node
