// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/rank_engine.hpp"

#include "node/plugins/reference/limits.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace consort::reference {
namespace {

constexpr int rank_gone_exit = 71; // EX_OSERR: not the request's fault.

error not_a_rank(const std::string& why) {
  return {recovery::retry_elsewhere, "rank_gone", "not a rank of this engine: " + why};
}

template <class T>
std::vector<T> values_in(const std::vector<char>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

std::size_t rows_wanted(const llama_batch& batch) {
  return static_cast<std::size_t>(std::count_if(batch.logits, batch.logits + batch.n_tokens,
                                                [](auto one) { return one != 0; }));
}

std::size_t words_in(const llama_context& context) {
  return static_cast<std::size_t>(
      llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(&context))));
}

} // namespace

void end_with_rank(const std::string& why) {
  std::fprintf(stderr, "refnpu: %s; an engine over several devices ends with any of them\n",
               why.c_str());
  std::fflush(stderr);
  _exit(rank_gone_exit);
}

// --- a further rank ---

rank_worker::rank_worker(llama::loaded_engine engine, rank_link link, rank_hello who)
    : engine_(std::move(engine)),
      batch_(static_cast<std::int32_t>(llama::limits::batch_tokens)),
      link_(std::move(link)),
      who_(who),
      thread_([this] { run(); }) {}

rank_worker::~rank_worker() {
  closing_ = true;
  link_.shut();
  thread_.join();
}

std::uint64_t rank_worker::memory_bytes() const {
  return llama_model_size(engine_.model.get())
         + llama::kv_bytes_of(*engine_.model, engine_.context_tokens, engine_.sequences);
}

void rank_worker::run() {
  auto outcome = link_.send(rank_frame::hello, &who_, sizeof who_);
  while (outcome) {
    const auto order = link_.receive(-1);
    outcome = order ? obey(*order) : result<done>(order.failure());
  }
  if (!closing_)
    end_with_rank(outcome.failure().message);
}

result<done> rank_worker::obey(const rank_link::frame& order) {
  auto* const memory = llama_get_memory(engine_.context.get());
  const auto sequences = values_in<std::int32_t>(order.bytes);
  const auto known = [&](std::size_t at) {
    return at < sequences.size() && sequences[at] >= 0
           && static_cast<std::uint32_t>(sequences[at]) < engine_.sequences;
  };
  switch (order.kind) {
  case rank_frame::step: return step(order.bytes);
  case rank_frame::forget_all: llama_memory_clear(memory, true); return done{};
  case rank_frame::forget:
    if (!known(0))
      return not_a_rank("it forgets a sequence that is none");
    llama_memory_seq_rm(memory, sequences[0], -1, -1);
    return done{};
  case rank_frame::copy:
    if (!known(0) || !known(1))
      return not_a_rank("it copies a sequence that is none");
    llama_memory_seq_cp(memory, sequences[0], sequences[1], -1, -1);
    return done{};
  case rank_frame::hello:
  case rank_frame::logits: break;
  }
  return not_a_rank("the leader answers instead of asking");
}

result<done> rank_worker::step(const std::vector<char>& bytes) {
  const auto rows = values_in<rank_row>(bytes);
  const auto words = words_in(*engine_.context);
  batch_.clear();
  for (const auto& row : rows) {
    const bool sound
        = batch_.room() > 0 && row.token >= 0 && static_cast<std::size_t>(row.token) < words
          && row.position >= 0 && static_cast<std::uint32_t>(row.position) < engine_.context_tokens
          && row.sequence >= 0 && static_cast<std::uint32_t>(row.sequence) < engine_.sequences;
    if (!sound)
      return not_a_rank("a step that no engine of this size computes");
    batch_.add(row.token, row.position, row.sequence, row.wants_logits != 0);
  }
  std::vector<float> share;
  if (!rows.empty() && llama_decode(engine_.context.get(), batch_.raw()) == 0) {
    const auto [begin, end] = words_of(who_.shard, who_.degree, words);
    for (std::size_t at = 0; at < rows.size(); ++at) {
      if (rows[at].wants_logits == 0)
        continue;
      const float* const row
          = llama_get_logits_ith(engine_.context.get(), static_cast<std::int32_t>(at));
      share.insert(share.end(), row + begin, row + end);
    }
  }
  ++steps_;
  return link_.send(rank_frame::logits, share.data(), share.size() * sizeof(float));
}

// --- the leader ---

result<done> rank_group::join(rank_link link) {
  const auto said = link.receive(limits::rank_step_ms);
  if (!said)
    return said.failure();
  if (said->kind != rank_frame::hello || said->bytes.size() != sizeof(rank_hello))
    return not_a_rank("it does not say hello");
  rank_hello who;
  std::memcpy(&who, said->bytes.data(), sizeof who);
  auto like_us = who;
  like_us.shard = expected_.shard;
  if (std::memcmp(&like_us, &expected_, sizeof like_us) != 0 || who.shard == 0
      || who.shard >= expected_.degree)
    return not_a_rank("another engine, or cut another way");
  if (std::any_of(members_.begin(), members_.end(),
                  [&](const member& one) { return one.shard == who.shard; }))
    return not_a_rank("share " + std::to_string(who.shard) + " is here already");
  members_.push_back({std::move(link), who.shard});
  return done{};
}

result<done> rank_group::meet(const std::string& master) {
  if (members_.size() + 1 == expected_.degree)
    return done{};
  if (master.empty())
    return not_a_rank("devices are missing, and there is no place to meet others");
  auto door = rank_door::open(master);
  if (!door)
    return door.failure();
  const auto until
      = std::chrono::steady_clock::now() + std::chrono::milliseconds(limits::rank_meet_ms);
  while (members_.size() + 1 < expected_.degree) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    auto link = door->accept(static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (!link)
      return link.failure();
    if (const auto joined = join(*std::move(link)); !joined)
      std::fprintf(stderr, "refnpu: turned away: %s\n", joined.failure().message.c_str());
  }
  return done{};
}

void rank_group::tell_all(rank_frame kind, const void* bytes, std::size_t count) {
  for (auto& one : members_)
    if (const auto sent = one.link.send(kind, bytes, count); !sent)
      end_with_rank(sent.failure().message);
}

void rank_group::begin_step(const llama_batch& batch) {
  std::vector<rank_row> rows;
  for (std::int32_t at = 0; at < batch.n_tokens; ++at)
    rows.push_back({batch.token[at], batch.pos[at], batch.seq_id[at][0], batch.logits[at]});
  tell_all(rank_frame::step, rows.data(), rows.size() * sizeof(rank_row));
}

std::vector<float> rank_group::share_of(member& from, std::size_t rows) {
  const auto answer = from.link.receive(limits::rank_step_ms);
  if (!answer)
    end_with_rank(answer.failure().message);
  const auto [begin, end] = words_of(from.shard, expected_.degree, expected_.words);
  auto share = values_in<float>(answer->bytes);
  if (answer->kind != rank_frame::logits || share.size() != rows * (end - begin))
    end_with_rank("rank of share " + std::to_string(from.shard) + " could not compute a step");
  return share;
}

void rank_group::finish_step(llama_context& context, const llama_batch& batch) {
  const auto rows = rows_wanted(batch);
  for (auto& one : members_) {
    const auto share = share_of(one, rows);
    const auto [begin, end] = words_of(one.shard, expected_.degree, expected_.words);
    const float* next = share.data();
    for (std::int32_t at = 0; at < batch.n_tokens; ++at) {
      if (batch.logits[at] == 0)
        continue;
      std::copy(next, next + (end - begin), llama_get_logits_ith(&context, at) + begin);
      next += end - begin;
    }
  }
}

void rank_group::drop_step() {
  for (auto& one : members_)
    if (const auto answer = one.link.receive(limits::rank_step_ms); !answer)
      end_with_rank(answer.failure().message);
}

void rank_group::forget_sequence(llama_seq_id sequence) {
  tell_all(rank_frame::forget, &sequence, sizeof sequence);
}

void rank_group::copy_sequence(llama_seq_id from, llama_seq_id to) {
  const llama_seq_id both[2] = {from, to};
  tell_all(rank_frame::copy, both, sizeof both);
}

void rank_group::forget_all() {
  tell_all(rank_frame::forget_all, nullptr, 0);
}

} // namespace consort::reference
