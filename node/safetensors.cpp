// SPDX-License-Identifier: Apache-2.0
#include "node/safetensors.hpp"

#include "node/small_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr const char* single_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";
constexpr std::string_view weights_ending = ".safetensors";
constexpr std::size_t length_bytes = 8;
constexpr std::size_t part_digits = 5;
constexpr const char* notes_key = "__metadata__"; ///< In a table, of no tensor.
constexpr std::size_t shown_name_bytes = 200;     ///< Of a name that a file gives.

error bad(const std::string& what) {
  return {recovery::refuse, "bad_model", what};
}

/// What a text of theirs may show in a message.
std::string shown_name(std::string_view text) {
  std::string out(text.substr(0, shown_name_bytes));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

/// A pass over JSON that keeps where it is and little else: tables have up to a hundred thousand
/// entries, and a hostile one any number of brackets.
class pass : public nlohmann::json_sax<json> {
public:
  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool number_integer(number_integer_t) override { return scalar(); }
  bool number_unsigned(number_unsigned_t) override { return scalar(); }
  bool number_float(number_float_t, const string_t&) override { return scalar(); }
  bool string(string_t&) override { return scalar(); }
  bool binary(binary_t&) override { return scalar(); }
  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool end_object() override { return depth_-- > 0; }
  bool start_array(std::size_t) override { return depth_++ > 0; }
  bool end_array() override { return depth_-- > 0; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return false;
  }

protected:
  /// Anything but a container and what a pass reads. Returns: whether it may stand there.
  virtual bool scalar() = 0;

  std::size_t depth_ = 0; ///< Objects and arrays that are open.
};

/// Where the last tensor of a table ends: 1 deep are the tensors' names, 2 deep what is said of
/// one, 3 deep the two numbers of its `data_offsets`.
class table_pass final : public pass {
public:
  bool key(string_t& name) override {
    if (depth_ == 1) {
      tensor_ = name;
      placed_ = name == notes_key;
    }
    if (depth_ == 2)
      offsets_ = tensor_ != notes_key && name == "data_offsets";
    return true;
  }
  bool start_object(std::size_t size) override { return !offsets_ && pass::start_object(size); }
  bool end_object() override { return (depth_ != 2 || placed_) && pass::end_object(); }
  bool start_array(std::size_t size) override {
    if (depth_ < 2 || (offsets_ && (depth_ > 2 || placed_)))
      return false;
    count_ = 0;
    return pass::start_array(size);
  }
  bool end_array() override {
    if (offsets_ && count_ != 2)
      return false;
    placed_ = placed_ || offsets_;
    offsets_ = false;
    return pass::end_array();
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!offsets_ || depth_ != 3)
      return scalar();
    if (++count_ == 1)
      begin_ = value;
    else
      end_ = std::max<std::uint64_t>(end_, value);
    return count_ == 1 || (count_ == 2 && value >= begin_);
  }

  [[nodiscard]] std::uint64_t end() const { return end_; } ///< Bytes behind the table.
  [[nodiscard]] const std::string& tensor() const { return tensor_; }

private:
  bool scalar() override { return depth_ > 1 && !offsets_; }

  std::string tensor_; ///< That is read.
  bool placed_ = false, offsets_ = false;
  std::size_t count_ = 0; ///< Numbers of these offsets so far.
  std::uint64_t begin_ = 0, end_ = 0;
};

/// The first file that an index names and a folder lacks.
class index_pass final : public pass {
public:
  explicit index_pass(const std::set<std::string>& names) : names_(names) {}

  bool key(string_t& name) override {
    if (depth_ == 1)
      map_ = name == "weight_map";
    return true;
  }
  bool start_object(std::size_t size) override {
    found_ = found_ || (map_ && depth_ == 1);
    return (!map_ || depth_ == 1) && pass::start_object(size);
  }
  bool start_array(std::size_t size) override { return !map_ && pass::start_array(size); }
  bool string(string_t& value) override {
    if (!map_ || depth_ != 2)
      return scalar();
    if (!names_.contains(value))
      missing_ = value;
    return !missing_;
  }

  [[nodiscard]] bool found() const { return found_; }
  [[nodiscard]] const std::optional<std::string>& missing() const { return missing_; }

private:
  bool scalar() override { return depth_ > 0 && !map_; }

  const std::set<std::string>& names_;
  bool map_ = false, found_ = false;
  std::optional<std::string> missing_;
};

std::uint64_t length_in(std::string_view head) {
  std::uint64_t length = 0;
  for (std::size_t at = 0; at < length_bytes; ++at)
    length |= std::uint64_t{static_cast<unsigned char>(head[at])} << (8 * at);
  return length;
}

error truncated(std::uint64_t file_bytes, const std::string& where) {
  return bad("truncated at " + std::to_string(file_bytes) + " bytes, " + where
             + ": it has to be copied again");
}

result<done> check_index(const std::string& folder, const std::set<std::string>& names) {
  const auto path = folder + "/" + index_file;
  const auto text = read_file_head(path, limits::safetensors_table_bytes_max + 1);
  if (!text) // Whoever hashes it says why.
    return done{};
  if (text->size() > limits::safetensors_table_bytes_max)
    return bad(path + ": larger than " + std::to_string(limits::safetensors_table_bytes_max)
               + " bytes");
  index_pass index(names);
  const bool whole = json::sax_parse(text->begin(), text->end(), &index);
  if (index.missing())
    return bad(path + ": names `" + shown_name(*index.missing())
               + "`, which is not in the folder: it has to be copied, too");
  if (!whole || !index.found())
    return bad(path + ": expected an object with `weight_map`, tensors' names to files");
  return done{};
}

/// A name like `model-00001-of-00002.safetensors`.
struct part {
  std::string_view prefix;
  std::uint32_t number = 0, total = 0;
};

std::optional<std::uint32_t> digits_in(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                   : std::nullopt;
}

std::optional<part> part_of(std::string_view name) {
  constexpr std::string_view shape = "-00001-of-00002";
  if (!name.ends_with(weights_ending) || name.size() < shape.size() + weights_ending.size())
    return std::nullopt;
  name.remove_suffix(weights_ending.size());
  const auto tail = name.substr(name.size() - shape.size());
  const auto number = digits_in(tail.substr(1, part_digits));
  const auto total = digits_in(tail.substr(shape.size() - part_digits));
  if (tail.front() != '-' || tail.substr(1 + part_digits, 4) != "-of-" || !number || !total
      || *number > *total)
    return std::nullopt;
  return part{name.substr(0, name.size() - shape.size()), *number, *total};
}

std::string name_of(const part& from, std::uint32_t number) {
  const auto padded = [](std::uint32_t value) {
    const auto text = std::to_string(value);
    return std::string(part_digits - std::min(part_digits, text.size()), '0') + text;
  };
  return std::string(from.prefix) + "-" + padded(number) + "-of-" + padded(from.total)
         + std::string(weights_ending);
}

/// By the names of the parts alone. Some writers count from zero, and are taken at their word.
result<done> check_parts(const std::string& folder, const std::set<std::string>& names) {
  for (const auto& name : names) {
    const auto one = part_of(name);
    if (!one || names.contains(name_of(*one, 0)))
      continue;
    const auto next = std::min(one->number + 1, one->total);
    for (const auto& wanted : {name_of(*one, 1), name_of(*one, next)})
      if (!names.contains(wanted))
        return bad(folder + ": has " + shown_name(name) + " and not " + shown_name(wanted)
                   + ": it has to be copied, too");
  }
  return done{};
}

} // namespace

result<done> check_safetensors(std::string_view head, std::uint64_t file_bytes) {
  if (file_bytes < length_bytes || head.size() < length_bytes)
    return truncated(file_bytes, "within the length of its table");
  const auto table_bytes = length_in(head);
  if (table_bytes > limits::safetensors_table_bytes_max)
    return bad("offset 0: a table of " + std::to_string(table_bytes) + " bytes, at most "
               + std::to_string(limits::safetensors_table_bytes_max)
               + " are read: damaged, or no safetensors file");
  const auto table = head.substr(length_bytes, table_bytes);
  if (table_bytes > file_bytes - length_bytes || table.size() < table_bytes)
    return truncated(file_bytes, "within its table of " + std::to_string(table_bytes));
  table_pass tensors;
  if (!json::sax_parse(table.begin(), table.end(), &tensors))
    return bad("offset 8: damaged table: expected an object with the `data_offsets` of each tensor"
               + (tensors.tensor().empty() ? "" : ", near `" + shown_name(tensors.tensor()) + "`"));
  const auto room = file_bytes - length_bytes - table_bytes;
  if (tensors.end() > room)
    return truncated(file_bytes, "its table tells of " + std::to_string(tensors.end())
                                     + " bytes of tensors and there are " + std::to_string(room));
  if (tensors.end() < room)
    return bad("its table tells of " + std::to_string(tensors.end()) + " bytes of tensors and there"
               + " are " + std::to_string(room) + ": damaged");
  return done{};
}

result<done> check_safetensors_file(const std::string& path) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  auto head = read_file_head(path, length_bytes);
  if (failed || !head) // Whoever hashes it says why.
    return done{};
  if (head->size() == length_bytes
      && length_in(*head) <= limits::safetensors_table_bytes_max) // Beyond is no file of the kind.
    head = read_file_head(path, length_bytes + length_in(*head));
  if (!head)
    return done{};
  if (const auto sound = check_safetensors(*head, size); !sound)
    return bad(path + ": " + sound.failure().message);
  return done{};
}

result<done> check_safetensors_folder(const std::string& folder,
                                      const std::set<std::string>& names) {
  auto sound = names.contains(single_file)  ? result<done>(done{})
               : names.contains(index_file) ? check_index(folder, names)
                                            : check_parts(folder, names);
  for (const auto& name : names)
    if (sound && name.ends_with(weights_ending))
      sound = check_safetensors_file(folder + "/" + name);
  return sound;
}

} // namespace consort::node
