// SPDX-License-Identifier: Apache-2.0
#include "node/host/host_main.hpp"

#include "node/host/host_port.hpp"
#include "node/host/vendor_events.hpp"
#include "node/host/vendor_library.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace consort::node {

namespace {

/// One error line of the vendor's.
class vendor_message {
public:
  char* data() { return text_.data(); }
  [[nodiscard]] std::size_t capacity() const { return text_.size() - 1; }
  /// The last byte is ours, so that it ends even if the vendor forgot to.
  [[nodiscard]] std::string_view text() const { return text_.data(); }

private:
  std::array<char, limits::vendor_message_bytes> text_{};
};

consort_request_kind kind_of(request_kind kind) {
  switch (kind) {
  case request_kind::chat: return CONSORT_CHAT;
  case request_kind::embedding: return CONSORT_EMBEDDING;
  case request_kind::completion: break;
  }
  return CONSORT_COMPLETION;
}

bool ends_request(const attempt_event& happened) {
  return std::holds_alternative<attempt_completed>(happened)
         || std::holds_alternative<attempt_aborted>(happened);
}

/// Carries the agent's commands to the vendor's table and its events back.
class host_session {
public:
  host_session(host_port& port, std::string library) : port_(port), library_(std::move(library)) {}

  [[noreturn]] void serve() {
    for (;;)
      std::visit([this](const auto& command) { on(command); }, port_.next());
  }

private:
  static void emit(void* context, const consort_event* event) {
    auto report = copy_vendor_event(event);
    if (!report)
      break_off(report.failure());
    auto& port = static_cast<host_session*>(context)->port_;
    if (ends_request(report->happened))
      port.calls().request_over();
    port.send(std::move(*report));
  }

  /// The vendor's object cannot be trusted any further.
  [[noreturn]] static void break_off(const error& why) {
    std::fprintf(stderr, "consort host: %s\n", why.message.c_str());
    std::fflush(stderr);
    ::_exit(host_exit_vendor);
  }

  void require_open() const {
    if (session_ == nullptr)
      ::_exit(host_exit_protocol);
  }

  [[noreturn]] void refuse(error failure) {
    port_.send(messages::host_open_failed{std::move(failure)});
    port_.finish();
  }

  void on(const messages::host_open& command) {
    if (session_ != nullptr)
      ::_exit(host_exit_protocol);
    auto loaded = load_vendor_library(command.library.empty() ? library_ : command.library);
    if (!loaded)
      refuse(loaded.failure());
    table_ = *loaded;
    vendor_message message;
    const int status = table_->open(command.config_json.c_str(), &sink_, &session_, message.data(),
                                    message.capacity());
    if (status != CONSORT_OK)
      refuse(load_failure(static_cast<std::uint32_t>(status), message.text()));
    if (session_ == nullptr)
      break_off({recovery::retry_elsewhere, "runtime_contract", "open gave no session"});
    port_.send(messages::host_opened{table_->name == nullptr ? "" : table_->name,
                                     table_->version == nullptr ? "" : table_->version});
  }

  void on(const messages::host_submit& command) {
    require_open();
    const auto& body = command.body;
    consort_request request{};
    request.size = sizeof request;
    request.id = command.request;
    request.kind = kind_of(body.kind);
    request.json = body.json.c_str();
    request.json_bytes = body.json.size();
    request.resume_text = body.resume.text.empty() ? nullptr : body.resume.text.c_str();
    request.resume_ids = body.resume.token_ids.empty() ? nullptr : body.resume.token_ids.data();
    request.resume_count = body.resume.token_ids.size();
    vendor_message message;
    port_.calls().request_taken();
    const int status = table_->submit(session_, &request, message.data(), message.capacity());
    if (status == CONSORT_OK)
      return;
    port_.calls().request_over();
    port_.send(messages::host_event{
        command.request, attempt_failure(static_cast<std::uint32_t>(status), "", message.text())});
  }

  void on(const messages::host_cancel& command) {
    require_open();
    port_.begin_call("cancel", call_watch::counts::always);
    table_->cancel(session_, command.request);
    port_.calls().end();
  }

  /// Returns: the bytes needed.
  std::size_t read_stats(std::string& into) {
    port_.begin_call("stats", call_watch::counts::idle);
    const auto needed = table_->stats(session_, into.data(), into.size());
    port_.calls().end();
    return needed;
  }

  void on(const messages::host_read_stats& command) {
    require_open();
    std::string text(4096, '\0');
    auto needed = read_stats(text);
    if (needed > text.size() && needed <= limits::stats_json_bytes_max) {
      text.assign(needed, '\0');
      needed = read_stats(text);
    }
    const bool whole = needed > 0 && needed <= text.size();
    text.resize(whole ? needed - 1 : 0);
    port_.send(messages::host_stats{command.number, std::move(text)});
  }

  void on(const messages::host_close&) {
    if (session_ != nullptr)
      table_->close(session_);
    port_.finish();
  }

  host_port& port_;
  const std::string library_;
  const consort_sink sink_{sizeof(consort_sink), this, &host_session::emit};
  const consort_runtime_table* table_ = nullptr;
  consort_session* session_ = nullptr;
};

/// Makes the process one that may crash: no core files, first in line when memory runs out, out of
/// the terminal's reach, gone with its agent. All best effort: a host that lacks one still serves.
void settle_process() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);
  std::signal(SIGPIPE, SIG_IGN);
  const struct rlimit no_core { 0, 0 };
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    const auto text = std::to_string(limits::host_oom_score_adj);
    [[maybe_unused]] const auto written = ::write(fd, text.data(), text.size());
    ::close(fd);
  }
}

} // namespace

int host_main(int socket_fd, std::string library, host_bounds bounds) {
  settle_process();
  host_port port(socket_fd, bounds);
  if (!port.start())
    return host_exit_setup;
  host_session(port, std::move(library)).serve();
}

} // namespace consort::node
