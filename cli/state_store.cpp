// SPDX-License-Identifier: Apache-2.0
#include "cli/state_store.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace consort::cli {

namespace {

constexpr int schema_version = 1;
constexpr int busy_timeout_ms = 2'000;
/// A build that knows fewer tables leaves the others alone: a new one is no new version.
constexpr const char* make_tables
    = "CREATE TABLE IF NOT EXISTS holds (target TEXT PRIMARY KEY, draining INTEGER NOT NULL,"
      " cordoned INTEGER NOT NULL, reason TEXT NOT NULL, move_at_unix_us INTEGER NOT NULL);"
      "CREATE TABLE IF NOT EXISTS held_hardware (target TEXT PRIMARY KEY, identity TEXT NOT NULL);"
      "CREATE TABLE IF NOT EXISTS models (name TEXT PRIMARY KEY, declaration TEXT NOT NULL);"
      "CREATE TABLE IF NOT EXISTS remote_spending (id INTEGER PRIMARY KEY CHECK (id = 0),"
      " micros INTEGER NOT NULL, at_unix_us INTEGER NOT NULL)";

/// Time of day: the scheduler's own clock begins anew with its process.
std::int64_t unix_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// SQLite makes files that all may read, and its journals with the mode of the file. What cannot be
/// opened here SQLite complains of.
void make_private(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0)
    return;
  (void)::fchmod(file, S_IRUSR | S_IWUSR); // One of an earlier version.
  ::close(file);
}

/// One prepared statement, finalised when it goes.
class statement {
public:
  statement(sqlite3* handle, const char* text) {
    ready_ = sqlite3_prepare_v2(handle, text, -1, &made_, nullptr) == SQLITE_OK;
  }
  ~statement() { sqlite3_finalize(made_); }
  statement(const statement&) = delete;
  statement& operator=(const statement&) = delete;

  [[nodiscard]] bool ready() const { return ready_; }
  void bind(int at, std::int64_t value) { sqlite3_bind_int64(made_, at, value); }
  void bind(int at, const std::string& value) {
    sqlite3_bind_text(made_, at, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
  }
  int step() { return sqlite3_step(made_); }
  void reset() { sqlite3_reset(made_); }
  [[nodiscard]] std::int64_t number(int column) const {
    return sqlite3_column_int64(made_, column);
  }
  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(made_, column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, sqlite3_column_bytes(made_, column));
  }

private:
  sqlite3_stmt* made_ = nullptr;
  bool ready_ = false;
};

} // namespace

namespace {

/// Whether there is no room for what it writes beside its file: then it says many things.
bool disk_is_full(const std::string& path) {
  constexpr std::uintmax_t room_bytes_min = 256 * 1024;
  std::error_code failed;
  const auto room = std::filesystem::space(std::filesystem::path(path).parent_path(), failed);
  return !failed && room.available < room_bytes_min;
}

} // namespace

error state_store::failure(const char* doing) const {
  const bool full = (sqlite3_errcode(handle_) & 0xff) == SQLITE_FULL || disk_is_full(path_);
  return {
      recovery::refuse, "state_unreadable",
      path_ + ": cannot " + doing + ": " + sqlite3_errmsg(handle_)
          + (full
                 ? "; make room on its disk: without any no scheduler starts, with that file "
                   "or without"
                 : "; mend the disk or its permissions, or move the file away to forget what "
                   "was drained and cordoned, which models were added and what was spent on remote "
                   "APIs")};
}

result<done> state_store::run(const char* text) const {
  if (sqlite3_exec(handle_, text, nullptr, nullptr, nullptr) != SQLITE_OK)
    return failure("write");
  return done{};
}

state_store::~state_store() {
  sqlite3_close(handle_);
}

result<std::unique_ptr<state_store>> state_store::open(const std::string& folder) {
  const auto path = folder + "/scheduler.db";
  make_private(path);
  sqlite3* handle = nullptr;
  const auto opened
      = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  std::unique_ptr<state_store> store(new state_store(handle, path));
  if (opened != SQLITE_OK)
    return store->failure("open");
  sqlite3_busy_timeout(handle, busy_timeout_ms);
  statement version(handle, "PRAGMA user_version");
  if (!version.ready() || version.step() != SQLITE_ROW)
    return store->failure("read");
  if (version.number(0) > schema_version)
    return error{recovery::refuse, "state_unreadable",
                 path + " was written by a newer version of consort: use that, or move it away"};
  for (const auto* text : {"PRAGMA synchronous = FULL", make_tables, "PRAGMA user_version = 1"})
    if (const auto ran = store->run(text); !ran)
      return ran.failure();
  return store;
}

result<core::hold_map> state_store::load_holds() const {
  core::hold_map holds;
  statement rows(handle_,
                 "SELECT holds.target, draining, cordoned, reason, move_at_unix_us,"
                 " coalesce(identity, '') FROM holds LEFT JOIN held_hardware USING (target)");
  if (!rows.ready())
    return failure("read");
  int code = rows.step();
  for (; code == SQLITE_ROW; code = rows.step()) {
    auto& one = holds[rows.text(0)];
    one.draining = rows.number(1) != 0;
    one.cordoned = rows.number(2) != 0;
    one.reason = rows.text(3);
    if (const auto at = rows.number(4); at != 0)
      one.move_after_us = std::max<duration_us>(at - unix_us(), 1);
    one.identity = rows.text(5);
  }
  return code == SQLITE_DONE ? result<core::hold_map>(std::move(holds)) : failure("read");
}

result<done> state_store::save_holds(const core::hold_map& holds) {
  if (const auto begun = begin("BEGIN IMMEDIATE; DELETE FROM holds; DELETE FROM held_hardware");
      !begun)
    return begun;
  statement row(handle_, "INSERT INTO holds VALUES (?, ?, ?, ?, ?)");
  statement hardware(handle_, "INSERT INTO held_hardware VALUES (?, ?)");
  bool written = row.ready() && hardware.ready();
  for (const auto& [target, one] : holds) {
    if (!written)
      break;
    row.bind(1, target);
    row.bind(2, std::int64_t{one.draining ? 1 : 0});
    row.bind(3, std::int64_t{one.cordoned ? 1 : 0});
    row.bind(4, one.reason);
    row.bind(5, one.move_after_us > 0 ? unix_us() + one.move_after_us : std::int64_t{0});
    written = row.step() == SQLITE_DONE;
    row.reset();
    if (one.identity.empty())
      continue;
    hardware.bind(1, target);
    hardware.bind(2, one.identity);
    written = written && hardware.step() == SQLITE_DONE;
    hardware.reset();
  }
  return end(written);
}

result<declaration_map> state_store::load_models() const {
  declaration_map models;
  statement rows(handle_, "SELECT name, declaration FROM models");
  if (!rows.ready())
    return failure("read");
  int code = rows.step();
  for (; code == SQLITE_ROW; code = rows.step())
    models[rows.text(0)] = rows.text(1);
  return code == SQLITE_DONE ? result<declaration_map>(std::move(models)) : failure("read");
}

result<done> state_store::save_models(const declaration_map& models) {
  if (const auto begun = begin("BEGIN IMMEDIATE; DELETE FROM models"); !begun)
    return begun;
  statement row(handle_, "INSERT INTO models VALUES (?, ?)");
  bool written = row.ready();
  for (const auto& [name, declaration] : models) {
    if (!written)
      break;
    row.bind(1, name);
    row.bind(2, declaration);
    written = row.step() == SQLITE_DONE;
    row.reset();
  }
  return end(written);
}

result<kept_spending> state_store::load_spending() const {
  kept_spending spent;
  statement row(handle_, "SELECT micros, at_unix_us FROM remote_spending");
  if (!row.ready())
    return failure("read");
  const int code = row.step();
  if (code == SQLITE_ROW) {
    spent.micros = static_cast<std::uint64_t>(std::max<std::int64_t>(row.number(0), 0));
    spent.age_us = std::max<duration_us>(unix_us() - row.number(1), 0);
  }
  return code == SQLITE_ROW || code == SQLITE_DONE ? result<kept_spending>(spent) : failure("read");
}

result<done> state_store::save_spending(std::uint64_t micros) {
  if (const auto begun = begin("BEGIN IMMEDIATE"); !begun)
    return begun;
  statement row(handle_, "INSERT OR REPLACE INTO remote_spending VALUES (0, ?, ?)");
  bool written = row.ready();
  if (written) {
    row.bind(1, static_cast<std::int64_t>(micros));
    row.bind(2, unix_us());
    written = row.step() == SQLITE_DONE;
    row.reset();
  }
  return end(written);
}

/// Of a transaction, which is over at once when its first statements fail.
result<done> state_store::begin(const char* text) const {
  auto begun = run(text);
  if (!begun)
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  return begun;
}

/// Of a transaction: it is on disk whole, or nothing of it.
result<done> state_store::end(bool written) const {
  if (written && run("COMMIT"))
    return done{};
  const auto why = failure("write");
  sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  return why;
}

} // namespace consort::cli
