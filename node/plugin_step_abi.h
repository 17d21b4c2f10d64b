/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The C ABI of a runtime that a vendor ships as a shared object, level `step`: tokens and slots of
 * KV memory in, logits out. For vendors whose runtime computes a model and nothing else: Consort's
 * host brings the tokenizer, the sampler, chat templates, continuous batching, cancelling and
 * resuming, and the answers are those of the level `generate` (plugin_abi.h) on the same logits.
 *
 * The object exports one symbol, `consort_step_runtime`, returning a table that lives as long as
 * the object, and is loaded in a host process of its own, one per loaded instance. Strings are
 * UTF-8, terminated, and borrowed: a callee copies what it keeps.
 *
 * A slot holds the keys and values of one sequence. Positions of a slot grow by one from 0; rows of
 * one step may belong to many slots, and rows of one slot come in order. Statuses are those of
 * plugin_abi.h: after CONSORT_FAILED from `step` every slot is taken for lost and dropped.
 *
 * Threads: one at a time calls into a stepper, but for `interrupt`, which any thread may call.
 *
 * Growth: fields are only appended, and every struct that crosses starts with its own size. A table
 * of another `abi` is refused.
 */
#ifndef CONSORT_PLUGIN_STEP_ABI_H
#define CONSORT_PLUGIN_STEP_ABI_H

#include "plugin_abi.h" /* Beside this one, here and where vendors get them. */

#ifdef __cplusplus
extern "C" {
#endif

#define CONSORT_STEP_ABI 1u
#define CONSORT_STEP_SYMBOL "consort_step_runtime"

/** A loaded model on a device; the runtime's own type. */
typedef struct consort_stepper consort_stepper;

/** What a stepper is. Its strings live as long as it. */
typedef struct consort_step_facts {
  size_t size;             /**< Set by the caller. */
  uint32_t vocabulary;     /**< Tokens, and logits in a row. */
  uint32_t slots;          /**< Sequences computed together. */
  uint32_t context_tokens; /**< Positions in a slot. */
  uint32_t step_tokens;    /**< Most rows in one step. */
  /** Path of a GGUF with the model's vocabulary and chat template (its tensors are not looked at),
   * readable by this process; null = the file that was opened is one. */
  const char* vocabulary_gguf;
} consort_step_facts;

/** One token to be computed. */
typedef struct consort_step_row {
  int32_t token;
  uint32_t slot;
  uint32_t position;
  uint32_t wants_logits; /**< 1 = the logits that follow it are wanted, else 0. */
} consort_step_row;

/** The runtime's functions. Errors put one terminated line into `message` (capacity
 * `message_bytes`). */
typedef struct consort_step_table {
  size_t size;
  uint32_t abi; /**< CONSORT_STEP_ABI */
  const char* name;
  const char* version;

  /** As `open` of plugin_abi.h: the same config, the same statuses. */
  int (*open)(const char* config_json, consort_stepper** out, char* message, size_t message_bytes);
  /** Frees the stepper. */
  void (*close)(consort_stepper* stepper);
  /** Fills in what the caller knows of (facts->size). */
  int (*facts)(consort_stepper* stepper, consort_step_facts* facts);
  /**
   * Computes rows together. logits[i] becomes the logits after row i where it wants them, else
   * null; they stay valid until the next call of `step`. CONSORT_BUSY: interrupted, nothing counts.
   */
  int (*step)(consort_stepper* stepper, const consort_step_row* rows, size_t row_count,
              const float** logits, char* message, size_t message_bytes);
  /** Empties a slot. */
  void (*drop)(consort_stepper* stepper, uint32_t slot);
  /** Makes slot `to`, which is empty, the same as `from`; null = it cannot, and requests of more
   * than one choice are refused. Returns a status. */
  int (*copy)(consort_stepper* stepper, uint32_t from, uint32_t to);
  /** The step that runs should end soon; null = it cannot. */
  void (*interrupt)(consort_stepper* stepper);
} consort_step_table;

/** Type of the exported symbol `consort_step_runtime`. */
typedef const consort_step_table* (*consort_step_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
