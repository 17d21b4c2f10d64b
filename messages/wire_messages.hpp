// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The bodies of messages to and from the schemas that carry them. Internal to messages/; each pair
/// is in the codec file of its schema. `write` fills a fresh builder, `read` a fresh value.

#include "messages/attempt.capnp.h"
#include "messages/codec.hpp"
#include "messages/command.capnp.h"
#include "messages/event.capnp.h"
#include "messages/view.capnp.h"
#include "messages/wire_types.hpp"

namespace consort::messages {

void write(wire::Event::Builder to, const core::event& from, outgoing& out);
void read(wire::Event::Reader from, core::event& to, incoming& in);
void write(wire::Command::Builder to, const core::command& from, outgoing& out);
void read(wire::Command::Reader from, core::command& to, incoming& in);
void write(wire::Snapshot::Builder to, const core::snapshot& from, outgoing& out);
void read(wire::Snapshot::Reader from, core::snapshot& to, incoming& in);
void write(wire::RequestView::Builder to, const core::request_view& from, outgoing& out);
void read(wire::RequestView::Reader from, core::request_view& to, incoming& in);
void write(wire::Explanation::Builder to, const core::explanation& from, outgoing& out);
void read(wire::Explanation::Reader from, core::explanation& to, incoming& in);
void write(wire::AttemptBody::Builder to, const attempt_body& from, outgoing& out);
void read(wire::AttemptBody::Reader from, attempt_body& to, incoming& in);
void write(wire::AttemptEvent::Builder to, const attempt_event& from, outgoing& out);
void read(wire::AttemptEvent::Reader from, attempt_event& to, incoming& in);

} // namespace consort::messages
