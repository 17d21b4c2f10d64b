// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model that is only sizes: a JSON file `NAME.sim` that stands where weights would. Simulated
/// devices alone run it (format `simulated`), so that nothing real ever loads one. It is found,
/// hashed and checked like any model file.

#include "node/file_digest.hpp"

namespace consort::node {

inline constexpr std::string_view simulated_format = "simulated";

[[nodiscard]] bool is_simulated_card(const std::string& path);
/// What the card says, without a digest.
[[nodiscard]] result<model_variant> read_simulated_card(const std::string& path);
/// The same with its digest. Returns: `bad_model` naming the field, or what digests say.
[[nodiscard]] result<model_variant> describe_simulated_card(const std::string& path,
                                                            digest_cache& digests);
/// The text of a card: name as `shape`, sizes as they are. Nothing else of the variant is kept.
[[nodiscard]] std::string render_simulated_card(const model_variant& sizes);

} // namespace consort::node
