// SPDX-License-Identifier: Apache-2.0
#include "node/gguf_reader.hpp"

#include "node/limits.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

namespace consort::node {

namespace {

constexpr std::array<gguf_number_type, 33> number_types{{
    {0, "f32", 1, 4},         {1, "f16", 1, 2},         {2, "q4_0", 32, 18},
    {3, "q4_1", 32, 20},      {6, "q5_0", 32, 22},      {7, "q5_1", 32, 24},
    {8, "q8_0", 32, 34},      {9, "q8_1", 32, 36},      {10, "q2_k", 256, 84},
    {11, "q3_k", 256, 110},   {12, "q4_k", 256, 144},   {13, "q5_k", 256, 176},
    {14, "q6_k", 256, 210},   {15, "q8_k", 256, 292},   {16, "iq2_xxs", 256, 66},
    {17, "iq2_xs", 256, 74},  {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},
    {20, "iq4_nl", 32, 18},   {21, "iq3_s", 256, 110},  {22, "iq2_s", 256, 82},
    {23, "iq4_xs", 256, 136}, {24, "i8", 1, 1},         {25, "i16", 1, 2},
    {26, "i32", 1, 4},        {27, "i64", 1, 8},        {28, "f64", 1, 8},
    {29, "iq1_m", 256, 56},   {30, "bf16", 1, 2},       {34, "tq1_0", 256, 54},
    {35, "tq2_0", 256, 66},   {39, "mxfp4", 32, 17},    {40, "nvfp4", 64, 36},
}};
constexpr std::uint32_t dimensions_max = 4;

/// Product, or nothing when it does not fit.
std::optional<std::uint64_t> multiply(std::uint64_t left, std::uint64_t right) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(left, right, &product))
    return std::nullopt;
  return product;
}

std::optional<std::uint64_t> whole_at(gguf_type type, const std::byte* at) {
  const auto read = [at]<class Number>(Number value) -> std::optional<std::uint64_t> {
    std::memcpy(&value, at, sizeof value);
    if (value < Number{0})
      return std::nullopt;
    return static_cast<std::uint64_t>(value);
  };
  switch (type) {
  case gguf_type::u8: return read(std::uint8_t{});
  case gguf_type::i8: return read(std::int8_t{});
  case gguf_type::u16: return read(std::uint16_t{});
  case gguf_type::i16: return read(std::int16_t{});
  case gguf_type::u32: return read(std::uint32_t{});
  case gguf_type::i32: return read(std::int32_t{});
  case gguf_type::u64: return read(std::uint64_t{});
  case gguf_type::i64: return read(std::int64_t{});
  default: return std::nullopt;
  }
}

/// The bytes of one value of `type`, from the cursor's position on.
std::span<const std::byte> take(gguf_cursor& from, gguf_type type, std::string_view key) {
  if (type != gguf_type::text)
    return from.items(key, 1, gguf_type_bytes(type));
  const auto text = from.text(key, limits::gguf_string_bytes_max);
  return std::as_bytes(std::span(text));
}

std::optional<gguf_type> read_type(gguf_cursor& from, std::string_view key) {
  const auto number = from.number<std::uint32_t>(key);
  if (number > static_cast<std::uint32_t>(gguf_type::f64)) {
    from.fail(key, "unknown value type " + std::to_string(number));
    return std::nullopt;
  }
  return static_cast<gguf_type>(number);
}

/// Text items are walked one by one, so the raw bytes hold their length prefixes.
void read_array(gguf_cursor& from, gguf_value& value, std::string_view key,
                std::span<const std::byte> rest) {
  const auto item = read_type(from, key);
  value.count = from.number<std::uint64_t>(key);
  if (!item || *item == gguf_type::array)
    return from.fail(key, "an array of arrays is not supported");
  if (value.count > limits::gguf_array_items_max)
    return from.fail(key, "array of " + std::to_string(value.count) + " items, at most "
                              + std::to_string(limits::gguf_array_items_max));
  value.item = *item;
  if (*item != gguf_type::text) {
    value.raw = from.items(key, value.count, gguf_type_bytes(*item));
    return;
  }
  const auto start = from.offset();
  for (std::uint64_t i = 0; i < value.count && !from.failed(); ++i)
    [[maybe_unused]] const auto text = from.text(key, limits::gguf_string_bytes_max);
  if (!from.failed())
    value.raw = rest.subspan(start, from.offset() - start);
}

gguf_tensor read_tensor(gguf_cursor& from, std::uint64_t alignment) {
  gguf_tensor tensor;
  tensor.name = from.text("tensor name", limits::gguf_tensor_name_bytes_max);
  const std::string field = "tensor " + std::string(tensor.name);
  const auto rank = from.number<std::uint32_t>(field);
  if (rank == 0 || rank > dimensions_max) {
    from.fail(field, std::to_string(rank) + " dimensions, expected 1 to 4");
    return tensor;
  }
  std::optional<std::uint64_t> numbers = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    tensor.dimensions.push_back(from.number<std::uint64_t>(field));
    numbers = numbers ? multiply(*numbers, tensor.dimensions.back()) : numbers;
  }
  const auto type = from.number<std::uint32_t>(field);
  tensor.type = find_gguf_number_type(type);
  tensor.offset = from.number<std::uint64_t>(field);
  if (from.failed())
    return tensor;
  if (tensor.type == nullptr)
    from.fail(field, "unknown number type " + std::to_string(type));
  else if (!numbers || *numbers == 0 || *numbers > (std::uint64_t{1} << 62U))
    from.fail(field, "dimensions are zero or overflow");
  else if (tensor.dimensions[0] % tensor.type->block != 0)
    from.fail(field, "row of " + std::to_string(tensor.dimensions[0]) + " is not whole blocks of "
                         + std::to_string(tensor.type->block));
  else if (tensor.offset % alignment != 0)
    from.fail(field, "offset " + std::to_string(tensor.offset) + " is not aligned to "
                         + std::to_string(alignment));
  else if (const auto bytes = multiply(*numbers / tensor.type->block, tensor.type->bytes))
    tensor.bytes = *bytes;
  else
    from.fail(field, "size overflows");
  return tensor;
}

} // namespace

std::uint64_t gguf_type_bytes(gguf_type type) {
  switch (type) {
  case gguf_type::u8:
  case gguf_type::i8:
  case gguf_type::boolean: return 1;
  case gguf_type::u16:
  case gguf_type::i16: return 2;
  case gguf_type::u32:
  case gguf_type::i32:
  case gguf_type::f32: return 4;
  case gguf_type::u64:
  case gguf_type::i64:
  case gguf_type::f64: return 8;
  case gguf_type::text:
  case gguf_type::array: break;
  }
  return 0;
}

template <class Number>
Number gguf_cursor::number(std::string_view field) {
  Number value{};
  if (const auto raw = items(field, 1, sizeof value); !raw.empty())
    std::memcpy(&value, raw.data(), sizeof value);
  return value;
}
template std::uint32_t gguf_cursor::number(std::string_view);
template std::uint64_t gguf_cursor::number(std::string_view);

std::string_view gguf_cursor::text(std::string_view field, std::uint64_t bytes_max) {
  const auto size = number<std::uint64_t>(field);
  if (size > bytes_max) {
    fail(field,
         "string of " + std::to_string(size) + " bytes, at most " + std::to_string(bytes_max));
    return {};
  }
  const auto raw = items(field, size, 1);
  return {reinterpret_cast<const char*>(raw.data()), raw.size()}; // NOLINT: bytes of a text.
}

std::span<const std::byte> gguf_cursor::items(std::string_view field, std::uint64_t count,
                                              std::uint64_t size) {
  if (failed())
    return {};
  if (size != 0 && count > left() / size) {
    fail(field, std::to_string(count) + " items of " + std::to_string(size) + " bytes, but only "
                    + std::to_string(left()) + " bytes are left in the file");
    return {};
  }
  if (count * size > bytes_.size() - offset_) {
    fail(field, "the table of contents is larger than "
                    + std::to_string(limits::gguf_contents_bytes_max) + " bytes");
    return {};
  }
  const auto part = bytes_.subspan(offset_, count * size);
  offset_ += part.size();
  return part;
}

void gguf_cursor::fail(std::string_view field, const std::string& message) {
  if (failed())
    return;
  std::string shown;
  for (const char c : field.substr(0, 128))
    shown += c >= ' ' && c <= '~' ? c : '?';
  failure_ = error{recovery::refuse, "bad_model",
                   "offset " + std::to_string(offset_) + ": " + shown + ": " + message};
}

std::optional<std::uint64_t> gguf_value::whole() const {
  return type == gguf_type::array || type == gguf_type::text ? std::nullopt
                                                             : whole_at(type, raw.data());
}

std::optional<std::string_view> gguf_value::text() const {
  if (type != gguf_type::text)
    return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size()); // NOLINT
}

std::optional<std::vector<std::uint64_t>> gguf_value::wholes() const {
  const auto size = gguf_type_bytes(item);
  if (type != gguf_type::array || size == 0)
    return std::nullopt;
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto number = whole_at(item, raw.data() + i * size);
    if (!number)
      return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

const gguf_number_type* find_gguf_number_type(std::uint32_t id) {
  const auto found = std::find_if(number_types.begin(), number_types.end(),
                                  [id](const auto& type) { return type.id == id; });
  return found == number_types.end() ? nullptr : &*found;
}

gguf_metadata read_gguf_metadata(gguf_cursor& from, std::uint64_t count) {
  gguf_metadata metadata;
  for (std::uint64_t i = 0; i < count && !from.failed(); ++i) {
    const std::string key(from.text("key", limits::gguf_name_bytes_max));
    const auto type = read_type(from, key);
    if (from.failed() || !type)
      break;
    if (key.empty() || metadata.contains(key)) {
      from.fail(key, "empty or duplicate key");
      break;
    }
    gguf_value value;
    value.type = *type;
    value.offset = from.offset();
    if (*type == gguf_type::array)
      read_array(from, value, key, from.whole());
    else
      value.raw = take(from, *type, key);
    metadata.emplace(key, value);
  }
  return metadata;
}

std::vector<gguf_tensor> read_gguf_tensors(gguf_cursor& from, std::uint64_t count,
                                           std::uint64_t alignment) {
  std::vector<gguf_tensor> tensors;
  std::set<std::string_view> names;
  for (std::uint64_t i = 0; i < count && !from.failed(); ++i) {
    auto tensor = read_tensor(from, alignment);
    if (!from.failed() && !names.insert(tensor.name).second)
      from.fail(tensor.name, "duplicate tensor");
    if (!from.failed())
      tensors.push_back(std::move(tensor));
  }
  return tensors;
}

} // namespace consort::node
