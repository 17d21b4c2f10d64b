// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor_checks.hpp"

#include "cli/authority_folder.hpp"
#include "links/address.hpp"
#include "scheduler/units.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <filesystem>
#include <sys/statvfs.h>
#include <unistd.h>

namespace consort::cli {

namespace fs = std::filesystem;

std::string word_of(verdict how) {
  return how == verdict::ok ? "ok" : how == verdict::warn ? "warn" : "FAIL";
}

namespace {

/// Writes a file of its own name there and removes it. Returns: what went wrong, if anything.
std::string try_writing(const std::string& folder) {
  std::error_code failed;
  if (fs::create_directories(folder, failed); failed)
    return failed.message();
  auto pattern = folder + "/.doctor-XXXXXX";
  const int file = ::mkstemp(pattern.data());
  if (file < 0)
    return std::strerror(errno);
  const bool written = ::write(file, "x", 1) == 1;
  const std::string why = written ? "" : std::strerror(errno);
  ::close(file);
  ::unlink(pattern.c_str());
  return why;
}

} // namespace

check judge_room(const std::string& folder, std::uint64_t free_bytes) {
  check made{"data folder", verdict::ok, folder + ", " + format_size(free_bytes) + " free", {}};
  if (free_bytes >= free_bytes_low)
    return made;
  made.how = verdict::warn;
  made.next = "models and compiled artifacts need room: free some, or --data DIR elsewhere";
  if (free_bytes <= free_bytes_least) {
    made.how = verdict::fail;
    made.found += ": no room; nothing is built or fetched there, for "
                  + format_size(free_bytes_least) + " stay free";
  }
  return made;
}

check check_data_folder(const std::string& folder) {
  check made{"data folder", verdict::ok, folder, {}};
  if (const auto why = try_writing(folder); !why.empty()) {
    made.how = verdict::fail;
    made.found += " cannot be written: " + why;
    made.next = "choose another with --data DIR, or change its owner";
    return made;
  }
  struct statvfs about {};
  if (::statvfs(folder.c_str(), &about) != 0)
    return made;
  return judge_room(folder, static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize);
}

check check_engine(const std::string& library) {
  check made{"engine", verdict::ok, library, {}};
  std::error_code ignored;
  if (!fs::exists(library, ignored)) {
    made.how = verdict::warn;
    made.found += " is missing: no CPU device here";
    made.next = "install Consort whole, or build the target consort_llama";
    return made;
  }
  void* const loaded = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* const why = ::dlerror();
    made.how = verdict::fail;
    made.found = why == nullptr ? library + " does not load" : why;
    made.next = "install what it names as missing";
    return made;
  }
  ::dlclose(loaded);
  made.found += " loads";
  return made;
}

check check_port(const std::string& name, const std::string& host, std::uint16_t port,
                 const std::function<std::string(std::uint16_t)>& owner) {
  using boost::asio::ip::tcp;
  const auto where = links::format_address({host, port});
  check made{name, verdict::ok, where + " is free", {}};
  boost::system::error_code failed;
  const auto address
      = boost::asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, failed);
  boost::asio::io_context io;
  tcp::acceptor acceptor(io);
  if (!failed)
    acceptor.open(address.is_v6() ? tcp::v6() : tcp::v4(), failed);
  if (!failed)
    acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed)
    acceptor.bind({address, port}, failed);
  if (!failed)
    acceptor.listen(1, failed); // Linux lets two bind with SO_REUSEADDR; only one may listen.
  if (!failed)
    return made;
  if (failed != boost::asio::error::address_in_use) {
    made.how = verdict::fail;
    made.found = "cannot listen on " + where + ": " + failed.message();
    made.next = "use an address of this host";
    return made;
  }
  const auto who = owner(port);
  made.found = where + " is taken by " + (who.empty() ? "another process" : who);
  if (who.rfind("consort ", 0) == 0)
    return made; // A server of ours that runs is what one hopes for.
  made.how = verdict::warn;
  made.next = "stop it, or listen on another port";
  return made;
}

namespace {

std::string certificate_remedy(const error& failure) {
  if (failure.message.find("not yet valid") != std::string::npos)
    return "this host's clock is behind: set it (timedatectl set-ntp true)";
  if (failure.code == "key_exposed")
    return "chmod 600 FOLDER/key.pem";
  if (failure.code == "certificate_expired")
    return "consort cert renew NAME, where the authority is, and copy the folder here";
  if (failure.code == "no_credentials")
    return "consort cert node NAME, where the authority is, and copy the folder here";
  if (failure.code == "bad_revocation")
    return "copy revoked.txt from the authority's folder again";
  return "copy the folder again from where `consort cert` made it, whole";
}

} // namespace

certificate_checks check_certificate(const std::string& folder, std::int64_t now_unix_s) {
  auto loaded = links::credentials::load(folder);
  if (!loaded)
    return {{{"certificate", verdict::fail, loaded.failure().message,
              certificate_remedy(loaded.failure())}},
            nullptr};
  const auto self = (*loaded)->self();
  const auto state = state_of({self, folder, (*loaded)->revoked(self.serial)}, now_unix_s);
  check made{"certificate",
             verdict::ok,
             std::string(links::name_of(self.role)) + " " + self.name + " of cluster "
                 + self.cluster + ", " + state + ", until " + format_date(self.not_after),
             {}};
  if (state == "revoked") {
    made.how = verdict::fail;
    made.next = "consort cert renew " + self.name + ", if it is to come back";
  } else if (state != "valid") {
    made.how = verdict::warn;
    made.next = "consort cert renew " + self.name + ", copy the folder here, kill -HUP the process";
  }
  return {{std::move(made)}, std::move(*loaded)};
}

check check_skew(const std::string& name, const std::string& whose, std::int64_t skew_s) {
  const auto size = std::llabs(skew_s);
  check made{name, verdict::ok, "", {}};
  made.found = size <= 1
                   ? "as " + whose // It is told in whole seconds.
                   : std::to_string(size) + "s " + (skew_s > 0 ? "ahead of " : "behind ") + whose;
  if (size >= skew_warning_s) {
    made.how = size >= skew_failure_s ? verdict::fail : verdict::warn;
    made.next = "set both clocks (timedatectl set-ntp true)";
  }
  return made;
}

std::optional<check> check_clock(const std::string& http_date, std::int64_t now_unix_s) {
  std::tm parts{};
  if (::strptime(http_date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr)
    return std::nullopt;
  return check_skew("clock", "the server's", now_unix_s - ::timegm(&parts));
}

} // namespace consort::cli
