// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Consort for applications: one API whatever the device. Devices and policies are texts, so moving
/// from a GPU to an NPU changes a setting and no code (docs/MIGRATING.md). Needs the standard
/// library alone to compile against.
///
/// A client may be used by several threads; each call is a connection of its own. Calls block,
/// every wait has a limit but that for the name service, and nothing throws but std::bad_alloc and
/// callbacks. A client that was moved from may only be assigned to or destroyed.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace consort {

struct client_options {
  std::string url = "http://127.0.0.1:8080";  ///< Of any gateway.
  std::string api_key;                        ///< Empty = none.
  std::chrono::milliseconds timeout{120'000}; ///< Of each silence while waiting.
};

/// Why a call did not do what it was asked to.
struct client_error {
  std::string code;    ///< A word of the server's, or `unreachable`, `broke_off`, `cancelled`,
                       ///< `bad_answer`, `invalid_value` (nothing was sent), `http_STATUS`.
  std::string message; ///< For people.
  int http_status = 0; ///< 0 = no answer.
};

/// Text in, text out.
struct generate_request {
  std::string model;
  std::string prompt;
  std::uint32_t max_tokens = 256;
  std::optional<double> temperature; ///< Nothing = the model's own.
  std::string device = "auto";       ///< A type, an id, a tag: any selector.
  std::string policy;                ///< `latency`, `throughput` ...; empty = the cluster's.
  std::string wait;                  ///< For a load or a build, e.g. `10m`; empty = the cluster's.
};

struct generation {
  std::string text;
  std::string finish_reason;
  std::string device;         ///< Who answered, in the end.
  std::uint32_t attempts = 0; ///< Above 1: devices failed meanwhile, and nobody noticed.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
};

/// A value or why there is none.
template <class T>
class outcome {
public:
  outcome(T value) : value_(std::move(value)) {}                // NOLINT: implicit on purpose.
  outcome(client_error failure) : error_(std::move(failure)) {} // NOLINT: the same.
  [[nodiscard]] explicit operator bool() const { return value_.has_value(); }
  /// Requires: there is one.
  [[nodiscard]] const T& operator*() const { return *value_; }
  [[nodiscard]] const T* operator->() const { return &*value_; }
  /// Requires: there is no value.
  [[nodiscard]] const client_error& error() const { return error_; }

private:
  std::optional<T> value_;
  client_error error_;
};

class client {
public:
  /// Called with each piece of text as it comes; false stops the generation, on the device too.
  using on_text = std::function<bool(std::string_view piece)>;

  explicit client(client_options options = {});
  ~client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;

  /// Makes sure that the model is served and loaded on such a device, building for it where that is
  /// needed, and waits for it. Returns: the device. Setting `*cancel` as below.
  outcome<std::string> load_model(const std::string& model, const std::string& device = "auto",
                                  const std::string& wait = "10m");
  outcome<std::string> load_model(const std::string& model, const std::string& device,
                                  const std::string& wait, const std::atomic<bool>* cancel);
  /// Waits for the whole text.
  outcome<generation> generate(const generate_request& wanted);
  outcome<generation> generate(const generate_request& wanted, const std::atomic<bool>* cancel);
  /// The same piece by piece. Setting `*cancel` from another thread stops it within 0.1 s, on the
  /// device too, also while nothing comes (a load, a build, a queue), but while a name is looked
  /// up: it ends with `cancelled`, unless it was done. `cancel` may be null, and outlives the call.
  outcome<generation> generate(const generate_request& wanted, const on_text& piece,
                               const std::atomic<bool>* cancel = nullptr);
  /// The vectors of the texts, in their order, by such a device.
  outcome<std::vector<std::vector<float>>> embed(const std::string& model,
                                                 const std::vector<std::string>& inputs,
                                                 const std::string& device = "auto");

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace consort
