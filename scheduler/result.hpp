// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Errors are values. `error` says what happened, where, and what may be done about it; `result<T>`
/// holds a value or an error. Nothing in this project throws across a function boundary except
/// third-party code at a process edge.

#include <cassert>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace consort {

/// What a caller may do about an error.
enum class recovery : std::uint8_t {
  retry_elsewhere, ///< The device or node failed; another may do it.
  retry_later,     ///< Nothing is wrong but time: full, loading, compiling.
  refuse,          ///< The request itself is at fault; it fails everywhere.
  bug,             ///< An invariant of ours broke.
};

/// A failure as a value. `code` is a stable word for programs (`context_overflow`), `message` one
/// line for people that names what and where and, at the edge, what to do next.
struct error {
  recovery action = recovery::bug;
  std::string code;
  std::string message;
  friend bool operator==(const error&, const error&) = default;
};

/// A value or an error. `T` must not be `error`.
template <class T>
class [[nodiscard]] result {
public:
  result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {} // NOLINT: implicit by design
  result(error failure)
      : state_(std::in_place_index<1>, std::move(failure)) {} // NOLINT: implicit by design

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// Requires: ok().
  [[nodiscard]] T& value() & { return assert(ok()), std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return assert(ok()), std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return assert(ok()), std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Requires: !ok().
  [[nodiscard]] const error& failure() const { return assert(!ok()), std::get<1>(state_); }

private:
  std::variant<T, error> state_;
};

/// Success without a value.
struct done {
  friend bool operator==(const done&, const done&) = default;
};

} // namespace consort
