// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What a scheduler must still know after a restart, in an SQLite file of its data folder: which
/// nodes and devices operators stopped, which models they declared, what was spent on remote APIs.
/// Everything else is told anew by
/// nodes and gateways. One process writes it, and only its user reads it. Every change is one
/// transaction and on disk when save() returns.

#include "scheduler/core.hpp"

#include <map>
#include <memory>
#include <string>

struct sqlite3;

namespace consort::cli {

/// A declaration of a model in JSON, by name.
using declaration_map = std::map<std::string, std::string>;

/// Of the budget for REMOTE devices.
struct kept_spending {
  std::uint64_t micros = 0; ///< Counted as spent then.
  duration_us age_us = 0; ///< By the time of day; 0 where that went back, so that it earns nothing.
};

class state_store {
public:
  /// Opens or makes `scheduler.db` in the folder, which exists. Errors: `state_unreadable` names
  /// the file, the reason and what to do.
  [[nodiscard]] static result<std::unique_ptr<state_store>> open(const std::string& folder);
  ~state_store();
  state_store(const state_store&) = delete;
  state_store& operator=(const state_store&) = delete;

  /// Deadlines of drains are what is left of them now; one that passed meanwhile is due at once.
  [[nodiscard]] result<core::hold_map> load_holds() const;
  /// Replaces what was kept before.
  [[nodiscard]] result<done> save_holds(const core::hold_map& holds);

  [[nodiscard]] result<declaration_map> load_models() const;
  /// Replaces what was kept before.
  [[nodiscard]] result<done> save_models(const declaration_map& models);

  /// Nothing spent where nothing was kept.
  [[nodiscard]] result<kept_spending> load_spending() const;
  /// As of now. Replaces what was kept before.
  [[nodiscard]] result<done> save_spending(std::uint64_t micros);

private:
  state_store(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  [[nodiscard]] error failure(const char* doing) const;
  [[nodiscard]] result<done> run(const char* statement) const;
  [[nodiscard]] result<done> begin(const char* text) const;
  [[nodiscard]] result<done> end(bool written) const;

  sqlite3* handle_;
  std::string path_;
};

} // namespace consort::cli
