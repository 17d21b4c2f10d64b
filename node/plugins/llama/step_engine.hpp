// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What computes a model step by step, as the batch loop wants it: rows of tokens in, logits out,
/// one slot of KV memory per sequence. llama.cpp is one (llama_steps.hpp), a vendor's shared object
/// of the step-level C ABI another (abi_steps.hpp). Used by one thread, interrupt() by any.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace consort::llama {

struct step_row {
  std::int32_t token = 0;
  std::uint32_t slot = 0;
  std::uint32_t position = 0;
  bool wants_logits = false;
  std::uint32_t adapter = 0; ///< LoRA adapter, counted from 1; 0 = the model alone.
};

enum class step_outcome : std::uint8_t { done, interrupted, failed };

class step_engine {
public:
  virtual ~step_engine() = default;

  /// Computes rows together, at most rows_max() of them; of one slot in order of position, all with
  /// the same adapter. `why`
  /// says what failed; then the content of every slot is in doubt.
  [[nodiscard]] virtual step_outcome step(std::span<const step_row> rows, std::string& why) = 0;
  /// After a row of the latest step that wanted them. Valid until the next step.
  [[nodiscard]] virtual std::span<const float> logits(std::size_t row) = 0;
  /// Empties a slot.
  virtual void drop(std::uint32_t slot) = 0;
  /// Makes an empty slot the same as another. Requires: copies(). Returns: false when it failed.
  virtual bool copy(std::uint32_t from, std::uint32_t to) = 0;
  [[nodiscard]] virtual bool copies() const = 0;
  [[nodiscard]] virtual std::uint32_t slots() const = 0;
  [[nodiscard]] virtual std::uint32_t context_tokens() const = 0; ///< Positions in a slot.
  [[nodiscard]] virtual std::uint32_t rows_max() const = 0;
  /// The step under way, and all that follow, end soon.
  virtual void interrupt() = 0;
};

} // namespace consort::llama
