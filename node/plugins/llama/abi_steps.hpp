// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Steps of a vendor's shared object behind the step-level C ABI (node/plugin_step_abi.h). What it
/// answers is checked against the contract. Lives in its instance's own process (`consort host`),
/// as the level `generate` does: what crashes or hangs there costs that instance and nothing else.
/// Owns the stepper; the object stays loaded.

#include "node/plugin_step_abi.h"
#include "node/plugins/llama/step_engine.hpp"
#include "scheduler/result.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace consort::llama {

class abi_steps final : public step_engine {
public:
  /// Loads the object and opens the model that `config_json` names. Failures: `library_missing`,
  /// `symbol_missing`, `abi_version`, `abi_table`, `runtime_contract`, `bad_model`, and what the
  /// vendor said.
  [[nodiscard]] static result<std::unique_ptr<abi_steps>> open(const std::string& library,
                                                               const std::string& config_json);
  ~abi_steps() override;

  /// Path of the GGUF that the vendor names for its vocabulary; empty = the model itself.
  [[nodiscard]] const std::string& vocabulary_path() const { return vocabulary_path_; }
  [[nodiscard]] std::uint32_t vocabulary() const { return facts_.vocabulary; }

  step_outcome step(std::span<const step_row> rows, std::string& why) override;
  std::span<const float> logits(std::size_t row) override;
  void drop(std::uint32_t slot) override;
  bool copy(std::uint32_t from, std::uint32_t to) override;
  [[nodiscard]] bool copies() const override { return table_->copy != nullptr; }
  [[nodiscard]] std::uint32_t slots() const override { return facts_.slots; }
  [[nodiscard]] std::uint32_t context_tokens() const override { return facts_.context_tokens; }
  [[nodiscard]] std::uint32_t rows_max() const override { return facts_.step_tokens; }
  void interrupt() override;

private:
  abi_steps(const consort_step_table* table, consort_stepper* stepper)
      : table_(table), stepper_(stepper) {}
  [[nodiscard]] result<done> read_facts();

  const consort_step_table* const table_;
  consort_stepper* const stepper_;
  consort_step_facts facts_{};
  std::string vocabulary_path_;
  std::vector<consort_step_row> rows_;
  std::vector<const float*> logits_;
  std::atomic<bool> interrupted_ = false;
};

} // namespace consort::llama
