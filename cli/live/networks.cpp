// SPDX-License-Identifier: Apache-2.0
#include "cli/live/networks.hpp"

#include "cli/live/limits.hpp"
#include "node/child_process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace consort::live {

namespace {

using words = std::vector<std::string>;

constexpr const char* subnet = "127.44.0.";
constexpr const char* bits = "/24";
constexpr std::size_t first_host = 10;
static_assert(first_host + limits::nodes_max < 255, "one subnet holds every node");

/// Names of devices; each is alone in its network but the hub's ports.
constexpr const char* hub_device = "hub";
constexpr const char* node_device = "port";

std::string hub_port(std::size_t node) {
  return "node" + std::to_string(node);
}

error cannot(const std::string& what) {
  return {recovery::refuse, "no_namespaces", what};
}

result<done> run_tool(words argv) {
  node::child_spec spec;
  const auto shown = argv;
  spec.argv = std::move(argv);
  spec.timeout_us = limits::network_tool_us_max;
  const auto end = node::run_child(spec);
  if (!end)
    return cannot(end.failure().message);
  if (end->ok())
    return done{};
  std::string line;
  for (const auto& word : shown)
    line += word + " ";
  return cannot(line + node::with_last_words(node::describe_exit(*end), end->err.tail));
}

result<done> run_tools(const std::vector<words>& commands) {
  for (const auto& command : commands)
    if (auto ran = run_tool(command); !ran)
      return ran;
  return done{};
}

/// Of a fresh namespace: loopback is the one address that programs dial, and the rest of 127/8 may
/// come over a cable.
result<done> set_up_loopback() {
  std::ofstream allowed("/proc/sys/net/ipv4/conf/all/route_localnet");
  allowed << "1\n";
  if (!allowed.flush())
    return cannot("cannot set route_localnet: " + std::string(std::strerror(errno)));
  return run_tools({{"ip", "link", "set", "dev", "lo", "up"},
                    {"ip", "address", "add", "127.0.0.1/32", "dev", "lo"},
                    {"ip", "address", "del", "127.0.0.1/8", "dev", "lo"}});
}

/// Why this host cannot have them; empty = it may.
std::string missing() {
  if (::geteuid() != 0)
    return "not root";
  for (const auto* tool : {"ip", "tc", "nsenter"})
    if (node::find_program(tool).empty())
      return "no `" + std::string(tool) + "` in PATH";
  return {};
}

} // namespace

namespace_handle namespace_handle::current() {
  namespace_handle made;
  made.fd_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  return made;
}

namespace_handle::~namespace_handle() {
  if (fd_ >= 0)
    ::close(fd_);
}

namespace_handle::namespace_handle(namespace_handle&& from) noexcept
    : fd_(std::exchange(from.fd_, -1)) {}

namespace_handle& namespace_handle::operator=(namespace_handle&& from) noexcept {
  std::swap(fd_, from.fd_);
  return *this;
}

bool namespace_handle::enter() const {
  return ::setns(fd_, CLONE_NEWNET) == 0;
}

result<std::unique_ptr<networks>> networks::make(std::size_t nodes) {
  if (const auto why = missing(); !why.empty())
    return cannot(why);
  std::unique_ptr<networks> made(new networks);
  made->outside_ = namespace_handle::current();
  if (!made->outside_.given())
    return cannot("cannot open /proc/thread-self/ns/net: " + std::string(std::strerror(errno)));
  if (auto built = made->make_hub(); !built)
    return built.failure();
  for (std::size_t node = 0; node < nodes; ++node) {
    namespace_handle own;
    auto built = made->enter_new(own);
    if (built)
      built = made->add_node(node);
    if (!made->hub_.enter() || !built)
      return built ? cannot("setns: " + std::string(std::strerror(errno))) : built.failure();
    made->nodes_.push_back(std::move(own));
  }
  return made;
}

networks::~networks() {
  if (outside_.given() && !outside_.enter())
    spdlog::error("cannot return to the host's network: {}", std::strerror(errno));
}

result<done> networks::enter_new(namespace_handle& made) const {
  if (::unshare(CLONE_NEWNET) != 0)
    return cannot("unshare: " + std::string(std::strerror(errno)));
  made = namespace_handle::current();
  if (!made.given())
    return cannot("cannot open /proc/thread-self/ns/net: " + std::string(std::strerror(errno)));
  return set_up_loopback();
}

result<done> networks::make_hub() {
  if (auto entered = enter_new(hub_); !entered)
    return entered;
  return run_tools({{"ip", "link", "add", hub_device, "type", "bridge"},
                    {"ip", "address", "add", hub_address() + bits, "dev", hub_device},
                    {"ip", "link", "set", "dev", hub_device, "up"}});
}

/// Called in the new network. The cable is made from the hub, its far end by our thread's place.
result<done> networks::add_node(std::size_t node) const {
  const auto process = std::to_string(::getpid());
  const auto in_hub = [&](words command) {
    command.insert(command.begin(),
                   {"nsenter", "--net=/proc/" + process + "/fd/" + std::to_string(hub_.fd())});
    return command;
  };
  const auto here = std::to_string(::gettid());
  return run_tools(
      {in_hub({"ip", "link", "add", hub_port(node), "type", "veth", "peer", "name", node_device,
               "netns", here}),
       in_hub({"ip", "link", "set", "dev", hub_port(node), "master", hub_device, "up"}),
       {"ip", "address", "add", address_of(node) + bits, "dev", node_device},
       {"ip", "link", "set", "dev", node_device, "up"}});
}

networks::visit::visit(const networks& all, std::size_t node)
    : all_(all), arrived_(all.nodes_.at(node).enter()) {}

networks::visit::~visit() {
  if (arrived_ && !all_.hub_.enter())
    spdlog::error("cannot return to the rehearsal's network: {}", std::strerror(errno));
}

std::string networks::hub_address() {
  return std::string(subnet) + "1";
}

std::string networks::address_of(std::size_t node) {
  return subnet + std::to_string(first_host + node);
}

result<done> networks::hold(std::size_t node, bool forth, bool back) const {
  // A queue of one byte takes no packet.
  const auto set = [](const std::string& device, bool dropping) {
    return run_tool(
        dropping ? words{"tc", "qdisc", "replace", "dev", device, "root", "bfifo", "limit", "1"}
                 : words{"tc", "qdisc", "replace", "dev", device, "root", "noqueue"});
  };
  auto inward = set(hub_port(node), back);
  const visit there(*this, node);
  if (!there.arrived())
    return cannot("setns: " + std::string(std::strerror(errno)));
  auto outward = set(node_device, forth);
  return inward ? outward : inward;
}

} // namespace consort::live
