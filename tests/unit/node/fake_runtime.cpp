// SPDX-License-Identifier: Apache-2.0
/// A vendor's shared object with a fault menu, for the tests of the host process. What it does
/// wrong is asked for by words in the JSON of `open` and of each request:
///   open:    {"fault": hang, crash, refuse, busy, fail, bad_model, chatter, stats_garbage,
///            daemon (a process in a session of its own, whose number is printed), or
///            crash_cancel, crash_stats, crash_close: a crash in that call, or hang_cancel (which
///            stops the request all the same), hang_stats: it never returns}
///   request: {"tokens": n, "fault": word, "at": k}; the fault happens before event k:
///            crash, kill, print (then crash), hang, ignore_cancel, unknown_id, double_terminal,
///            no_opened, bad_text, null_text, bad_kind, bad_choice, fail_busy, fail_refused,
///            fail_device, fail_unasked, leak (64 MiB, for good); in submit itself: submit_refused,
///            submit_busy, submit_failed, submit_hang
/// Two other libraries are built from this file: FAKE_WRONG_ABI and FAKE_NO_SYMBOL.

#include "node/plugin_abi.h"

#include <nlohmann/json.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unistd.h>

namespace {

using nlohmann::json;

struct work {
  std::uint64_t id = 0;
  std::string resumed;
  std::size_t resumed_ids = 0;
  std::uint64_t tokens = 4;
  std::uint64_t at = 1;
  std::string fault;
  std::string text;
};

[[noreturn]] void hang() {
  for (;;)
    ::pause();
}

void die_by(int signal) {
  std::signal(signal, SIG_DFL); // a sanitizer would turn it into an exit
  ::kill(::getpid(), signal);
  hang();
}

/// Of a library that has helpers of its own: nobody asked for them, and they leave the host's
/// group.
void start_daemon() {
  std::array<int, 2> told{};
  if (::pipe(told.data()) != 0)
    return;
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    const pid_t self = ::getpid();
    [[maybe_unused]] const auto sent = ::write(told[1], &self, sizeof self);
    hang();
  }
  pid_t left = 0; // Once it has said so, it is in its session.
  if (child > 0 && ::read(told[0], &left, sizeof left) == sizeof left)
    ::dprintf(STDOUT_FILENO, "%d\n", left);
}

int say(char* message, size_t bytes, const char* text, int status) {
  std::snprintf(message, bytes, "%s", text);
  return status;
}

} // namespace

struct consort_session {
  consort_sink sink{};
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<work> queue;
  std::set<std::uint64_t> cancelled;
  bool closing = false;
  std::atomic<std::uint64_t> generated = 0;
  std::atomic<std::uint64_t> cancels = 0;
  std::string fault; ///< As `open` was asked for it.
  std::thread engine;

  void run();
  void serve(const work& item);
  bool misbehave(const work& item);
  bool stopped(const work& item);
  void emit(const consort_event& event) const { sink.emit(sink.context, &event); }
  [[nodiscard]] static consort_event event(const work& item, consort_event_kind kind) {
    consort_event made{};
    made.size = sizeof made;
    made.request = item.id;
    made.kind = kind;
    return made;
  }
  void fail(const work& item, consort_status status, const char* code) const {
    auto made = event(item, CONSORT_EVENT_FAILED);
    made.status = status;
    made.code = code;
    made.text = "fake failure";
    made.text_bytes = std::strlen(made.text);
    emit(made);
  }
  void token(const work& item, std::uint64_t index, const std::string& text) {
    auto made = event(item, CONSORT_EVENT_TOKENS);
    const auto id = static_cast<std::int32_t>(index);
    made.text = text.data();
    made.text_bytes = text.size();
    made.token_ids = &id;
    made.token_count = 1;
    if (index == 0)
      made.extra_json = R"({"fake":true})";
    emit(made);
    ++generated;
  }
};

void consort_session::run() {
  for (;;) {
    work item;
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return closing || !queue.empty(); });
      if (closing)
        return;
      item = std::move(queue.front());
      queue.pop_front();
    }
    serve(item);
  }
}

bool consort_session::stopped(const work& item) {
  const std::lock_guard lock(mutex);
  return closing || (item.fault != "ignore_cancel" && cancelled.contains(item.id));
}

/// Returns: whether the request ends here.
bool consort_session::misbehave(const work& item) {
  if (item.fault == "crash")
    die_by(SIGSEGV);
  if (item.fault == "kill")
    die_by(SIGKILL);
  if (item.fault == "print") {
    std::puts("fake: out of cheese");
    std::fflush(stdout);
    die_by(SIGSEGV);
  }
  if (item.fault == "leak")
    std::memset(new char[std::size_t{64} << 20U], 1, std::size_t{64} << 20U);
  if (item.fault == "unknown_id") {
    work other = item;
    other.id += 1'000'000;
    token(other, 0, "?");
  }
  if (item.fault == "bad_text")
    token(item, 0, "\xff\xfe");
  if (item.fault == "null_text") {
    auto strange = event(item, CONSORT_EVENT_TOKENS);
    strange.text_bytes = 4;
    emit(strange);
  }
  if (item.fault == "bad_choice") {
    auto strange = event(item, CONSORT_EVENT_CHOICE_DONE);
    strange.choice = 1;
    emit(strange);
  }
  if (item.fault == "bad_kind") {
    auto strange = event(item, CONSORT_EVENT_TOKENS);
    strange.kind = 77;
    emit(strange);
  }
  if (item.fault == "fail_busy")
    return fail(item, CONSORT_BUSY, "no_slot"), true;
  if (item.fault == "fail_refused")
    return fail(item, CONSORT_REFUSED, "context_overflow"), true;
  if (item.fault == "fail_device")
    return fail(item, CONSORT_FAILED, "ecc"), true;
  if (item.fault == "fail_unasked")
    return fail(item, CONSORT_FAILED, "cancelled"), true;
  if (item.fault == "hang" || item.fault == "ignore_cancel") {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] {
      return closing || (item.fault != "ignore_cancel" && cancelled.contains(item.id));
    });
  }
  return false;
}

void consort_session::serve(const work& item) {
  if (item.fault != "no_opened") {
    auto opened = event(item, CONSORT_EVENT_OPENED);
    opened.prompt_tokens = 7;
    opened.cached_tokens = static_cast<std::uint32_t>(item.resumed_ids + item.resumed.size());
    emit(opened);
  }
  for (std::uint64_t index = 0; index < item.tokens; ++index) {
    if (index + 1 == item.at && misbehave(item))
      return;
    if (stopped(item)) {
      ++cancels;
      return fail(item, CONSORT_FAILED, "cancelled");
    }
    token(item, index, item.text);
  }
  auto choice = event(item, CONSORT_EVENT_CHOICE_DONE);
  choice.text = "length";
  choice.text_bytes = 6;
  emit(choice);
  auto ended = event(item, CONSORT_EVENT_COMPLETED);
  ended.prompt_tokens = 7;
  ended.completion_tokens = static_cast<std::uint32_t>(item.tokens);
  ended.batch = 1;
  ended.queue_us = 5;
  emit(ended);
  if (item.fault == "double_terminal")
    emit(ended);
}

namespace {

int fake_open(const char* config_json, const consort_sink* sink, consort_session** out,
              char* message, size_t bytes) {
  const auto config = json::parse(config_json);
  const auto fault = config.value("fault", "");
  if (fault == "hang")
    hang();
  if (fault == "crash")
    die_by(SIGSEGV);
  if (fault == "refuse")
    return say(message, bytes, "no such model", CONSORT_REFUSED);
  if (fault == "busy")
    return say(message, bytes, "device taken", CONSORT_BUSY);
  if (fault == "fail")
    return say(message, bytes, "device on fire", CONSORT_FAILED);
  if (fault == "bad_model")
    return say(message, bytes, "engine of another target", CONSORT_BAD_MODEL);
  if (fault == "chatter")
    for (int line = 0; line < 20'000; ++line)
      std::printf("chatter %d %s\n", line, std::string(200, 'x').c_str());
  auto session = std::make_unique<consort_session>();
  session->sink = *sink;
  if (fault == "daemon")
    start_daemon();
  session->fault = fault;
  session->engine = std::thread([raw = session.get()] { raw->run(); });
  *out = session.release();
  return CONSORT_OK;
}

void fake_close(consort_session* session) {
  if (session->fault == "crash_close")
    die_by(SIGSEGV);
  {
    const std::lock_guard lock(session->mutex);
    session->closing = true;
  }
  session->wake.notify_all();
  session->engine.join();
  delete session;
}

int fake_submit(consort_session* session, const consort_request* request, char* message,
                size_t bytes) {
  const auto body = json::parse(request->json, request->json + request->json_bytes, nullptr, false);
  if (body.is_discarded())
    return say(message, bytes, "body is not JSON", CONSORT_REFUSED);
  work item;
  item.id = request->id;
  item.resumed = request->resume_text == nullptr ? "" : request->resume_text;
  item.resumed_ids = request->resume_count;
  item.tokens = body.value("tokens", std::uint64_t{4});
  item.at = body.value("at", std::uint64_t{1});
  item.fault = body.value("fault", "");
  item.text = body.value("text", "tok ");
  if (item.fault == "submit_refused")
    return say(message, bytes, "context is 512", CONSORT_REFUSED);
  if (item.fault == "submit_busy")
    return say(message, bytes, "full", CONSORT_BUSY);
  if (item.fault == "submit_failed")
    return say(message, bytes, "lost the device", CONSORT_FAILED);
  if (item.fault == "submit_hang")
    hang();
  {
    const std::lock_guard lock(session->mutex);
    session->queue.push_back(std::move(item));
  }
  session->wake.notify_all();
  return CONSORT_OK;
}

void fake_cancel(consort_session* session, uint64_t request) {
  if (session->fault == "crash_cancel")
    die_by(SIGSEGV);
  {
    const std::lock_guard lock(session->mutex);
    session->cancelled.insert(request);
  }
  session->wake.notify_all();
  if (session->fault == "hang_cancel")
    hang();
}

size_t fake_stats(consort_session* session, char* out, size_t bytes) {
  if (session->fault == "crash_stats" && session->generated > 0) // Not before it was opened.
    die_by(SIGSEGV);
  if (session->fault == "hang_stats" && session->generated > 0)
    hang();
  const json counters = {{"sequences_max", 4},
                         {"kv_tokens_max", 2048},
                         {"context_max", 512},
                         {"tokens_generated_total", session->generated.load()},
                         {"cancelled_total", session->cancels.load()},
                         {"steps_total", "many"}};
  const auto text = session->fault == "stats_garbage" ? "{\"sequences_max\": -" : counters.dump();
  if (text.size() < bytes)
    std::memcpy(out, text.c_str(), text.size() + 1);
  return text.size() + 1;
}

#ifdef FAKE_WRONG_ABI
constexpr std::uint32_t fake_abi = CONSORT_ABI + 1;
#else
constexpr std::uint32_t fake_abi = CONSORT_ABI;
#endif

const consort_runtime_table table{sizeof(consort_runtime_table),
                                  fake_abi,
                                  "fake",
                                  "1.0.0",
                                  fake_open,
                                  fake_close,
                                  fake_submit,
                                  fake_cancel,
                                  fake_stats};

} // namespace

#ifndef FAKE_NO_SYMBOL
extern "C" __attribute__((visibility("default"))) const consort_runtime_table* consort_runtime() {
  return &table;
}
#else
const consort_runtime_table* unexported_runtime() {
  return &table;
}
#endif
