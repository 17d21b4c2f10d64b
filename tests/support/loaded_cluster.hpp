// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A core_fixture with one model loaded on every device given: what tests of policies begin with.

#include "tests/support/core_fixture.hpp"

#include <set>

namespace consort::core::testing {

/// Of the CPU of node `local`: bytes of its memory in use, and no more.
inline device_reported reading(const core_fixture& t, std::uint64_t used) {
  device_reported said;
  said.device = device_id{"local/cpu0"};
  said.life = t.life_of("local");
  said.reading.memory_used_bytes = used;
  return said;
}

class loaded_cluster : public core_fixture {
public:
  explicit loaded_cluster(const std::vector<device_spec>& devices, core_config config = quiet(),
                          std::uint64_t kv_tokens = 1'000'000)
      : core_fixture(std::move(config)) {
    join("local");
    for (const auto& one : devices)
      advertise(one);
    auto model = story_spec();
    model.variants[0].context_tokens = 0;
    model.replicas_min = static_cast<std::uint32_t>(devices.size());
    declare(model);
    std::size_t loads = 0;
    while (loads < devices.size() && !::testing::Test::HasFatalFailure()) {
      for (const auto& asked : take_all<reserve_allocation>())
        feed(reserved(asked));
      const auto ordered = take_all<load_replica>();
      for (const auto& load : ordered)
        loaded(load, sequences_of(devices, load), kv_tokens);
      loads += ordered.size();
      if (ordered.empty())
        break;
    }
    drop_all();
  }

  /// Submits it. Returns: the ticket, or one without a device when it waits.
  grant_ticket ask(const request_meta& meta) {
    submit(meta);
    const auto granted = take_all<grant_ticket>();
    drop_all();
    return granted.empty() ? grant_ticket{} : granted.front();
  }
  /// A request of 100 prompt tokens and at most 50 more, by the policy.
  request_meta by(const std::string& policy) {
    auto meta = request();
    meta.policy = policy_name{policy};
    return meta;
  }
  /// Device that gets such a request.
  std::string device_for(const request_meta& meta) { return ask(meta).granted.device.value; }

private:
  /// As many as the device says that it decodes together.
  static std::uint64_t sequences_of(const std::vector<device_spec>& devices,
                                    const load_replica& load) {
    for (const auto& one : devices)
      if (one.id == load.grant.shares.front().device)
        return one.capability.max_sequences;
    return 1;
  }
};

/// `count` devices of one kind.
inline std::vector<device_spec> alike(int count) {
  std::vector<device_spec> made;
  for (int number = 0; number < count; ++number)
    made.push_back(cpu_spec("local", number));
  return made;
}

/// A fast, hungry and dear device.
inline device_spec fast_spec() {
  auto made = cpu_spec("local", 10);
  made.id = device_id{"local/gpu0"};
  made.type = resource_type::gpu;
  made.model = "fast";
  made.capability.max_sequences = 16;
  made.spec.prefill_tokens_per_s = 20'000;
  made.spec.decode_tokens_per_s = 100;
  made.spec.decode_batch_gain_pm = 50;
  made.spec.tdp_mw = 700'000;
  made.spec.idle_mw = 100'000;
  made.spec.cost_micros_per_hour = 3'000'000;
  return made;
}

/// A slower, frugal and cheap one.
inline device_spec frugal_spec() {
  auto made = fast_spec();
  made.id = device_id{"local/npu0"};
  made.type = resource_type::npu;
  made.model = "frugal";
  made.spec.prefill_tokens_per_s = 4'000;
  made.spec.decode_tokens_per_s = 40;
  made.spec.tdp_mw = 70'000;
  made.spec.idle_mw = 10'000;
  made.spec.cost_micros_per_hour = 300'000;
  return made;
}

} // namespace consort::core::testing
