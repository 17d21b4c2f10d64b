// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A TCP relay on loopback that stands for a link between two processes, so that the link can be
/// cut or held without touching either. Bytes pass unchanged. While it is held they stay where they
/// are, as behind a broken switch: no connection breaks, nothing arrives, all of it arrives later.
/// While it is cut every connection is reset, and so is each new one. Owned by the rehearsal, on
/// its one thread.

#include "cli/live/http.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace consort::live {

class relay {
public:
  /// Takes connections on a free port of an address of loopback. Errors: `no_port`.
  [[nodiscard]] static result<std::unique_ptr<relay>> start(boost::asio::io_context& io,
                                                            const std::string& host = "127.0.0.1");
  /// Breaks all that it has.
  ~relay();
  relay(const relay&) = delete;
  relay& operator=(const relay&) = delete;

  [[nodiscard]] port_number port() const;
  /// Where connections go from now on; 0 = nowhere, they are reset.
  void lead_to(port_number target);
  /// What its clients send (`forth`) and are sent (`back`).
  void hold(bool forth, bool back);
  void cut(bool broken);
  /// Open now.
  [[nodiscard]] std::size_t connections() const;

private:
  struct shell;
  explicit relay(std::shared_ptr<shell> started);
  std::shared_ptr<shell> shell_;
};

} // namespace consort::live
