// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What an artifact's manifest says of the model that it was made for. A note for people: nothing
/// is decided by it, since weights and engines are told apart by their digests.

namespace consort {

/// Among an artifact's `quality`: the name by which the model was served then.
inline constexpr const char* artifact_model = "model";

} // namespace consort
