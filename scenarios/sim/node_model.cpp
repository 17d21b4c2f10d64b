// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/node_model.hpp"

#include "scenarios/sim/node_state.hpp"

#include "scenarios/models/device_claims.hpp"
#include "scenarios/workloads/flat_json.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace consort::sim {

namespace {

device_spec spec_of(const device_model& model, const model_shape& usual, const std::string& node,
                    std::size_t number) {
  auto made = device_spec_of(model, usual);
  made.id = device_id(node + "/" + std::string(model.type) + std::to_string(number));
  made.node = node_id(node);
  made.uuid = "sim-" + made.id.value;
  if (const auto& members = model.stages; !members.empty())
    made.stages
        = {device_id(node + "/" + members.prefill), device_id(node + "/" + members.decode),
           static_cast<std::uint64_t>(members.transfer_gb_per_s * 1e9), members.transfer_us};
  return made;
}

/// What an attempt's body asks for, written by the simulated gateway.
engine_sequence sequence_of(const messages::attempt_open& wanted) {
  engine_sequence made;
  made.attempt = wanted.permission.attempt;
  made.emitted = static_cast<std::uint32_t>(wanted.body.resume.token_ids.size());
  flat_json body;
  const auto wrong = body.read(wanted.body.json);
  assert(wrong.empty());
  const auto number = [&](const char* name) {
    const auto found = body.numbers.find(name);
    return found == body.numbers.end() ? 0 : static_cast<std::uint32_t>(found->second);
  };
  made.prompt_tokens = number("prompt_tokens");
  made.output_tokens = number("max_tokens");
  made.prefix_tokens = number("block_tokens");
  if (const auto found = body.arrays.find("blocks"); found != body.arrays.end())
    made.prefix = std::move(found->second);
  return made;
}

} // namespace

node_model::node_model(node_world world, scenario_node description, address at,
                       random_source chance)
    : world_(world), description_(std::move(description)), at_(at), chance_(chance) {
  // Ids count per type: cpu0, npu0, npu1.
  std::map<std::string_view, std::size_t> numbers;
  // A spec sheet speaks of one model: the largest there is.
  const auto& usual = std::max_element(world_.models.begin(), world_.models.end(),
                                       [](const scenario_model& a, const scenario_model& b) {
                                         return a.weight_bytes < b.weight_bytes;
                                       })
                          ->shape;
  for (const auto& model : description_.devices) {
    device made;
    made.spec = spec_of(*model, usual, description_.name, numbers[model->type]++);
    made.model = model;
    made.requests_left = model->remote.requests_per_min;
    made.tokens_left = static_cast<double>(model->remote.tokens_per_min);
    devices_.push_back(std::move(made));
  }
}

node_model::~node_model() = default;

// --- its process ---

void node_model::start() {
  running_ = true;
  linked_ = true;
  for (auto& one : devices_)
    one.counted_at = world_.heap.now(); // What was off drew nothing.
  world_.links.attach(at_, *this);
  say_hello();
}

void node_model::kill() {
  running_ = paused_ = false;
  drop_all_work();
  deferred_.clear();
  world_.links.detach(at_);
}

void node_model::resume() {
  paused_ = false;
  auto missed = std::move(deferred_);
  deferred_.clear();
  for (auto& what : missed)
    what();
}

void node_model::drop_all_work() {
  // The process may live on after a fence; for its timers it is another one.
  ++process_;
  instances_.clear();
  loading_.clear();
  allocations_.clear();
  streams_.clear();
  staged_.clear();
  honoured_.clear();
  compiling_.clear();
  for (auto& one : devices_)
    one.building.clear();
  hanging_.clear();
  lease_epoch_ = {};
  lease_until_ = 0;
}

void node_model::say_hello() {
  // 0 means "none".
  life_ = incarnation(chance_.bits() | 1U);
  greeted_ = false;
  for (auto& one : devices_)
    one.energy_mj = one.building_mj = one.cost_micros = 0;
  for (auto& one : devices_)
    one.split = core::energy_split(one.spec.spec.idle_mw);
  advertise(false);
  after(world_.lease_us / 3, [this] { renew_lease(); });
  after(limits::report_every_us, [this] { report_devices(); });
}

void node_model::reconnect() {
  if (!running_ || paused_)
    return;
  linked_ = true;
  advertise(greeted_);
  std::set<allocation_id> used;
  for (const auto& [number, one] : instances_) {
    core::replica_found told;
    told.instance = number;
    told.node = node_id(description_.name);
    told.life = life_;
    told.grant = one.grant;
    told.model = one.model;
    told.weights = one.variant.content;
    told.artifact = one.artifact;
    told.endpoints = {one.runs->capacity()};
    told.runtime = device_of(one.leader).spec.capability.runtime;
    tell(told);
    used.insert(one.grant.id);
  }
  // Whoever does not know of the others has them given back.
  for (const auto& [number, grant] : allocations_)
    if (used.count(number) == 0)
      tell(core::allocation_reserved{number, node_id(description_.name), life_, grant.fence});
}

void node_model::advertise(bool returning) {
  core::node_joined hello;
  hello.node = node_id(description_.name);
  hello.life = life_;
  hello.returning = returning;
  for (const auto& one : devices_)
    for (const auto& by : one.spec.capability.build_profiles)
      if (std::find(hello.toolchains.begin(), hello.toolchains.end(), by.profile)
          == hello.toolchains.end())
        hello.toolchains.push_back(by.profile);
  tell(hello);
  // The store is on disk: what an earlier process built is still there. Told first, as by a node.
  for (const auto& [content, record] : store_)
    tell(core::artifact_found{record, life_});
  for (const auto& one : devices_)
    tell(core::device_advertised{one.spec, life_});
}

void node_model::renew_lease() {
  tell(core::lease_renewed{node_id(description_.name), life_});
  after(world_.lease_us / 3, [this] { renew_lease(); });
}

void node_model::report_devices() {
  for (auto& one : devices_)
    tell(report_of(one));
  after(limits::report_every_us, [this] { report_devices(); });
}

core::device_reported node_model::report_of(device& one) {
  for (const auto& [number, grant] : loading_)
    keep_awake(grant);
  core::device_reported report;
  report.device = one.spec.id;
  report.life = life_;
  std::uint64_t used = 0;
  double intensity = 0;
  for (const auto& [number, loaded] : instances_) {
    if (loaded.leader != one.spec.id)
      continue;
    used += loaded.variant.weight_bytes
            + loaded.runs->kv_tokens_used() * loaded.variant.kv_bytes_per_token;
    intensity = std::max(intensity, loaded.runs->intensity());
    one.busy_at = std::max(one.busy_at, loaded.runs->busy_at());
    for (const auto& attempt : attempts_of(number))
      report.running.push_back(attempt);
  }
  // By id, as the wire wants it.
  std::sort(report.running.begin(), report.running.end());
  const auto now = world_.heap.now();
  const auto& model = *one.model;
  const bool asleep = model.sleep_after_us > 0 && now - one.busy_at > model.sleep_after_us;
  const auto floor_mw = static_cast<double>(asleep ? model.sleep_mw : model.idle_mw);
  const auto seconds = static_cast<double>(now - std::exchange(one.counted_at, now)) / 1e6;
  one.energy_mj += floor_mw * seconds;
  one.cost_micros += static_cast<double>(model.cost_micros_per_hour) * seconds / 3'600;
  report.reading.memory_used_bytes = used;
  report.reading.utilization_pm = static_cast<std::uint32_t>(intensity * 1'000);
  const auto builds_mw = model.compile_mw * one.building.size();
  count_builds(one);
  report.reading.power_mw
      = builds_mw
        + static_cast<std::uint64_t>(intensity > 0 ? power_mw(model, intensity) : floor_mw);
  report.reading.energy_mj = static_cast<std::uint64_t>(one.energy_mj + one.building_mj);
  // A compiler's work is on its host, whatever the device runs meanwhile.
  one.split.read(now, static_cast<std::uint64_t>(one.energy_mj));
  report.reading.charged_mj = one.split.charged_mj();
  report.reading.idle_mj = one.split.idle_mj();
  report.reading.cost_micros = static_cast<std::uint64_t>(one.cost_micros);
  report.reading.temperature_mc = temperature_of(one);
  if (one.hot) {
    report.reading.health = device_health::degraded;
    report.reading.health_reason = throttled_words;
  }
  return report;
}

void node_model::tell(core::event happened) {
  if (!linked_)
    return;
  if (world_.links.plain())
    return world_.links.hand_over(at_, scheduler_address, control_channel, std::move(happened));
  const messages::envelope from{.kind = messages::sender_kind::node,
                                .sender = description_.name,
                                .life = life_,
                                .sequence = ++sequence_};
  const auto payload = messages::encode(from, happened);
  assert(payload.ok());
  world_.links.send(at_, scheduler_address, control_channel, messages::frame_kind::event, *payload);
}

const scenario_model& node_model::model_of(const model_name& name) const {
  const auto found
      = std::find_if(world_.models.begin(), world_.models.end(),
                     [&](const scenario_model& one) { return one.name == name.value; });
  assert(found != world_.models.end());
  return *found;
}

node_model::device& node_model::device_of(const device_id& id) {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const device& one) { return one.spec.id == id; });
  assert(found != devices_.end());
  return *found;
}

void node_model::on_frame(address from, channel stream, const messages::frame& received) {
  if (paused_) {
    deferred_.emplace_back([=, this, process = process_] {
      if (process == process_)
        on_frame(from, stream, received);
    });
    return;
  }
  if (received.kind == messages::frame_kind::command) {
    const auto wanted = messages::decode_command(received.payload);
    assert(wanted.ok());
    return obey(wanted->body);
  }
  const auto wanted = messages::decode_attempt_open(received.payload);
  assert(wanted.ok());
  open(stream, wanted->permission, sequence_of(*wanted));
}

void node_model::on_parcel(address from, channel stream, const parcel& received) {
  if (paused_) {
    deferred_.emplace_back([=, this, process = process_] {
      if (process == process_)
        on_parcel(from, stream, received);
    });
    return;
  }
  if (const auto* wanted = std::get_if<core::command>(&received))
    return obey(*wanted);
  const auto& opened = std::get<plain_open>(received);
  engine_sequence sequence;
  sequence.attempt = opened.wanted.permission.attempt;
  sequence.emitted = static_cast<std::uint32_t>(opened.wanted.body.resume.token_ids.size());
  sequence.prompt_tokens = opened.prompt_tokens;
  sequence.output_tokens = opened.output_tokens;
  sequence.prefix = opened.prompt.prefix;
  sequence.prefix_tokens = opened.prompt.prefix_tokens;
  open(stream, opened.wanted.permission, std::move(sequence));
}

void node_model::on_closed(address from, channel stream) {
  if (paused_) {
    deferred_.emplace_back([=, this, process = process_] {
      if (process == process_)
        on_closed(from, stream);
    });
    return;
  }
  if (from == scheduler_address)
    linked_ = false;
  const auto found = std::find_if(streams_.begin(), streams_.end(),
                                  [&](const auto& one) { return one.second == stream; });
  if (found == streams_.end())
    return;
  forget_attempt(found->first);
  streams_.erase(found);
}

// --- attempts ---

std::optional<error> node_model::refusal(const ticket& permission) const {
  const auto stale = [](const char* what) {
    return error{recovery::retry_elsewhere, "stale_ticket", what};
  };
  if (permission.node_incarnation != life_)
    return stale("the ticket names another incarnation");
  if (permission.lease_epoch != lease_epoch_)
    return stale("the ticket names another lease epoch");
  if (lease_until_ < own_time())
    return stale("this node's lease has run out");
  if (permission.expires_at < own_time())
    return stale("the ticket has expired");
  if (std::binary_search(honoured_.begin(), honoured_.end(),
                         std::pair(permission.expires_at, permission.attempt)))
    return stale("the ticket was used before");
  if (instances_.count(permission.instance) == 0)
    return error{recovery::retry_elsewhere, "not_loaded", "the instance is not loaded here"};
  return std::nullopt;
}

std::optional<error> node_model::over_limit(const ticket& permission, std::uint64_t tokens) {
  auto& one = device_of(permission.device);
  const auto& terms = one.model->remote;
  if (terms.requests_per_min == 0 && terms.tokens_per_min == 0)
    return std::nullopt;
  const auto now = world_.heap.now();
  const auto minutes = static_cast<double>(now - std::exchange(one.refilled_at, now)) / 60e6;
  const auto refill
      = [&](double& left, double per_min) { left = std::min(left + per_min * minutes, per_min); };
  refill(one.requests_left, terms.requests_per_min);
  refill(one.tokens_left, static_cast<double>(terms.tokens_per_min));
  if ((terms.requests_per_min > 0 && one.requests_left < 1)
      || (terms.tokens_per_min > 0 && one.tokens_left < static_cast<double>(tokens)))
    return error{recovery::retry_later, "rate_limited", "429 from the remote service"};
  one.requests_left -= 1;
  one.tokens_left -= static_cast<double>(tokens);
  return std::nullopt;
}

void node_model::honour(const ticket& permission) {
  const std::pair used(permission.expires_at, permission.attempt);
  // Near the end: tickets are used in about the order in which they were granted.
  honoured_.insert(std::upper_bound(honoured_.begin(), honoured_.end(), used), used);
  while (honoured_.front().first + limits::honoured_us < own_time())
    honoured_.pop_front();
}

void node_model::open(channel stream, const ticket& permission, engine_sequence sequence) {
  if (auto refused = refusal(permission)) {
    send_event(stream, attempt_aborted{std::move(*refused), false});
    return;
  }
  if (auto storm = stormed(device_of(permission.device)))
    return send_event(stream, std::move(*storm));
  const auto prompt = sequence.prompt_tokens;
  const auto output = sequence.output_tokens;
  auto* const last = decodes_at(permission.instance);
  if (last == nullptr) {
    send_event(stream, attempt_aborted{{recovery::retry_elsewhere, "not_loaded",
                                        "a stage of the plan has no instance of the model"},
                                       false});
    return;
  }
  auto& runs = *last;
  if (prompt >= model_of(permission.model).context_tokens) {
    send_event(stream, attempt_aborted{{recovery::refuse, "context_length_exceeded",
                                        "the prompt leaves no room for an answer in the model's "
                                        "context"},
                                       false});
    return;
  }
  if (auto refused = over_limit(permission, std::uint64_t{prompt} + output)) {
    send_event(stream, attempt_aborted{std::move(*refused), false});
    return;
  }
  // Would wait for ever inside the engine: the request's own fault, the same on every device.
  if (std::uint64_t{prompt} + output > runs.kv_tokens_max()) {
    send_event(stream, attempt_aborted{{recovery::refuse, "context_overflow",
                                        "prompt and output exceed the KV cache"},
                                       false});
    return;
  }
  // Before the work begins: a ticket is spent even if its attempt fails at once.
  honour(permission);
  streams_[permission.attempt] = stream;
  send_event(stream, attempt_opened{prompt, 0});
  begin_work(permission.instance, std::move(sequence));
  const ticket_reception how{life_,
                             lease_epoch_,
                             runs.running(),
                             runs.sequences_max(),
                             runs.kv_tokens_used(),
                             runs.kv_tokens_max(),
                             own_time(),
                             lease_until_};
  world_.watchers.each(
      [&](observer& watcher) { watcher.on_ticket_honoured(permission, how, world_.heap.now()); });
}

void node_model::send_event(channel stream, attempt_event happened) {
  if (world_.links.plain())
    return world_.links.hand_over(at_, gateway_address, stream, std::move(happened));
  const auto payload = messages::encode(happened);
  assert(payload.ok());
  world_.links.send(at_, gateway_address, stream, messages::frame_kind::attempt_event, *payload);
}

void node_model::abort_attempts(instance_id which, const error& why, bool device_fault) {
  for (const auto& attempt : attempts_of(which)) {
    const auto drawn = forget_attempt(attempt);
    // No stream: its client has already left.
    if (const auto found = streams_.find(attempt); found != streams_.end()) {
      send_event(found->second, attempt_aborted{why, device_fault, drawn});
      streams_.erase(found);
    }
  }
}

/// Wherever it is worked on.
std::optional<std::uint64_t> node_model::forget_attempt(const attempt_id& attempt) {
  std::optional<std::uint64_t> drawn_uj = 0;
  if (const auto found = staged_.find(attempt); found != staged_.end()) {
    drawn_uj = found->second.drawn_uj;
    staged_.erase(found);
  }
  for (auto& [number, one] : instances_) {
    if (!one.runs->cancel(attempt))
      continue;
    const auto here_uj = device_of(one.leader).split.end(attempt, world_.heap.now());
    drawn_uj = here_uj && drawn_uj ? std::optional(*drawn_uj + *here_uj) : std::nullopt;
  }
  const auto drawn_mj = energy_mj_of(drawn_uj);
  tell_drawn(attempt, drawn_mj);
  return drawn_mj;
}

void node_model::tell_drawn(const attempt_id& attempt,
                            std::optional<std::uint64_t> energy_mj) const {
  world_.watchers.each(
      [&](observer& watcher) { watcher.on_drawn(attempt, energy_mj, world_.heap.now()); });
}

} // namespace consort::sim
