// SPDX-License-Identifier: Apache-2.0
#pragma once
/// DeepSpeed-MII's REST gateway: one POST to `/mii/DEPLOYMENT`, one JSON list when everything has
/// been generated. It does not stream: the client's stream gets the text in one piece. Pure.

#include "node/runtimes/server_dialect.hpp"

namespace consort::node {

/// `model` is the name of the deployment. Errors as read_generation() has them: MII applies no chat
/// template here.
[[nodiscard]] result<server_request> render_mii_request(const attempt_body& body,
                                                        const std::string& model);

class mii_answer final : public server_answer {
public:
  void feed(std::string_view bytes) override;
  void finish() override;

private:
  std::string whole_;
};

} // namespace consort::node
