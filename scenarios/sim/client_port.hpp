// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where the clients of a run send their requests: a simulated gateway, or a real one. Implemented
/// by gateway_model and by cli/live's clients; single-threaded.

#include "scenarios/sim/parcel.hpp"
#include "scheduler/requests.hpp"

#include <functional>

namespace consort::sim {

class client_port {
public:
  virtual ~client_port() = default;
  /// A client asks for `output_tokens` tokens. Fills in the request's id, and tells it to `known`
  /// before anything comes of it. Returns: the id.
  virtual request_id submit(request_meta meta, std::uint32_t output_tokens, client_prompt prompt,
                            const std::function<void(const request_id&)>& known)
      = 0;
  /// The client leaves, if its request is still live.
  virtual void leave(const request_id& request) = 0;
};

} // namespace consort::sim
