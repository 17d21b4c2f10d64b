// SPDX-License-Identifier: Apache-2.0
#include "node/child_process.hpp"

#include "node/process_group.hpp"
#include "scheduler/units.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>

namespace consort::node {

namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

constexpr std::size_t read_bytes = 128 * 1024;
/// Taken from one stream before others have their turn: who prints a lot is not to wait for us.
constexpr std::size_t turn_bytes_max = 4 * 1024 * 1024;
/// What is read after the tool ended: a full pipe, and then some.
constexpr std::size_t drain_bytes_max = 1024 * 1024;

void keep(captured_output& kept, std::string_view data, std::size_t bytes_max) {
  kept.bytes_total += data.size();
  if (kept.text.size() < bytes_max)
    kept.text.append(data.substr(0, bytes_max - kept.text.size()));
  if (data.size() > limits::child_tail_bytes_max)
    data.remove_prefix(data.size() - limits::child_tail_bytes_max);
  kept.tail.append(data);
  if (kept.tail.size() > limits::child_tail_bytes_max)
    kept.tail.erase(0, kept.tail.size() - limits::child_tail_bytes_max);
}

/// Cuts a stream into lines; what exceeds a line's bound is dropped.
class line_splitter {
public:
  explicit line_splitter(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  template <class Handler>
  void feed(std::string_view data, const Handler& on_line) {
    const auto ends = [](char c) { return c == '\n' || c == '\r'; };
    for (auto end = std::find_if(data.begin(), data.end(), ends); end != data.end();
         end = std::find_if(data.begin(), data.end(), ends)) {
      const auto length = static_cast<std::size_t>(end - data.begin());
      append(data.substr(0, length));
      flush(on_line);
      data.remove_prefix(length + 1);
    }
    append(data);
  }
  template <class Handler>
  void flush(const Handler& on_line) {
    if (!line_.empty())
      on_line(line_);
    line_.clear();
  }

private:
  void append(std::string_view part) {
    line_.append(part.substr(0, bytes_max_ - std::min(line_.size(), bytes_max_)));
  }

  const std::size_t bytes_max_;
  std::string line_;
};

} // namespace

/// Kept alive by its pending operations. All but `silence` and `cancel` run on the strand.
struct child_process::state : std::enable_shared_from_this<state> {
  struct stream {
    asio::posix::stream_descriptor pipe;
    captured_output& kept;
    bool is_stderr;
    line_splitter lines;
    std::array<char, read_bytes> buffer{};
  };
  enum class phase { running, terminating, killing, ended };

  state(asio::io_context& io, process_group group_started, const child_spec& spec,
        child_line_handler line_handler, child_exit_handler exit_handler)
      : group(std::move(group_started)),
        strand(asio::make_strand(io)),
        out{asio::posix::stream_descriptor(strand, group.out.release()),
            end.out,
            false,
            line_splitter(spec.line_bytes_max),
            {}},
        err{asio::posix::stream_descriptor(strand, group.err.release()),
            end.err,
            true,
            line_splitter(spec.line_bytes_max),
            {}},
        watch(strand, group.watch.get()),
        timer(strand),
        grace_us(spec.grace_us),
        bytes_max(spec.output_bytes_max),
        takes_lines(line_handler != nullptr),
        on_line(std::move(line_handler)),
        on_exit(std::move(exit_handler)) {}
  ~state() {
    watch.release(); // The group's.
  }

  void begin(duration_us timeout_us) {
    read(out);
    read(err);
    watch.async_wait(asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& failed) {
                       if (!failed)
                         self->tool_ended();
                     });
    if (timeout_us > 0)
      arm(timeout_us);
  }

  /// Waits, then reads here: an asynchronous read could still hold data when the tool's end is
  /// handled, and that data would be lost.
  void read(stream& from) {
    from.pipe.async_wait(
        asio::posix::descriptor_base::wait_read,
        [self = shared_from_this(), &from](const boost::system::error_code& failed) {
          if (!failed && self->now != phase::ended && self->read_turn(from))
            self->read(from);
        });
  }

  /// Takes what is there, up to its turn. Returns: whether there may come more.
  bool read_turn(stream& from) {
    ssize_t count = 1;
    for (std::size_t taken = 0; count > 0 && taken < turn_bytes_max && now != phase::ended;
         taken += static_cast<std::size_t>(std::max<ssize_t>(count, 0)))
      count = read_once(from);
    return count != 0;
  }

  /// Returns: as read(2).
  ssize_t read_once(stream& from) {
    const auto count = ::read(from.pipe.native_handle(), from.buffer.data(), from.buffer.size());
    if (count > 0)
      took(from, {from.buffer.data(), static_cast<std::size_t>(count)});
    return count;
  }

  void took(stream& from, std::string_view data) {
    keep(from.kept, data, bytes_max);
    if (takes_lines)
      from.lines.feed(data, [&](std::string_view line) { say(line, from.is_stderr); });
  }

  void say(std::string_view line, bool is_stderr) {
    const std::scoped_lock lock(delivery);
    if (!silent && on_line)
      on_line(line, is_stderr);
  }

  void arm(duration_us wait_us) {
    timer.expires_after(std::chrono::microseconds(wait_us));
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& failed) {
      if (!failed)
        self->time_is_up();
    });
  }

  void time_is_up() {
    switch (now) {
    case phase::running:
      end.timed_out = true;
      terminate();
      return;
    case phase::terminating:
      now = phase::killing;
      group.signal(SIGKILL);
      arm(limits::child_reap_us_max);
      return;
    case phase::killing: finish(SIGKILL); return; // Stuck in the kernel: give up on it.
    case phase::ended: return;
    }
  }

  void terminate() {
    if (now != phase::running)
      return;
    now = phase::terminating;
    group.signal(SIGTERM);
    arm(grace_us);
  }

  void tool_ended() {
    const auto status = group.reap();
    if (status && now != phase::ended)
      finish(*status);
  }

  void finish(int wait_status) {
    now = phase::ended;
    if (WIFSIGNALED(wait_status))
      end.signal = WTERMSIG(wait_status);
    else
      end.code = WEXITSTATUS(wait_status);
    group.end();
    drain(out);
    drain(err);
    end.took_us
        = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - started).count();
    timer.cancel();
    watch.cancel();
    const std::scoped_lock lock(delivery);
    const auto report = std::exchange(on_exit, nullptr);
    if (!silent && report)
      report(std::move(end));
    on_line = nullptr;
  }

  /// Takes what is in the pipe; does not wait for its other end, which an escaped process may hold.
  void drain(stream& from) {
    std::size_t taken = 0;
    for (auto count = read_once(from); count > 0 && taken < drain_bytes_max;
         count = read_once(from))
      taken += static_cast<std::size_t>(count);
    from.lines.flush([&](std::string_view line) { say(line, from.is_stderr); });
    from.pipe.close();
  }

  /// The handlers stay: one of them may be what is calling us.
  void silence() {
    const std::scoped_lock lock(delivery);
    silent = true;
  }

  process_group group;
  asio::strand<asio::io_context::executor_type> strand;
  child_exit end;
  stream out, err;
  asio::posix::stream_descriptor watch;
  asio::steady_timer timer;
  const duration_us grace_us;
  const std::size_t bytes_max;
  const bool takes_lines;
  const clock::time_point started = clock::now();
  phase now = phase::running;
  std::recursive_mutex delivery; ///< Held while a handler runs; a handler may destroy its child.
  bool silent = false;
  child_line_handler on_line;
  child_exit_handler on_exit;
};

child_process::child_process(std::shared_ptr<state> running) : state_(std::move(running)) {}

child_process::~child_process() {
  state_->silence();
  cancel();
}

void child_process::cancel() {
  asio::post(state_->strand, [running = state_] { running->terminate(); });
}

void child_process::signal(int number) {
  asio::post(state_->strand, [running = state_, number] { running->group.signal_tool(number); });
}

result<std::unique_ptr<child_process>> child_process::start(asio::io_context& io,
                                                            const child_spec& spec,
                                                            child_line_handler on_line,
                                                            child_exit_handler on_exit) {
  auto group = process_group::start(spec);
  if (!group)
    return group.failure();
  auto running = std::make_shared<state>(io, *std::move(group), spec, std::move(on_line),
                                         std::move(on_exit));
  asio::post(running->strand,
             [running, timeout_us = spec.timeout_us] { running->begin(timeout_us); });
  return std::unique_ptr<child_process>(new child_process(std::move(running)));
}

result<child_exit> child_process::run(const child_spec& spec) {
  auto group = process_group::start(spec);
  if (!group)
    return group.failure();
  asio::io_context io(1);
  child_exit end;
  std::make_shared<state>(io, *std::move(group), spec, nullptr, [&end](child_exit reported) {
    end = std::move(reported);
  })->begin(spec.timeout_us);
  io.run();
  return end;
}

result<child_exit> run_child(const child_spec& spec) {
  return child_process::run(spec);
}

namespace {

bool runnable(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode)
         && ::access(path.c_str(), X_OK) == 0;
}

std::string search_path() {
  const char* path = std::getenv("PATH");
  return path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
}

} // namespace

std::string find_program(const std::string& name, const std::string& folder) {
  if (name.empty())
    return {};
  if (name.front() == '/')
    return runnable(name) ? name : std::string{};
  const auto local = (folder.empty() ? std::string(".") : folder) + "/" + name;
  if (name.find('/') != std::string::npos || !folder.empty())
    if (runnable(local))
      return local;
  if (name.find('/') != std::string::npos)
    return {};
  const auto path = search_path();
  std::string_view rest = path;
  while (!rest.empty()) {
    const auto end = rest.find(':');
    const auto entry = std::string(rest.substr(0, end));
    if (!entry.empty() && runnable(entry + "/" + name))
      return entry + "/" + name;
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  }
  return {};
}

std::string find_program(const std::string& name, const tool_place& place) {
  if (auto found = find_program(name, place.folder); !found.empty())
    return found;
  if (name.empty() || name.find('/') != std::string::npos)
    return {};
  for (const auto& folder : place.search)
    if (runnable(folder + "/" + name))
      return folder + "/" + name;
  return {};
}

void extend_path(child_spec& spec, const std::vector<std::string>& search) {
  if (search.empty() || spec.env.contains("PATH"))
    return;
  auto path = search_path();
  for (const auto& folder : search)
    path += (path.empty() ? "" : ":") + folder; // An empty entry would be the folder it runs in.
  spec.env["PATH"] = std::move(path);
}

std::string no_executable(const std::string& name, const std::string& folder) {
  const auto path = name.starts_with('/') ? name : folder + "/" + name;
  struct stat found {};
  const bool here = !name.empty() && ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode);
  return here ? path + " is there, but is no executable: chmod +x" : std::string();
}

std::string missing_program(const std::string& name, const tool_place& place) {
  auto wrong = no_executable(name, place.folder);
  if (!wrong.empty())
    return wrong;
  std::string where = place.folder;
  if (place.search.empty())
    return "no program " + name + " in " + where + " or in PATH";
  where += ", in PATH";
  for (const auto& folder : place.search)
    where += (&folder == &place.search.back() ? " or in " : ", ") + folder;
  return "no program " + name + " in " + where;
}

std::string describe_exit(const child_exit& end) {
  if (end.timed_out)
    return "ran out of time";
  if (end.signal != 0)
    return "was killed by signal " + std::to_string(end.signal);
  return "exited with " + std::to_string(end.code);
}

std::string describe_exit(const child_exit& end, duration_us limit_us, const std::string& field) {
  if (!end.timed_out || limit_us <= 0)
    return describe_exit(end);
  return describe_exit(end) + " (" + format_duration(limit_us) + (field.empty() ? "" : ", " + field)
         + ")";
}

std::string with_last_words(std::string how, std::string_view said) {
  return std::move(how) + (said.empty() ? " and printed nothing" : ": " + std::string(said));
}

} // namespace consort::node
