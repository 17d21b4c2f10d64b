// SPDX-License-Identifier: Apache-2.0
// What strangers cost the guard of links alone: connections that are silent, send garbage, half a
// client hello, or a whole one and no more, each from loopback addresses of its own kind; and what
// its thread used while all of them were cut. Their sockets need `ulimit -n`.
// Usage: guard_bench [CONNECTIONS] [ADDRESSES]
#include "links/certificates.hpp"
#include "links/guard.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>

namespace {

using namespace consort;
namespace asio = boost::asio;
using asio::ip::tcp;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t batch_size = 250;      // Less than the kernel's queue of a listener holds.
constexpr double deadline_s = 2;             // Of a handshake: what they cost is spread over it.
constexpr std::size_t alert_bytes_max = 100; // Less was said than an answer to a client hello.

/// A folder of credentials; its cluster is `bench`.
std::shared_ptr<links::credentials> make_credentials(const std::filesystem::path& folder) {
  const auto authority = links::make_authority("bench");
  const auto leaf = links::issue(*authority, {.role = links::peer_role::scheduler, .name = "s"});
  if (!links::write_leaf(folder, authority->certificate, *leaf))
    return nullptr;
  auto loaded = links::credentials::load(folder);
  return loaded ? *loaded : nullptr;
}

/// The first bytes that a client says.
std::string client_hello(const links::tls_context& with) {
  const std::unique_ptr<SSL, void (*)(SSL*)> client(SSL_new(with->native_handle()), SSL_free);
  auto* const said = BIO_new(BIO_s_mem());
  SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), said);
  SSL_set_connect_state(client.get());
  SSL_do_handshake(client.get());
  std::string bytes(BIO_ctrl_pending(said), '\0');
  BIO_read(said, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

double cpu_s(clockid_t of) {
  std::timespec spent{};
  clock_gettime(of, &spent);
  return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

/// One that says its words and waits for its end.
struct stranger : std::enable_shared_from_this<stranger> {
  explicit stranger(tcp::socket open) : socket(std::move(open)) {}
  void wait(std::size_t& open) {
    socket.async_read_some(
        asio::buffer(into),
        [self = shared_from_this(), &open](boost::system::error_code ended, std::size_t bytes) {
          self->heard += bytes;
          if (!ended)
            return self->wait(open);
          --open;
        });
  }
  tcp::socket socket;
  std::array<char, 4096> into{};
  std::size_t heard = 0;
};

/// `count` of them say `words` to that port, from `addresses` addresses beginning at 127.0.BLOCK.1.
/// Returns: how many were answered, which cost a key exchange and a signature each.
std::size_t attack(std::uint16_t port, std::size_t count, std::size_t addresses, unsigned block,
                   const std::string& words) {
  asio::io_context io(1);
  std::vector<std::shared_ptr<stranger>> all;
  std::size_t open = 0;
  const tcp::endpoint to(asio::ip::make_address("127.0.0.1"), port);
  for (std::size_t at = 0; at < count; ++at) {
    const auto host = static_cast<std::uint32_t>(at % addresses);
    const auto number = (127U << 24) + ((block + host / 250) << 8) + 1 + host % 250;
    auto one = std::make_shared<stranger>(
        tcp::socket(io, tcp::endpoint(asio::ip::address_v4(number), 0)));
    ++open;
    one->socket.async_connect(to, [one, &open, &words](boost::system::error_code failed) {
      boost::system::error_code ignored;
      if (failed)
        return void(--open);
      asio::write(one->socket, asio::buffer(words), ignored);
      one->wait(open);
    });
    all.push_back(std::move(one));
    io.restart();
    if (all.size() % batch_size == 0)
      io.run_for(std::chrono::milliseconds(20));
  }
  const auto until = clock_type::now() + std::chrono::seconds(10); // Who was muted is not heard.
  while (open > 0 && clock_type::now() < until) {
    io.restart();
    io.run_one_for(std::chrono::milliseconds(100));
  }
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [](const auto& one) { return one->heard > alert_bytes_max; }));
}

} // namespace

int main(int argc, char** argv) {
  const auto count = static_cast<std::size_t>(argc > 1 ? std::atoi(argv[1]) : 1'000);
  const auto addresses = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 8);
  spdlog::set_level(spdlog::level::err);
  std::string pattern = (std::filesystem::temp_directory_path() / "consort-guard-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  const auto own = make_credentials(folder);
  std::filesystem::remove_all(folder);
  if (!own || count == 0 || addresses == 0)
    return 1;
  asio::io_context io(1);
  links::guard_options options;
  options.credentials = own;
  options.cluster = "bench";
  options.join_token = "t";
  auto guard = links::guard::start(io, options, [](const auto&, const auto&) {});
  if (!guard)
    return 1;
  std::thread serving([&] { io.run(); });
  clockid_t used{};
  pthread_getcpuclockid(serving.native_handle(), &used);
  const auto hello = client_hello(own->client_context());
  unsigned block = 1;
  for (const auto& [name, words] : std::vector<std::pair<const char*, std::string>>{
           {"silent", ""},
           {"garbage", std::string(512, 'x')},
           {"half a client hello", hello.substr(0, hello.size() / 2)},
           {"a client hello and no more", hello}}) {
    const auto began = clock_type::now();
    const auto before = cpu_s(used);
    const auto answered = attack((*guard)->port(), count, addresses, block, words);
    const auto spent = cpu_s(used) - before;
    const std::chrono::duration<double> wall = clock_type::now() - began;
    std::printf("%-27s %6zu from %5zu addresses: %5zu answered, %6.1f ms, %4.1f %% of a core\n",
                name, count, addresses, answered, 1e3 * spent,
                100 * spent / std::max(wall.count(), deadline_s));
    std::fflush(stdout);
    block += static_cast<unsigned>(addresses / 250 + 1);
  }
  (*guard)->stop();
  serving.join();
  return 0;
}
