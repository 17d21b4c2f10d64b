// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Takes the API key that a server was sent out of what it says: there are servers that repeat it
/// in their refusals, which clients, the log and `explain` are shown. Pure. Finds the key where it
/// stands whole and as it was sent: neither a part of it, which some servers show themselves, nor
/// one that is written otherwise (base64), nor one that is told in several pieces of a stream.

#include <string>

namespace consort::node {

/// What stands in its place.
inline constexpr const char* masked_key = "[key]";

/// In words for people: a refusal, an error, a line of output. Also takes the key's beginning from
/// an end at which the words were cut (limits::server_message_bytes_max). An empty key is in
/// nothing, and one below limits::key_bytes_min is no secret, but a part of other words.
[[nodiscard]] std::string without_key(std::string said, const std::string& key);

/// In the text of an answer, or the JSON beside it: keys of at least limits::key_text_bytes_min
/// only. A shorter one, such as `EMPTY` or `none`, is likely to be a word of the answer's.
[[nodiscard]] std::string text_without_key(std::string text, const std::string& key);

} // namespace consort::node
