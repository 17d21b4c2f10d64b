// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How the codec's files write and read one field: checked by wire_check, converted between
/// Cap'n Proto's types and the project's. Internal to messages/. KJ exceptions pass through here
/// and stop in pack() and unpack().

#include "messages/wire_check.hpp"
#include "scheduler/types.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstring>

namespace consort::messages {

/// The last enumerator of an enum that crosses the wire; schema and C++ count in the same order.
template <class Enum>
inline constexpr Enum last_enumerator = Enum{};

/// Checks and hands out one message's fields to setters. What it returns is valid until the next
/// call at the most, or as long as the value given.
class outgoing : public wire_check {
public:
  /// An id that must be there.
  capnp::Text::Reader name(const std::string& text, std::string_view field) {
    return check_name(text, field) ? reader_of(text) : capnp::Text::Reader();
  }
  /// An id that may be missing.
  capnp::Text::Reader name_or_none(const std::string& text, std::string_view field) {
    return text.empty() ? capnp::Text::Reader() : name(text, field);
  }
  /// A word, version or address.
  capnp::Text::Reader label(const std::string& text, std::string_view field,
                            std::size_t bytes_max = limits::label_bytes_max) {
    return check_label(text, field, bytes_max) ? reader_of(text) : capnp::Text::Reader();
  }
  /// Text that programs read: refused, never changed.
  capnp::Text::Reader text(const std::string& text, std::string_view field,
                           std::size_t bytes_max = limits::text_bytes_max) {
    return check_text(text, field, bytes_max) ? reader_of(text) : capnp::Text::Reader();
  }
  /// For people: cut and repaired, never refused.
  capnp::Text::Reader sentence(const std::string& text) {
    if (text.size() <= limits::text_bytes_max && is_utf8(text))
      return reader_of(text);
    sentence_ = repaired(text, limits::text_bytes_max);
    return reader_of(sentence_);
  }
  /// Bytes of any kind.
  capnp::Data::Reader data(const std::string& bytes, std::string_view field,
                           std::size_t bytes_max) {
    if (!check_bytes(bytes.size(), field, bytes_max))
      return {};
    return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
  }
  /// A SHA-256, or nothing.
  capnp::Text::Reader digest(const consort::digest& hash, std::string_view field) {
    return check_digest(hash.value, field) ? reader_of(hash.value) : capnp::Text::Reader();
  }
  /// An enumerator; one that the wire does not have is a violation.
  template <class WireEnum, class Enum>
  WireEnum word(Enum value, std::string_view field) {
    if (value > last_enumerator<Enum>)
      fail(field, "is not one of its words");
    return static_cast<WireEnum>(value);
  }
  /// Size for a list's init: 0 when there are too many.
  unsigned count(std::size_t elements, std::size_t max, std::string_view field) {
    return check_count(elements, max, field) ? static_cast<unsigned>(elements) : 0U;
  }

private:
  static capnp::Text::Reader reader_of(const std::string& text) {
    return {text.c_str(), text.size()};
  }
  std::string sentence_;
};

/// Checks and converts one message's fields as getters return them: the same names as in outgoing,
/// the same checks, the other way. What violates them reads as empty.
class incoming : public wire_check {
public:
  std::string name(capnp::Text::Reader text, std::string_view field) {
    return check_name(view_of(text), field) ? copy_of(text) : std::string();
  }
  std::string name_or_none(capnp::Text::Reader text, std::string_view field) {
    return text.size() == 0 ? std::string() : name(text, field);
  }
  std::string label(capnp::Text::Reader text, std::string_view field,
                    std::size_t bytes_max = limits::label_bytes_max) {
    return check_label(view_of(text), field, bytes_max) ? copy_of(text) : std::string();
  }
  std::string text(capnp::Text::Reader text, std::string_view field,
                   std::size_t bytes_max = limits::text_bytes_max) {
    return check_text(view_of(text), field, bytes_max) ? copy_of(text) : std::string();
  }
  std::string data(capnp::Data::Reader bytes, std::string_view field, std::size_t bytes_max) {
    if (!check_bytes(bytes.size(), field, bytes_max))
      return {};
    return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
  }
  std::string digest(capnp::Text::Reader text, std::string_view field) {
    return check_digest(view_of(text), field) ? copy_of(text) : std::string();
  }
  /// An enumerator; an unknown one, from a newer build, is a violation.
  template <class Enum, class WireEnum>
  Enum word(WireEnum value, std::string_view field) {
    if (static_cast<unsigned>(value) <= static_cast<unsigned>(last_enumerator<Enum>))
      return static_cast<Enum>(value);
    fail(field, "has an unknown kind " + std::to_string(static_cast<unsigned>(value)));
    return Enum{};
  }
  /// A union member that this build does not know.
  void unknown_kind(std::string_view what, unsigned number) {
    fail(what, "has an unknown kind " + std::to_string(number));
  }

private:
  static std::string_view view_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }
  static std::string copy_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }
};

/// `each(builder, value)` for every element, unless there are more than `max`.
template <class Init, class Values, class Each>
void write_list(outgoing& out, const Values& values, std::size_t max, std::string_view field,
                Init init, Each each) {
  auto list = init(out.count(values.size(), max, field));
  if (list.size() == 0)
    return;
  unsigned at = 0;
  for (const auto& value : values)
    each(list[at++], value);
}

/// `each(reader, value)` for every element, unless there are more than `max`; stops at the first
/// failure, so that a list of empty elements costs one of them and not their announced number.
template <class List, class Value, class Each>
void read_list(incoming& in, List list, std::vector<Value>& values, std::size_t max,
               std::string_view field, Each each) {
  if (!in.check_count(list.size(), max, field))
    return;
  for (const auto& element : list) {
    if (!in.ok())
      return;
    each(element, values.emplace_back());
  }
}

/// A list of numbers.
template <class Init, class Number>
void write_numbers(outgoing& out, const std::vector<Number>& values, std::size_t max,
                   std::string_view field, Init init) {
  auto list = init(out.count(values.size(), max, field));
  for (unsigned at = 0; at < list.size(); ++at)
    list.set(at, values[at]);
}
template <class List, class Number>
void read_numbers(incoming& in, List list, std::vector<Number>& values, std::size_t max,
                  std::string_view field) {
  if (!in.check_count(list.size(), max, field))
    return;
  values.reserve(list.size());
  for (const Number value : list)
    values.push_back(value);
}

/// Builds one message: `fill(root, outgoing&)`. Returns: its bytes, or why it breaks a limit.
template <class Root, class Fill>
result<std::vector<char>> pack(frame_kind kind, Fill fill) {
  constexpr std::size_t scratch_words = 512; // Most messages; beyond it KJ allocates.
  outgoing out;
  capnp::word scratch[scratch_words] = {};
  capnp::MallocMessageBuilder message(kj::arrayPtr(scratch, scratch_words));
  fill(message.template initRoot<Root>(), out);
  if (!out.ok())
    return out.failure(kind);
  const std::size_t bytes = capnp::computeSerializedSizeInWords(message) * sizeof(capnp::word);
  if (bytes > payload_bytes_max(kind))
    return error{recovery::refuse, "frame_too_large",
                 std::string(name_of(kind)) + " of " + std::to_string(bytes)
                     + " bytes; the limit is " + std::to_string(payload_bytes_max(kind))};
  std::vector<char> payload(bytes);
  kj::ArrayOutputStream stream(
      kj::arrayPtr(reinterpret_cast<kj::byte*>(payload.data()), payload.size()));
  capnp::writeMessage(stream, message);
  return payload;
}

/// Bytes at any alignment as words that Cap'n Proto may read. Returns: an error when they cannot be
/// a message of this kind.
result<kj::Array<capnp::word>> aligned(frame_kind kind, std::span<const char> bytes);
/// A KJ exception as one of our errors.
error malformed(frame_kind kind, const kj::Exception& thrown);

/// Reads one message: `take(root, value, incoming&)`. Returns: the value, or why it is refused.
template <class Root, class Value, class Take>
result<Value> unpack(frame_kind kind, std::span<const char> bytes, Take take) {
  auto words = aligned(kind, bytes);
  if (!words)
    return words.failure();
  try {
    capnp::ReaderOptions options;
    // Every part is read once; the factor leaves room for list tags and empty elements.
    options.traversalLimitInWords = 2 * words->size() + 64;
    options.nestingLimit = limits::nesting_max;
    capnp::FlatArrayMessageReader message(words->asPtr(), options);
    if (message.getEnd() != words->end())
      return error{recovery::refuse, "bad_frame",
                   std::string(name_of(kind)) + ": bytes follow the message"};
    Value value;
    incoming in;
    take(message.template getRoot<Root>(), value, in);
    if (!in.ok())
      return in.failure(kind);
    return value;
  } catch (const kj::Exception& thrown) {
    return malformed(kind, thrown);
  }
}

} // namespace consort::messages
