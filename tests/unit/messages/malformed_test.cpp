// SPDX-License-Identifier: Apache-2.0
// Bytes that no encoder of this build writes: cut, damaged, from other versions, or hostile.
// Hostile messages are made with Cap'n Proto itself, past the encoder's checks.
#include "messages/attempt.capnp.h"
#include "messages/control.capnp.h"
#include "tests/support/message_catalog.hpp"

#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/schema.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>

#include <cstring>

namespace consort {
namespace {

namespace wire = messages::wire;
using messages::decode_attempt_event;
using messages::decode_event;
using testing::HasSubstr;

std::vector<char> bytes_of(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.end()};
}

/// An event message, valid but for what `fill` puts into it.
template <class Fill>
std::vector<char> event_with(Fill fill) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Envelope>();
  root.setProtocolVersion(messages::protocol_version);
  root.setSender("n");
  fill(root.getBody().initEvent());
  return bytes_of(message);
}

template <class Message>
void expect_refused(const Message& message, std::string_view words) {
  ASSERT_FALSE(message.ok()) << words;
  EXPECT_EQ(message.failure().action, recovery::refuse);
  EXPECT_EQ(message.failure().code, "bad_frame");
  EXPECT_THAT(message.failure().message, HasSubstr(std::string(words)));
}

TEST(Malformed, EveryCutOfEveryMessageIsAnError) {
  for (const auto& entry : samples::catalog()) {
    ASSERT_TRUE(entry.bytes.ok()) << entry.name;
    for (std::size_t size = 0; size < entry.bytes->size(); ++size) {
      const auto cut = std::span<const char>(*entry.bytes).first(size);
      EXPECT_FALSE(samples::recode(entry.kind, cut).ok()) << entry.name << " cut to " << size;
    }
  }
}

TEST(Malformed, EveryDamagedByteIsAnErrorOrAMessageThatEncodes) {
  for (const auto& entry : samples::catalog()) {
    ASSERT_TRUE(entry.bytes.ok()) << entry.name;
    auto damaged = *entry.bytes;
    const std::size_t step = damaged.size() > 2'048 ? 7 : 1;
    for (std::size_t at = 0; at < damaged.size(); at += step) {
      damaged[at] = static_cast<char>(damaged[at] ^ 0x81);
      const auto again = samples::recode(entry.kind, damaged);
      EXPECT_TRUE(again.ok() || again.failure().action == recovery::refuse)
          << entry.name << " at " << at;
      damaged[at] = (*entry.bytes)[at];
    }
  }
}

TEST(Malformed, BytesAfterTheMessageAreAnError) {
  auto bytes = *messages::encode(samples::sample_envelope(), core::event(core::tick{}));
  bytes.resize(bytes.size() + 8);
  expect_refused(decode_event(bytes), "bytes follow");
}

TEST(Malformed, AnotherProtocolVersionIsRefusedInWords) {
  auto from = samples::sample_envelope();
  from.version = messages::protocol_version + 1;
  const auto bytes = messages::encode(from, messages::hello{});
  const auto message = messages::decode_hello(*bytes);
  ASSERT_FALSE(message.ok());
  EXPECT_EQ(message.failure().code, "frame_version");
  EXPECT_THAT(message.failure().message, HasSubstr("version 2, this build speaks 1"));
}

TEST(Malformed, AMessageUnderAnotherKindIsAnError) {
  const auto bytes = *messages::encode(samples::sample_envelope(), messages::query{});
  expect_refused(decode_event(bytes), "unknown kind");
}

TEST(Malformed, AnUnknownWordIsAnErrorThatNamesTheField) {
  const auto bytes = event_with([](wire::Event::Builder event) {
    auto spec = event.initDeviceAdvertised().initSpec();
    spec.setId("n/x0");
    spec.setNode("n");
    spec.setType(static_cast<wire::ResourceType>(77));
  });
  expect_refused(decode_event(bytes), "event: device_spec.type has an unknown kind 77");
}

/// A message of a newer build: more data, more pointers, and any discriminant.
std::vector<char> newer_attempt_event(std::uint16_t discriminant) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<capnp::AnyPointer>().initAsAnyStruct(4, 3);
  std::memcpy(root.getDataSection().begin(), &discriminant, sizeof discriminant);
  auto opened = root.getPointerSection()[0].initAsAnyStruct(3, 2);
  const std::uint32_t prompt_tokens = 7;
  std::memcpy(opened.getDataSection().begin(), &prompt_tokens, sizeof prompt_tokens);
  root.getPointerSection()[2].setAs<capnp::Text>("a field of the future");
  return bytes_of(message);
}

TEST(Malformed, AnUnknownUnionMemberIsAnError) {
  expect_refused(decode_attempt_event(newer_attempt_event(99)),
                 "attempt_event has an unknown kind 99");
}

TEST(Malformed, FieldsOfNewerBuildsAreSkipped) {
  const auto message = decode_attempt_event(newer_attempt_event(0));
  ASSERT_TRUE(message.ok()) << message.failure().message;
  EXPECT_EQ(*message, attempt_event(attempt_opened{7, 0}));
}

TEST(Malformed, FieldsThatOlderBuildsLackReadAsDefaults) {
  capnp::MallocMessageBuilder older;
  older.initRoot<capnp::AnyPointer>().initAsAnyStruct(0, 0);
  const auto message = decode_attempt_event(bytes_of(older));
  ASSERT_TRUE(message.ok()) << message.failure().message;
  EXPECT_EQ(*message, attempt_event(attempt_opened{}));
}

TEST(Malformed, TextsAreCheckedByWhatTheyAre) {
  using joined = wire::NodeJoined::Builder;
  const auto with = [](auto fill) {
    return decode_event(event_with([&](wire::Event::Builder event) {
      auto node = event.initNodeJoined();
      node.setNode("n");
      fill(node);
    }));
  };
  EXPECT_TRUE(with([](joined) {}).ok());
  expect_refused(with([](joined node) { node.setNode(""); }), "node_joined.node is empty");
  expect_refused(with([](joined node) { node.setNode("a b"); }),
                 "node_joined.node has a character");
  expect_refused(with([](joined node) { node.setDataAddress("a\nb"); }), "a control character");
  expect_refused(with([](joined node) { node.setDataAddress("\xED\xA0\x80"); }), "is not UTF-8");
  expect_refused(with([](joined node) {
                   auto entries = node.initAttributes(2);
                   entries[0].setName("a");
                   entries[1].setName("a");
                 }),
                 "node_joined.attributes has a name twice");
}

TEST(Malformed, ALostArtifactsDigestIsChecked) {
  const auto with = [](const char* content) {
    return decode_event(event_with([&](wire::Event::Builder event) {
      auto lost = event.initArtifactLost();
      lost.setNode("n");
      lost.setContent(content);
    }));
  };
  EXPECT_TRUE(with("").ok());
  expect_refused(with("abc"), "artifact_lost.content is not 64");
  expect_refused(with(std::string(64, 'G').c_str()), "artifact_lost.content is not 64");
}

TEST(Malformed, BothAnswersAtOnceAreAnError) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Envelope>();
  root.setProtocolVersion(messages::protocol_version);
  root.setSender("n");
  auto answer = root.getBody().initQueryAnswer();
  answer.initSnapshot();
  answer.initExplanation();
  expect_refused(messages::decode_query_answer(bytes_of(message)), "has both");
  answer.disownExplanation();
  answer.initReloads(1);
  expect_refused(messages::decode_query_answer(bytes_of(message)), "beside one");
  answer.disownSnapshot();
  answer.initPlugins(1);
  expect_refused(messages::decode_query_answer(bytes_of(message)), "beside one");
}

// A few bytes that announce a hundred thousand empty rows cost one row.
TEST(Malformed, AListOfNothingCostsNothing) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<wire::Envelope>();
  root.setProtocolVersion(messages::protocol_version);
  root.setSender("n");
  auto snapshot = root.getBody().initQueryAnswer().initSnapshot();
  auto any = capnp::toAny(snapshot).getPointerSection();
  any[3].initAsListOfAnyStruct(0, 0, 100'000); // `devices`, the fourth pointer.
  const auto bytes = bytes_of(message);
  EXPECT_LT(bytes.size(), 1'024U);
  EXPECT_FALSE(messages::decode_query_answer(bytes).ok());
}

/// Every enum has as many words on the wire as in the code: the last one decodes, one more does
/// not.
template <class WireEnum, class Enum>
void expect_words(Enum last) {
  const auto words = capnp::Schema::from<WireEnum>().getEnumerants().size();
  EXPECT_EQ(words, static_cast<unsigned>(last) + 1) << typeid(Enum).name();
}

TEST(Schema, HasAsManyWordsAsTheCode) {
  expect_words<wire::Recovery>(recovery::bug);
  expect_words<wire::ResourceType>(resource_type::hybrid);
  expect_words<wire::FigureSource>(figure_source::engine);
  expect_words<wire::ResumeSupport>(resume_support::tokens);
  expect_words<wire::DeviceHealth>(device_health::unhealthy);
  expect_words<wire::AllocationState>(allocation_state::releasing);
  expect_words<wire::LaunchKind>(launch_kind::attach);
  expect_words<wire::OwnershipKind>(ownership_kind::shared);
  expect_words<wire::ArtifactKind>(artifact_kind::cache);
  expect_words<wire::ArtifactState>(artifact_state::failed);
  expect_words<wire::RequestKind>(request_kind::embedding);
  expect_words<wire::PriorityClass>(priority_class::batch);
  expect_words<wire::RequestOutcome>(request_outcome::expired);
  expect_words<wire::Note::Severity>(core::note::severity::error);
  expect_words<wire::SenderKind>(messages::sender_kind::gateway);
}

TEST(Schema, HasAsManyMembersAsTheVariants) {
  const auto members = [](auto schema) { return schema.getUnionFields().size(); };
  EXPECT_EQ(members(capnp::Schema::from<wire::Event>()), std::variant_size_v<core::event>);
  EXPECT_EQ(members(capnp::Schema::from<wire::Command>()), std::variant_size_v<core::command>);
  EXPECT_EQ(members(capnp::Schema::from<wire::AttemptEvent>()), std::variant_size_v<attempt_event>);
}

} // namespace
} // namespace consort
