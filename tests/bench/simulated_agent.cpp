// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/simulated_agent.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/prng.hpp"

#include <chrono>

namespace consort::bench {

namespace {

constexpr auto renew_every = std::chrono::microseconds(core::limits::lease_us / 3);
constexpr std::uint64_t memory_bytes = std::uint64_t{16} << 30;
constexpr std::uint32_t sequences = 256;
constexpr std::uint64_t kv_tokens = 1'000'000;

capacity_figure figure(std::uint64_t value) {
  return {value, figure_source::declared, 0};
}

} // namespace

simulated_agent::simulated_agent(boost::asio::io_context& io, agent_settings settings,
                                 agent_hooks hooks)
    : io_(io), settings_(std::move(settings)), hooks_(std::move(hooks)), renewal_(io) {
  core::prng random(settings_.seed);
  own_.kind = messages::sender_kind::node;
  own_.sender = settings_.name;
  own_.life = incarnation{random.next() | 1};
}

result<done> simulated_agent::start() {
  links::connector_options options;
  options.host = settings_.scheduler_host;
  options.port = settings_.scheduler_port;
  options.credentials = settings_.credentials;
  options.seed = settings_.seed;
  auto started = links::connector::start(
      io_, std::move(options),
      [this](const std::shared_ptr<links::link>& established) { linked(established); },
      [](const error&) {});
  if (!started)
    return started.failure();
  connector_ = std::move(*started);
  renew();
  return done{};
}

void simulated_agent::stop() {
  stopped_ = true;
  welcomed_ = false;
  renewal_.cancel();
  link_ = nullptr;
  connector_ = nullptr;
}

void simulated_agent::linked(std::shared_ptr<links::link> established) {
  link_ = std::move(established);
  link_->start({[this](const messages::frame& incoming) { receive(incoming); },
                [this, which = std::weak_ptr(link_)](const error&) {
                  if (which.lock() == link_) {
                    link_ = nullptr;
                    welcomed_ = false;
                  }
                }});
  say_hello();
}

void simulated_agent::say_hello() {
  const messages::hello greeting{settings_.cluster, settings_.join_token, "consort bench"};
  ++own_.sequence;
  if (const auto payload = messages::encode(own_, greeting); payload && link_)
    link_->send({messages::frame_kind::hello, *payload});
}

void simulated_agent::receive(const messages::frame& incoming) {
  if (incoming.kind == messages::frame_kind::hello_answer) {
    const auto answer = messages::decode_hello_answer(incoming.payload);
    welcomed_ = answer && !answer->body.refusal;
    refusals_ += welcomed_ ? 0 : 1;
    if (!welcomed_)
      return;
    if (hooks_.on_welcome)
      hooks_.on_welcome(answer->body);
    return advertise();
  }
  if (incoming.kind != messages::frame_kind::command)
    return;
  if (const auto command = messages::decode_command(incoming.payload))
    std::visit([this](const auto& what) { obey(what); }, command->body);
}

void simulated_agent::advertise() {
  core::node_joined joined;
  joined.node = node_id{settings_.name};
  joined.life = own_.life;
  joined.data_address = settings_.data_address;
  say(joined);
  for (unsigned at = 0; at < settings_.devices; ++at)
    say(core::device_advertised{device(at), own_.life});
}

void simulated_agent::renew() {
  if (welcomed_)
    say(core::lease_renewed{node_id{settings_.name}, own_.life});
  renewal_.expires_after(renew_every);
  renewal_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed && !stopped_)
      renew();
  });
}

void simulated_agent::say(const core::event& happened) {
  ++own_.sequence;
  if (const auto payload = messages::encode(own_, happened); payload && link_)
    link_->send({messages::frame_kind::event, *payload});
}

bool simulated_agent::report_device() {
  if (!welcomed_)
    return false;
  core::device_reported report;
  report.device = device(next_device_).id;
  report.life = own_.life;
  report.reading.memory_used_bytes = own_.sequence * 4'096 % memory_bytes;
  report.reading.utilization_pm = static_cast<std::uint32_t>(own_.sequence % 1'000);
  report.reading.power_mw = 75'000 + own_.sequence % 25'000;
  report.reading.temperature_mc = 55'000;
  next_device_ = (next_device_ + 1) % settings_.devices;
  say(report);
  return true;
}

device_spec simulated_agent::device(unsigned at) const {
  device_spec spec;
  spec.id = device_id{settings_.name + "/npu" + std::to_string(at)};
  spec.node = node_id{settings_.name};
  spec.type = resource_type::npu;
  spec.vendor = "consort";
  spec.model = "bench-1";
  spec.plugin = "bench";
  spec.uuid = settings_.name + "-" + std::to_string(at);
  spec.simulated = true;
  spec.memory_bytes = memory_bytes;
  spec.capability.max_sequences = sequences;
  spec.capability.runtime = {.resume = resume_support::tokens, .cancel = true};
  if (settings_.serves)
    spec.capability.formats = {"gguf"};
  spec.spec = {.prefill_tokens_per_s = 100'000, .decode_tokens_per_s = 10'000};
  return spec;
}

capacity_vector simulated_agent::capacity() const {
  capacity_vector all;
  all.sequences = figure(sequences);
  all.kv_tokens = figure(kv_tokens);
  return all;
}

void simulated_agent::obey(const core::grant_lease& lease) {
  if (hooks_.on_lease && lease.life == own_.life)
    hooks_.on_lease(lease);
}

void simulated_agent::obey(const core::fence_node& fence) {
  if (fence.life != own_.life)
    return;
  own_.life = incarnation{core::prng(own_.life.value).next() | 1};
  welcomed_ = false;
  say_hello();
}

void simulated_agent::obey(const core::reserve_allocation& reserve) {
  say(core::allocation_reserved{reserve.grant.id, reserve.node, own_.life, reserve.grant.fence});
}

void simulated_agent::obey(const core::load_replica& load) {
  core::replica_loaded ready;
  ready.instance = load.instance;
  ready.life = own_.life;
  ready.endpoints.push_back(capacity());
  ready.runtime = {.resume = resume_support::tokens, .cancel = true};
  ready.load_us = 1'000;
  say(ready);
}

void simulated_agent::obey(const core::unload_replica& unload) {
  say(core::replica_unloaded{unload.instance, own_.life});
}

} // namespace consort::bench
