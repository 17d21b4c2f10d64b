// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the stages of one request are sent where several vLLM servers do it together. Encode: one
/// is shown what is to be seen or heard and nothing else; it leaves the embeddings where those that
/// prefill look for them, by their content. Prefill: one is asked for a single token and told that
/// another decodes, and what it answers with (`kv_transfer_params`) goes to that other, which
/// fetches the KV cache from it. Pure.

#include <optional>
#include <string>
#include <string_view>

namespace consort::node {

/// What the encoder is sent, from what the others would be: every picture, sound and film of the
/// messages, in their order, in one message without text. Nothing where there are none, or more
/// than limits::encode_items_max: whoever prefills encodes them itself then.
[[nodiscard]] std::optional<std::string> encode_body(const std::string& body);

/// What the server that prefills is sent, from what the second would be: one token, not streamed.
/// `body` is a request as render_openai_request() makes it.
[[nodiscard]] std::string prefill_body(const std::string& body);

/// What the second is sent: `body` with the parameters of the first one's answer; as it is when
/// that has none.
[[nodiscard]] std::string decode_body(const std::string& body, std::string_view answer);

} // namespace consort::node
