// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Engines on other devices that take part in every step of a batch loop: each computes the same
/// batch on a copy of the same model and gives its share of the logits. Implemented by a runtime
/// that spans devices; called from the loop's thread only. What it does when one of them is gone is
/// its own affair: it never returns from a step without every share.

#include <llama.h>

namespace consort::llama {

class step_peers {
public:
  virtual ~step_peers() = default;
  /// Before a step: they start to compute the batch.
  virtual void begin_step(const llama_batch& batch) = 0;
  /// After our own part: puts their shares over ours in the context's logits.
  virtual void finish_step(llama_context& context, const llama_batch& batch) = 0;
  /// The step failed here: their answers are of no use.
  virtual void drop_step() = 0;
  /// Changes of KV memory, as ours changes.
  virtual void forget_sequence(llama_seq_id sequence) = 0;
  virtual void copy_sequence(llama_seq_id from, llama_seq_id to) = 0;
  virtual void forget_all() = 0;
};

} // namespace consort::llama
