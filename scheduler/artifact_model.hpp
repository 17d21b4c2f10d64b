// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What an artifact's manifest says of the model that it was made for. A note for people: nothing
/// is decided by it, since weights and engines are told apart by their digests.

namespace consort {

/// Among an artifact's `quality`: the name by which the model was served then.
inline constexpr const char* artifact_model = "model";
/// Likewise, told by a node that went back to another: the bytes of the newest of the key, which
/// the record names as `own`.
inline constexpr const char* artifact_own_bytes = "own_size_bytes";

} // namespace consort
