// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/abi_steps.hpp"

#include "node/plugins/llama/limits.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace consort::llama {
namespace {

error unusable(const std::string& library, const char* code, const std::string& why) {
  return {recovery::refuse, code, library + ": " + why};
}

result<const consort_step_table*> load_table(const std::string& library) {
  // Kept for good: the vendor's threads and exit handlers may outlive any last use.
  void* const object = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    const char* const why = ::dlerror();
    return unusable(library, "library_missing", why == nullptr ? "cannot be loaded" : why);
  }
  void* const symbol = ::dlsym(object, CONSORT_STEP_SYMBOL);
  if (symbol == nullptr)
    return unusable(library, "symbol_missing",
                    "exports no `" CONSORT_STEP_SYMBOL "`, the symbol of the level `step`");
  const auto* const table = reinterpret_cast<consort_step_fn>(symbol)();
  if (table == nullptr)
    return unusable(library, "abi_table", "gave no table");
  // The size first: a smaller table of another ABI may not even have the field.
  if (table->size < offsetof(consort_step_table, abi) + sizeof(table->abi))
    return unusable(library, "abi_table",
                    "gave a table of " + std::to_string(table->size)
                        + " bytes, which is too small");
  if (table->abi != CONSORT_STEP_ABI)
    return unusable(library, "abi_version",
                    "speaks step ABI " + std::to_string(table->abi) + ", this host speaks "
                        + std::to_string(CONSORT_STEP_ABI));
  if (table->size < sizeof(consort_step_table) || table->open == nullptr || table->close == nullptr
      || table->facts == nullptr || table->step == nullptr || table->drop == nullptr)
    return unusable(library, "abi_table", "leaves functions out of its table");
  return table;
}

/// One error line of the vendor's; the last byte is ours, so that it ends even if they forgot to.
class vendor_line {
public:
  char* data() { return text_.data(); }
  [[nodiscard]] std::size_t capacity() const { return text_.size() - 1; }
  /// `status`: what it returned beside it.
  [[nodiscard]] std::string text(int status) const {
    if (text_[0] != '\0')
      return text_.data();
    return status >= CONSORT_OK && status <= CONSORT_BAD_MODEL
               ? "it said nothing"
               : "it said nothing, and status " + std::to_string(status)
                     + ", which the ABI does not know";
  }

private:
  std::array<char, limits::vendor_line_bytes> text_{};
};

/// What overflowed is none to sample from. Engines may bar tokens by minus infinity, but not all.
bool are_numbers(std::span<const float> logits) {
  constexpr auto infinity = std::numeric_limits<float>::infinity();
  bool numbers = true, some = false;
  for (const auto one : logits) {
    numbers = numbers && one < infinity; // False of what is no number as well.
    some = some || one > -infinity;
  }
  return numbers && some;
}

error refusal(int status, const std::string& said) {
  switch (status) {
  case CONSORT_BAD_MODEL: return {recovery::refuse, "bad_model", said};
  case CONSORT_REFUSED: return {recovery::refuse, "invalid_request", said};
  case CONSORT_BUSY: return {recovery::retry_later, "busy", said};
  default: return {recovery::retry_elsewhere, "runtime_failed", said};
  }
}

/// What of its facts cannot be; empty when all can.
std::string facts_fault(const consort_step_facts& told) {
  const auto between = [](const char* what, std::uint64_t value, std::uint64_t most) {
    return what + (" " + std::to_string(value)) + " (from 1 to " + std::to_string(most) + ")";
  };
  if (told.vocabulary == 0)
    return "vocabulary 0 (at least 1)";
  if (told.slots == 0 || told.slots > limits::sequences_max)
    return between("slots", told.slots, limits::sequences_max);
  if (told.context_tokens == 0 || told.context_tokens > limits::context_tokens_max)
    return between("context", told.context_tokens, limits::context_tokens_max);
  if (told.step_tokens < told.slots)
    return "rows in a step " + std::to_string(told.step_tokens) + ", slots "
           + std::to_string(told.slots) + " (at least one for each slot)";
  return {};
}

} // namespace

result<std::unique_ptr<abi_steps>> abi_steps::open(const std::string& library,
                                                   const std::string& config_json) {
  const auto table = load_table(library);
  if (!table)
    return table.failure();
  vendor_line said;
  consort_stepper* stepper = nullptr;
  const int status = (*table)->open(config_json.c_str(), &stepper, said.data(), said.capacity());
  if (status != CONSORT_OK)
    return refusal(status, said.text(status));
  if (stepper == nullptr)
    return error{recovery::retry_elsewhere, "runtime_contract", library + ": open gave no stepper"};
  std::unique_ptr<abi_steps> opened(new abi_steps(*table, stepper));
  if (auto known = opened->read_facts(); !known)
    return known.failure();
  return opened;
}

result<done> abi_steps::read_facts() {
  facts_.size = sizeof facts_;
  const int status = table_->facts(stepper_, &facts_);
  if (status != CONSORT_OK)
    return error{recovery::retry_elsewhere, "runtime_failed",
                 "it did not tell its facts: status " + std::to_string(status)};
  if (const auto fault = facts_fault(facts_); !fault.empty())
    return error{recovery::retry_elsewhere, "runtime_contract",
                 "its facts make no sense: " + fault};
  facts_.step_tokens = std::min(facts_.step_tokens, limits::batch_tokens);
  if (facts_.vocabulary_gguf != nullptr)
    vocabulary_path_ = facts_.vocabulary_gguf;
  return done{};
}

abi_steps::~abi_steps() {
  table_->close(stepper_);
}

step_outcome abi_steps::step(std::span<const step_row> rows, std::string& why) {
  rows_.clear();
  for (const auto& row : rows)
    rows_.push_back({row.token, row.slot, row.position, row.wants_logits ? 1U : 0U});
  logits_.assign(rows.size(), nullptr);
  vendor_line said;
  const int status = table_->step(stepper_, rows_.data(), rows_.size(), logits_.data(), said.data(),
                                  said.capacity());
  if (status == CONSORT_BUSY && interrupted_)
    return step_outcome::interrupted;
  why = said.text(status);
  if (status == CONSORT_BUSY)
    why = "its step was busy though nobody interrupted it: " + why;
  if (status != CONSORT_OK)
    return step_outcome::failed;
  for (std::size_t at = 0; at < rows_.size(); ++at) {
    if (rows_[at].wants_logits == 0)
      continue;
    const bool given = logits_[at] != nullptr;
    if (given && are_numbers(logits(at)))
      continue;
    why = (given ? "its logits are no numbers, in row " : "its step gave no logits for row ")
          + std::to_string(at);
    return step_outcome::failed;
  }
  return step_outcome::done;
}

std::span<const float> abi_steps::logits(std::size_t row) {
  return {logits_[row], facts_.vocabulary};
}

void abi_steps::drop(std::uint32_t slot) {
  table_->drop(stepper_, slot);
}

bool abi_steps::copy(std::uint32_t from, std::uint32_t to) {
  return table_->copy(stepper_, from, to) == CONSORT_OK;
}

void abi_steps::interrupt() {
  interrupted_ = true;
  if (table_->interrupt != nullptr)
    table_->interrupt(stepper_);
}

} // namespace consort::llama
