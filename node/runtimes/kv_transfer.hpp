// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Prefill on one vLLM and decode on another, by its `kv_transfer_params`: the first is asked for
/// one token and told that another decodes, and what it answers with goes to the second, which
/// fetches the KV cache from it. Pure.

#include <string>
#include <string_view>

namespace consort::node {

/// What the first server is sent, from what the second would be: one token, not streamed. `body`
/// is a request as render_openai_request() makes it.
[[nodiscard]] std::string prefill_body(const std::string& body);

/// What the second is sent: `body` with the parameters of the first one's answer; as it is when
/// that has none.
[[nodiscard]] std::string decode_body(const std::string& body, std::string_view answer);

} // namespace consort::node
