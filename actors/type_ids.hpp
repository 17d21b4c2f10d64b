// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The only type that crosses a CAF link: an opaque frame. Its bytes are Cap'n Proto
/// (messages/*.capnp); CAF's own serializer never sees our data, and no actor handle travels inside
/// a payload.

#include <caf/all.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace consort::actors {

/// `kind` is a messages::frame_kind; `bytes` at most messages::limits::frame_bytes_max.
struct frame {
  std::uint16_t kind = 0;
  std::vector<char> bytes;
  /// Whoever received it from a link is told by its end that the frame was worked on.
  std::shared_ptr<const void> hold = nullptr;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, frame& value) {
  return f(caf::meta::type_name("consort.frame"), value.kind, value.bytes);
}

} // namespace consort::actors

CAF_BEGIN_TYPE_ID_BLOCK(consort, first_custom_type_id)
CAF_ADD_TYPE_ID(consort, (consort::actors::frame))
CAF_END_TYPE_ID_BLOCK(consort)
