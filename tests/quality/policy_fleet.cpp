// SPDX-License-Identifier: Apache-2.0
#include "tests/quality/policy_fleet.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace consort::quality {

namespace {

// Llama-3.1-8B in 16 bits.
constexpr double parameters = 8e9, weight_bytes = 16e9, kv_bytes = 131'072;
constexpr double compute_share = 0.45, weights_share = 0.8, kv_share = 0.7; ///< Of the peaks.
constexpr double step_overhead_us = 2'500;
constexpr double memory_share = 0.9;
constexpr double price_guess = 0.6;
constexpr duration_us report_us = 250'000;

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> made;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');)
    made.push_back(cell);
  return made;
}

double number(const std::string& text) {
  return std::strtod(text.c_str(), nullptr);
}

/// Seconds of a time of day, or of a plain number.
double seconds_of(const std::string& text) {
  const auto clock = text.find(':');
  if (clock == std::string::npos)
    return number(text);
  const auto from = clock >= 2 ? clock - 2 : 0;
  return number(text.substr(from, 2)) * 3'600 + number(text.substr(clock + 1, 2)) * 60
         + number(text.substr(clock + 4));
}

/// The number behind `"name":` of a flat JSON line.
double field(const std::string& line, const std::string& name) {
  const auto at = line.find('"' + name + '"');
  return at == std::string::npos ? 0 : number(line.substr(line.find(':', at) + 1));
}

arrival mooncake(const std::string& line) {
  arrival made;
  made.at = static_cast<time_us>(field(line, "timestamp") * 1e3);
  made.prompt = static_cast<std::uint32_t>(field(line, "input_length"));
  made.output = static_cast<std::uint32_t>(field(line, "output_length"));
  std::istringstream ids(line.substr(line.find('[') + 1));
  for (std::string id; std::getline(ids, id, ',');)
    made.blocks.push_back(1 + std::strtoull(id.c_str(), nullptr, 10));
  return made;
}

} // namespace

std::vector<chip> read_chips(const std::string& path) {
  std::vector<chip> made;
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    const auto at = cells(line);
    if (at.size() < 9)
      continue;
    chip one;
    one.name = at[0];
    one.kind = at[1];
    one.memory_gb = number(at[2]);
    one.bandwidth_gbps = number(at[3]);
    one.tflops = number(at[4]);
    one.tdp_w = number(at[6]);
    one.idle_w = number(at[7]);
    one.price = number(at[8]);
    one.idle_w = one.idle_w > 0 ? one.idle_w : one.tdp_w / 4;
    one.price = one.price > 0 ? one.price : price_guess;
    made.push_back(one);
  }
  return made;
}

std::vector<arrival> read_arrivals(const std::string& path, std::size_t count_max) {
  std::vector<arrival> made;
  std::ifstream in(path);
  std::string line;
  double first = -1;
  while (made.size() < count_max && std::getline(in, line)) {
    if (!line.empty() && line.front() == '{') {
      made.push_back(mooncake(line));
      continue;
    }
    const auto at = cells(line);
    if (at.size() < 3 || number(at[1]) <= 0)
      continue;
    const auto when = seconds_of(at[0]);
    first = first < 0 ? when : first;
    made.push_back({static_cast<time_us>((when - first) * 1e6),
                    static_cast<std::uint32_t>(number(at[1])),
                    std::max<std::uint32_t>(1, static_cast<std::uint32_t>(number(at[2]))),
                    {}});
  }
  return made;
}

engine::engine(const chip& from) : chip_(from) {
  const auto left = chip_.memory_gb * 1e9 * memory_share - weight_bytes;
  kv_tokens_ = left > 0 ? static_cast<std::uint64_t>(left / kv_bytes) : 0;
  cache_blocks_ = kv_tokens_ / block_tokens / 2;
  sequences_max_ = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(kv_tokens_ / 2'048, 1, 64));
  chunk_max_ = chip_.tflops >= 300 ? 2'048 : 512;
}

speed_spec engine::sheet() const {
  speed_spec made;
  const auto alone_us = weight_bytes / (chip_.bandwidth_gbps * 1e3);
  made.prefill_tokens_per_s = static_cast<std::uint64_t>(chip_.tflops * 1e12 / (2 * parameters));
  made.decode_tokens_per_s = static_cast<std::uint64_t>(std::max(1e6 / alone_us, 1.0));
  made.decode_batch_gain_pm = 10;
  made.load_us = 10'000'000;
  made.tdp_mw = static_cast<std::uint64_t>(chip_.tdp_w * 1e3);
  made.idle_mw = static_cast<std::uint64_t>(chip_.idle_w * 1e3);
  made.cost_micros_per_hour = static_cast<std::uint64_t>(chip_.price * 1e6);
  return made;
}

std::uint32_t engine::cached_tokens(const arrival& work) const {
  std::uint32_t held = 0;
  for (const auto block : work.blocks) {
    if (places_.count(block) == 0)
      break;
    held += block_tokens;
  }
  return std::min(held, work.prompt - 1);
}

void engine::remember(const std::vector<std::uint64_t>& blocks) {
  // The end first, so that a beginning is forgotten last.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    if (const auto known = places_.find(*block); known != places_.end())
      recent_.erase(known->second);
    recent_.push_front(*block);
    places_[*block] = recent_.begin();
  }
  while (recent_.size() > cache_blocks_) {
    places_.erase(recent_.back());
    recent_.pop_back();
  }
}

void engine::take(std::size_t request, const arrival& work, time_us now) {
  sequence one;
  one.request = request;
  one.cached = cached_tokens(work);
  one.fresh_left = work.prompt - one.cached;
  one.output = work.output;
  one.context = work.prompt;
  one.blocks = work.blocks;
  one.told_at = now;
  remember(work.blocks);
  prompts_.push_back(std::move(one));
  if (step_end_)
    return;
  const auto slept = asleep_us(now - idle_since_);
  asleep_us_ += slept;
  begin_step(now);
  if (slept > 0) {
    *step_end_ += chip_.wake_us;
    busy_us_ += chip_.wake_us;
  }
}

void engine::begin_step(time_us now) {
  step_end_.reset();
  if (prompts_.empty() && running_.empty())
    return;
  const bool room = running_.size() < sequences_max_;
  chunk_ = prompts_.empty() || !room ? 0 : std::min(prompts_.front().fresh_left, chunk_max_);
  double context = 0;
  for (const auto& one : running_)
    context += one.context + one.done;
  const auto tokens = static_cast<double>(chunk_) + static_cast<double>(running_.size());
  const auto compute_us = token_compute_us() * tokens;
  // Attention of the chunk over what was read before it.
  const auto read = chunk_ == 0 ? 0. : prompts_.front().context - prompts_.front().fresh_left / 2.;
  const auto span = static_cast<duration_us>(step_overhead_us + std::max(compute_us, weights_us())
                                             + kv_read_us(context) + attention_us(chunk_, read));
  step_end_ = now + std::max<duration_us>(span, 1);
  busy_us_ += *step_end_ - now;
}

void engine::step(std::vector<engine_event>& happened) {
  using kind = engine_event::kind;
  const auto now = *step_end_;
  const auto batch = static_cast<std::uint32_t>(running_.size() + (chunk_ > 0 ? 1 : 0));
  for (std::size_t at = 0; at < running_.size();) {
    auto& one = running_[at];
    ++one.done;
    if (one.done >= one.output) {
      happened.push_back({kind::finished, one.request, one.done, one.cached, batch});
      one = std::move(running_.back());
      running_.pop_back();
      continue;
    }
    if (now - one.told_at >= report_us) {
      one.told_at = now;
      happened.push_back({kind::progress, one.request, one.done, one.cached, batch});
    }
    ++at;
  }
  if (chunk_ > 0) {
    auto& front = prompts_.front();
    front.fresh_left -= chunk_;
    if (front.fresh_left == 0) {
      front.done = 1;
      front.told_at = now;
      happened.push_back({kind::first_token, front.request, 1, front.cached, batch});
      if (front.output <= 1)
        happened.push_back({kind::finished, front.request, 1, front.cached, batch});
      else
        running_.push_back(std::move(front));
      prompts_.pop_front();
    }
  }
  begin_step(now);
  if (!step_end_)
    idle_since_ = now;
}

duration_us engine::asleep_us(duration_us idle_us) const {
  return chip_.sleep_after_us == 0 ? 0 : std::max<duration_us>(idle_us - chip_.sleep_after_us, 0);
}

double engine::joules(time_us now) const {
  const auto busy = busy_us_ - (step_end_ ? *step_end_ - now : 0);
  const auto asleep = asleep_us_ + (step_end_ ? 0 : asleep_us(now - idle_since_));
  return (chip_.tdp_w * static_cast<double>(busy) + chip_.sleep_w * static_cast<double>(asleep)
          + chip_.idle_w * static_cast<double>(now - busy - asleep))
         / 1e6;
}

double engine::step_floor_us() const {
  return step_overhead_us + weights_us();
}

double engine::weights_us() const {
  return weight_bytes / (chip_.bandwidth_gbps * 1e3 * weights_share);
}

double engine::token_compute_us() const {
  return 2 * parameters / (chip_.tflops * 1e6 * compute_share);
}

double engine::kv_read_us(double tokens) const {
  return tokens * kv_bytes / (chip_.bandwidth_gbps * 1e3 * kv_share);
}

double engine::attention_us(double chunk, double read) const {
  return 4. * 32 * 4'096 * chunk * read / (chip_.tflops * 1e6 * compute_share);
}

} // namespace consort::quality
