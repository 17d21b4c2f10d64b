// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/core_world.hpp"

namespace consort::core {

namespace {

constexpr std::uint32_t sequences = 8;
constexpr std::uint64_t devices_per_node = 16;

core_config settings(const world_shape& shape) {
  core_config made;
  made.queue_max = shape.queue_max;
  made.queue_timeout_us = 3'600 * limits::second_us;
  made.policy = policy_name{shape.policy};
  if (!shape.explains)
    made.explained_max = 0;
  return made;
}

model_spec story() {
  model_spec model;
  model.name = model_name{"storyteller"};
  auto& variant = model.variants.emplace_back();
  variant.format = "gguf";
  variant.content = digest{std::string(64, 'a')};
  variant.weight_bytes = 1 << 20U;
  variant.kv_bytes_per_token = 1'024;
  variant.context_tokens = 4'096;
  return model;
}

} // namespace

core_world::core_world(const world_shape& shape) : shape_(shape), core_(settings(shape)) {
  feed(model_declared{story()});
  for (std::uint64_t each = 0; each < shape_.devices; ++each)
    add_device(each);
  const auto replicas = shape_.replicas == 0 ? shape_.devices : shape_.replicas;
  for (std::uint64_t each = 0; each < replicas; ++each)
    add_replica(each);
}

void core_world::feed(const event& happened) {
  out_.clear();
  core_.step(happened, ++now_, out_);
}

void core_world::add_device(std::uint64_t number) {
  const node_id node{"n" + std::to_string(number / devices_per_node)};
  if (number % devices_per_node == 0) {
    nodes_.push_back(node);
    feed(node_joined{node, incarnation{1}, "10.0.0.1:4281", {}, {}});
  }
  device_spec spec;
  spec.id = device_id{node.value + "/gpu" + std::to_string(number % devices_per_node)};
  spec.node = node;
  spec.type = resource_type::gpu;
  const auto kinds = shape_.kinds;
  spec.model = "sku" + std::to_string(number % (kinds == 0 ? 7 : kinds));
  spec.memory_bytes = std::uint64_t{1} << 34U;
  spec.capability.formats = {"gguf"};
  spec.capability.max_sequences = sequences;
  prng of_kind(kinds == 0 ? 0 : 1 + number % kinds);
  auto& chance = kinds == 0 ? chance_ : of_kind;
  spec.spec.prefill_tokens_per_s = 10'000 + chance.below(20'000);
  spec.spec.decode_tokens_per_s = 50 + chance.below(150);
  spec.spec.decode_batch_gain_pm = 50;
  spec.spec.tdp_mw = 300'000 + chance.below(400'000);
  spec.spec.cost_micros_per_hour = 1'000'000 + chance.below(3'000'000);
  feed(device_advertised{spec, incarnation{1}});
}

/// As its node tells of it after a scheduler's restart: nothing has to be loaded.
void core_world::add_replica(std::uint64_t number) {
  const auto& node = nodes_[number / devices_per_node];
  replica_found told;
  told.instance = instance_id{1 + number};
  told.life = incarnation{1};
  told.grant.id = allocation_id{100'000'000 + number};
  told.grant.fence = epoch{1};
  told.grant.owner_instance = told.instance;
  told.grant.state = allocation_state::granted;
  told.grant.shares = {{device_id{node.value + "/gpu" + std::to_string(number % devices_per_node)},
                        false, std::uint64_t{1} << 30U}};
  told.model = model_name{"storyteller"};
  told.weights = digest{std::string(64, 'a')};
  auto& endpoint = told.endpoints.emplace_back();
  endpoint.sequences.value = sequences;
  feed(told);
}

bool core_world::submit() {
  request_meta meta;
  meta.id = {gateway_id{1}, ++sequence_};
  meta.external_id = "request-" + std::to_string(sequence_);
  meta.model = model_name{"storyteller"};
  meta.prompt_tokens = static_cast<std::uint32_t>(16 + chance_.below(2'000));
  meta.max_tokens = static_cast<std::uint32_t>(1 + chance_.below(256));
  const auto topic = chance_.below(64);
  for (std::uint64_t block = 0; block < shape_.prefix_blocks; ++block)
    meta.prefix_blocks.push_back(mix(
        block < shape_.prefix_blocks / 2 ? topic * 100'000 + block : sequence_ * 100'000 + block));
  feed(request_submitted{std::move(meta)});
  const auto before = running_.size();
  start_granted();
  return running_.size() > before;
}

void core_world::finish_one() {
  attempt_measurement measured;
  measured.usage = {1'000, 100, 0};
  measured.first_token_us = static_cast<duration_us>(20'000 + chance_.below(60'000));
  measured.total_us = measured.first_token_us + static_cast<duration_us>(chance_.below(900'000));
  measured.batch = 1;
  if (running_.empty())
    return feed(tick{}); // Everything waits; the counter `running` tells.
  feed(attempt_finished{running_.front(), measured});
  running_.pop_front();
  start_granted();
}

void core_world::keep_alive() {
  for (const auto& node : nodes_)
    feed(lease_renewed{node, incarnation{1}});
}

void core_world::start_granted() {
  granted_.clear();
  for (const auto& one : out_)
    if (const auto* granted = std::get_if<grant_ticket>(&one))
      granted_.push_back(granted->granted.attempt);
  for (const auto& attempt : granted_) {
    running_.push_back(attempt);
    feed(attempt_started{attempt});
  }
}

} // namespace consort::core
