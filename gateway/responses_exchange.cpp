// SPDX-License-Identifier: Apache-2.0
#include "gateway/responses_exchange.hpp"

namespace consort::gateway {

task<bool> responses_exchange::respond(const http_response& answer) {
  auto turned = answer;
  if (answer.status == 200)
    turned.body = answer_.whole(answer.body);
  co_return co_await out_.respond(turned);
}

task<bool> responses_exchange::write(std::string_view piece) {
  const auto turned = answer_.feed(piece);
  co_return co_await out_.write(turned);
}

bool responses_exchange::start_write(std::string& piece, std::function<void(bool)> done) {
  auto turned = answer_.feed(piece);
  piece.clear();
  return turned.empty() || out_.start_write(turned, std::move(done));
}

} // namespace consort::gateway
