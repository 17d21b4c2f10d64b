// SPDX-License-Identifier: Apache-2.0
#include "links/muted.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <map>

namespace consort::links {

namespace asio = boost::asio;

namespace {

// Where things are in a packet, from its network header.
constexpr std::uint32_t network = static_cast<std::uint32_t>(SKF_NET_OFF);
constexpr std::uint32_t v4_source = network + 12;
constexpr std::uint32_t v6_source = network + 8;
constexpr std::uint32_t version_mask = 0xF0;
constexpr std::uint32_t version_6 = 0x60;
constexpr std::uint32_t drop = 0;
constexpr std::uint32_t pass = 0xFFFFFFFF;
/// At least so far apart are changes of the filter that only let addresses go.
constexpr std::chrono::milliseconds sweep_every{50};

constexpr sock_filter op(int code, std::uint32_t value) {
  return {static_cast<std::uint16_t>(code), 0, 0, value};
}
constexpr sock_filter load_byte(std::uint32_t at) {
  return op(BPF_LD | BPF_B | BPF_ABS, at);
}
constexpr sock_filter load_word(std::uint32_t at) {
  return op(BPF_LD | BPF_W | BPF_ABS, at);
}
constexpr sock_filter leave(std::uint32_t verdict) {
  return op(BPF_RET | BPF_K, verdict);
}
/// Goes on with the next if equal, else skips so many.
constexpr sock_filter unless_equal_skip(std::uint32_t value, std::uint8_t skipped) {
  return {BPF_JMP | BPF_JEQ | BPF_K, 0, skipped, value};
}

std::uint32_t word_of(const asio::ip::address_v6::bytes_type& bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16
         | std::uint32_t{bytes[at + 2]} << 8 | std::uint32_t{bytes[at + 3]};
}

/// What a filter tells apart: an IPv4 address as such, of an IPv6 one its network.
asio::ip::address heard_as(const asio::ip::address& address) {
  if (address.is_v4())
    return address;
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, v6);
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + bytes.size() / 2, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6(bytes);
}

} // namespace

std::vector<sock_filter> muting_filter(const std::vector<asio::ip::address>& muted) {
  std::vector<sock_filter> v4 = {load_word(v4_source)};
  std::vector<sock_filter> v6;
  for (const auto& address : muted) {
    if (address.is_v4()) {
      v4.push_back(unless_equal_skip(address.to_v4().to_uint(), 1));
      v4.push_back(leave(drop));
      continue;
    }
    const auto bytes = address.to_v6().to_bytes();
    v6.push_back(load_word(v6_source));
    v6.push_back(unless_equal_skip(word_of(bytes, 0), 3));
    v6.push_back(load_word(v6_source + 4));
    v6.push_back(unless_equal_skip(word_of(bytes, 4), 1));
    v6.push_back(leave(drop));
  }
  v4.push_back(leave(pass));
  v6.push_back(leave(pass));
  std::vector<sock_filter> out = {load_byte(network), op(BPF_ALU | BPF_AND | BPF_K, version_mask),
                                  unless_equal_skip(version_6, 1),
                                  op(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(v4.size()))};
  out.insert(out.end(), v4.begin(), v4.end());
  out.insert(out.end(), v6.begin(), v6.end());
  return out;
}

struct muted_addresses::state : std::enable_shared_from_this<muted_addresses::state> {
  using clock = std::chrono::steady_clock;

  state(asio::any_io_executor strand, duration_us for_span)
      : timer(std::move(strand)), span(for_span) {}

  void apply() const;
  void arm();
  void sweep();

  asio::steady_timer timer;
  const duration_us span;
  int listener = -1;
  std::map<asio::ip::address, clock::time_point> until;
  std::atomic<std::size_t> count = 0; ///< Of `until`, for other threads.
  bool armed = false;
};

/// If the kernel refuses, connections come through and are refused one by one.
void muted_addresses::state::apply() const {
  if (until.empty()) {
    const int ignored = 0;
    ::setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored);
    return;
  }
  std::vector<asio::ip::address> all;
  for (const auto& [address, end] : until)
    all.push_back(address);
  auto code = muting_filter(all);
  const sock_fprog program{static_cast<std::uint16_t>(code.size()), code.data()};
  ::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void muted_addresses::state::arm() {
  if (armed || until.empty())
    return;
  armed = true;
  auto first = clock::time_point::max();
  for (const auto& [address, end] : until)
    first = std::min(first, end);
  timer.expires_at(std::max(first, clock::now() + sweep_every));
  timer.async_wait([self = shared_from_this()](boost::system::error_code failed) {
    self->armed = false;
    if (!failed)
      self->sweep();
  });
}

void muted_addresses::state::sweep() {
  const auto now = clock::now();
  if (listener >= 0 && std::erase_if(until, [&](const auto& one) { return one.second <= now; }) > 0)
    apply();
  count = until.size();
  arm();
}

muted_addresses::muted_addresses(asio::any_io_executor strand, duration_us span)
    : state_(std::make_shared<state>(std::move(strand), span)) {}

muted_addresses::~muted_addresses() {
  if (state_->listener >= 0)
    stop();
}

void muted_addresses::watch(int listener) {
  state_->listener = listener;
}

void muted_addresses::mute(const asio::ip::address& address) {
  auto& own = *state_;
  const auto heard = heard_as(address);
  const auto end = state::clock::now() + std::chrono::microseconds(own.span);
  const auto found = own.until.find(heard);
  if (found != own.until.end()) {
    found->second = end;
    return;
  }
  if (own.listener < 0 || own.until.size() >= limits::muted_max)
    return;
  own.until.emplace(heard, end);
  own.count = own.until.size();
  own.apply();
  own.arm();
}

void muted_addresses::stop() {
  state_->listener = -1;
  state_->until.clear();
  state_->count = 0;
  state_->timer.cancel();
}

std::size_t muted_addresses::size() const {
  return state_->count;
}

} // namespace consort::links
