// SPDX-License-Identifier: Apache-2.0
#include "node/probe_answer.hpp"

#include "node/csv_table.hpp"
#include "node/pattern.hpp"
#include "node/small_file.hpp"

#include <nlohmann/json.hpp>

#include <glob.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <set>

namespace consort::node {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes = 80;
constexpr std::string_view degree_sign = "\xc2\xb0";

/// Looks up where a field stands in one device; nothing when it is not there.
using lookup = std::function<std::optional<std::string>(const std::string& at)>;

std::string clean(std::string_view text) {
  std::string out;
  text = text.substr(0, limits::plugin_text_bytes_max);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.substr(at, degree_sign.size()) == degree_sign)
      ++at; // `29.81 °C` is in C.
    else
      out += text[at] >= ' ' && text[at] <= '~' ? text[at] : '?';
  }
  return out;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

error bad_answer(const std::string& message) {
  return {recovery::retry_later, "plugin_answer", message};
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (const auto line = trim(text.substr(0, end)); !line.empty())
      lines.push_back(line);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

/// What reads one answer: which field it is at, and the first pattern that was given up. After that
/// none is tried any more, so that an answer of many lines costs no more than one.
struct answer_reader {
  std::string field; ///< As plugin.json calls it, for messages.
  std::string given_up = {};
  std::string preface = {}; ///< Words in front of a JSON answer.

  /// Nothing found without a pattern, or after one was given up.
  pattern_match search(const std::optional<pattern>& wanted, std::string_view line) {
    auto match = wanted && given_up.empty() ? wanted->search(line) : pattern_match{};
    if (match.gave_up)
      given_up = field + ": " + given_up_words(line);
    return match;
  }
};

/// What load_plugin_json() let through is a pattern.
std::optional<pattern> pattern_of(const std::string& text) {
  auto made = pattern::compile(text);
  return made ? std::optional(*std::move(made)) : std::nullopt;
}

/// The group of a pattern in the first line of `text` that it matches; nothing without one.
std::optional<std::string> matched(answer_reader& reader, const std::string& wanted_text,
                                   std::string_view text) {
  const auto wanted = pattern_of(wanted_text);
  for (const auto line : split_lines(text))
    if (auto match = reader.search(wanted, line); match.found)
      return std::move(match.groups[match.groups.size() > 1 ? 1 : 0]);
  return std::nullopt;
}

} // namespace

bool says_something(const std::string& text) {
  static const std::set<std::string, std::less<>> nothing{
      "", "-", "N/A", "[N/A]", "n/a", "NA", "[Not Supported]", "Not Supported", "[Unknown Error]"};
  return !nothing.contains(text);
}

namespace {

/// What stood in one place, and the units that it is in.
struct found_text {
  std::string text;
  const field_source* source;
  std::string said; ///< What the tool printed, where `words` replaced it.
};

/// A number with nothing but its unit behind it.
std::optional<double> number_in(std::string_view text, const std::string& unit) {
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto rest = trim(text.substr(static_cast<std::size_t>(end - text.data())));
  if (status != std::errc{} || !std::isfinite(number) || (!rest.empty() && rest != unit))
    return std::nullopt;
  return number;
}

/// What several values come to, those that cannot be read left out; nothing when none can.
std::optional<std::string> folded(answer_reader& reader, const field_source& source,
                                  std::string_view lines) {
  std::optional<double> sum;
  int count = 0;
  for (const auto line : split_lines(lines)) {
    const auto text
        = source.match.empty() ? clean(line) : matched(reader, source.match, line).value_or("");
    const auto one = number_in(text, source.unit);
    if (!one)
      continue;
    ++count;
    sum = source.take == field_take::max ? std::max(sum.value_or(*one), *one)
                                         : sum.value_or(0) + *one;
  }
  if (!sum)
    return std::nullopt;
  const double value = source.take == field_take::mean ? *sum / count : *sum;
  return json(value).dump();
}

std::optional<found_text> read_one(answer_reader& reader, const field_source& source,
                                   const lookup& find) {
  auto text = source.constant ? source.constant : find(source.at);
  if (text && source.take == field_take::join)
    std::replace(text->begin(), text->end(), '\n', ',');
  else if (text && source.take != field_take::first) {
    auto sum = folded(reader, source, *text);
    return sum ? std::optional(found_text{*std::move(sum), &source, {}}) : std::nullopt;
  }
  if (text && !source.match.empty())
    text = matched(reader, source.match, *text);
  if (!text)
    return std::nullopt;
  auto cleaned = clean(trim(std::string_view(*text).substr(0, text->find('\n'))));
  if (const auto word = source.words.find(cleaned); word != source.words.end())
    return found_text{word->second, &source, std::move(cleaned)};
  if (const auto other = source.words.find("*"); other != source.words.end() && !cleaned.empty())
    return found_text{other->second, &source, std::move(cleaned)};
  if (!cleaned.empty())
    cleaned.insert(0, source.prefix);
  return found_text{std::move(cleaned), &source, {}};
}

/// The value of several places, in the order given.
std::optional<found_text> read_source(answer_reader& reader, const field_source& source,
                                      const lookup& find) {
  auto first = read_one(reader, source, find);
  if (source.otherwise.empty() || (first && says_something(first->text)))
    return first;
  for (const auto& other : source.otherwise)
    if (auto found = read_one(reader, other, find); found && says_something(found->text))
      return found;
  return first;
}

bool wanted(answer_reader& reader, const tool_query& query, const lookup& find) {
  return std::all_of(query.where.begin(), query.where.end(), [&](const auto& condition) {
    reader.field = "where/" + condition.first;
    const auto text = find(condition.first);
    return text && matched(reader, condition.second, *text).has_value();
  });
}

/// Returns: the row, until the next one comes; null when it is none of ours.
answer_row* add_row(answer_reader& reader, const tool_query& query, const lookup& find,
                    std::vector<answer_row>& rows) {
  if (rows.size() > limits::plugin_devices_max || !wanted(reader, query, find))
    return nullptr;
  answer_row row;
  for (const auto& [name, source] : query.fields) {
    reader.field = name;
    if (auto found = read_source(reader, source, find)) {
      row.fields[name] = std::move(found->text);
      row.sources[name] = found->source;
      if (!found->said.empty())
        row.said[name] = std::move(found->said);
    }
  }
  for (const auto& [name, source] : query.attributes) {
    reader.field = "attributes/" + name;
    if (auto found = read_source(reader, source, find))
      row.attributes[name] = std::move(found->text);
  }
  rows.push_back(std::move(row));
  return &rows.back();
}

/// `a`, or `a` or `b`: where a query looks for one field.
std::string places_of(const field_source& source) {
  std::string made = "`" + source.at + "`";
  for (const auto& other : source.otherwise)
    made += " or `" + other.at + "`";
  return made;
}

/// Names in the order given, as much of them as a message holds.
std::string listed(const std::vector<std::string>& names) {
  std::string made;
  for (const auto& name : names) {
    if (made.size() > shown_bytes)
      return made + " ...";
    made += (made.empty() ? "" : ", ") + clean(std::string_view(name).substr(0, shown_bytes));
  }
  return made;
}

std::optional<std::string> value_text(const json& value) {
  if (value.is_string())
    return value.get<std::string>();
  if (value.is_number() || value.is_boolean())
    return value.dump();
  return std::nullopt;
}

/// Every value at a pointer in which `*` stands for each member.
void collect(const json& from, std::string_view at, std::vector<std::string>& into) {
  const auto star = at.find("/*");
  const auto after = star + 2;
  const bool is_step = star != std::string_view::npos && (after == at.size() || at[after] == '/');
  const json::json_pointer pointer(std::string(is_step ? at.substr(0, star) : at));
  if (into.size() >= limits::plugin_devices_max || !from.contains(pointer))
    return;
  const auto& value = from[pointer];
  if (!is_step) {
    if (auto text = value_text(value))
      into.push_back(*std::move(text));
  } else if (value.is_structured()) {
    for (const auto& member : value)
      collect(member, at.substr(after), into);
  }
}

/// Several values come as lines of one text, and fold later, where their unit is known.
std::optional<std::string> json_text(const json& device, const std::string& at) {
  std::vector<std::string> all;
  collect(device, at, all);
  if (all.empty())
    return std::nullopt;
  std::string joined;
  for (const auto& one : all)
    joined += (joined.empty() ? "" : "\n") + one;
  return joined;
}

/// What an object has, of which none is what was looked for; empty of anything else.
std::string fields_words(const json& device) {
  if (!device.is_object() || device.empty())
    return {};
  std::vector<std::string> names;
  for (const auto& [name, value] : device.items())
    names.push_back(name);
  return "it has " + listed(names);
}

/// A pass over what is no JSON, for the place that makes it none.
struct fault_finder final : nlohmann::json_sax<json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t place, const std::string& token,
                   const nlohmann::json::exception&) override {
    at = place;
    near = token;
    return false;
  }

  std::size_t at = 0; ///< Bytes read until then.
  std::string near;
};

constexpr const char* empty_answer_words = "printed nothing";

/// "not JSON: `the beginning`", with the place of the fault where that is behind it.
std::string no_json_words(std::string_view answer) {
  if (trim(answer).empty())
    return empty_answer_words;
  fault_finder found;
  json::sax_parse(answer.begin(), answer.end(), &found);
  const auto near = std::string_view(found.near).substr(0, shown_bytes);
  return "not JSON at byte " + std::to_string(found.at)
         + (near.empty() ? "" : ", near `" + clean(near) + "`") + ": `"
         + clean(answer.substr(0, shown_bytes)) + "`";
}

/// Returns: the value; discarded where it is none, or nested too deep.
json parse_bounded(std::string_view text, bool& too_deep) {
  too_deep = false;
  return json::parse(
      text.begin(), text.end(),
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > static_cast<int>(limits::json_depth_max);
        return !too_deep;
      },
      false);
}

/// Where the next line begins that may be the first of an object or a list; nothing within
/// limits::json_preface_bytes_max.
std::optional<std::size_t> next_beginning(std::string_view answer, std::size_t from) {
  while (from < std::min(answer.size(), limits::json_preface_bytes_max)) {
    if (answer[from] == '{' || answer[from] == '[')
      return from;
    const auto end = answer.find('\n', from);
    if (end == std::string_view::npos)
      return std::nullopt;
    from = end + 1;
  }
  return std::nullopt;
}

/// The JSON of an answer, and the lines in front of it that are passed over: some tools print their
/// warnings there, `[WARN] ...` among them.
json parse_behind_words(std::string_view answer, bool& too_deep, std::string& preface) {
  auto root = parse_bounded(answer, too_deep);
  bool deeper = false;
  auto at = next_beginning(answer, 0);
  for (std::size_t tries = 0; root.is_discarded() && !too_deep && at; ++tries) {
    if (tries >= limits::json_beginnings_max)
      break;
    if (auto behind = parse_bounded(answer.substr(*at), deeper); !behind.is_discarded()) {
      preface = clean(trim(answer.substr(0, *at)));
      return behind;
    }
    const auto end = answer.find('\n', *at);
    at = end == std::string_view::npos ? std::nullopt : next_beginning(answer, end + 1);
  }
  return root;
}

result<std::vector<answer_row>> split_json(answer_reader& reader, const tool_query& query,
                                           std::string_view answer) {
  bool too_deep = false;
  const auto root = parse_behind_words(answer, too_deep, reader.preface);
  if (too_deep || root.is_discarded())
    return bad_answer(too_deep ? "JSON nested too deep" : no_json_words(answer));
  auto place = query.each;
  for (const auto& other : query.each_otherwise)
    if (!root.contains(json::json_pointer(place)))
      place = other;
  const json::json_pointer each(place);
  if (!root.contains(each))
    return bad_answer("nothing at " + query.each);
  const auto& devices = root[each];
  std::vector<answer_row> rows;
  const auto add = [&](const json& device) {
    auto* const row = add_row(
        reader, query, [&](const std::string& at) { return json_text(device, at); }, rows);
    if (row != nullptr && text_of(*row, "id").empty())
      row->came = fields_words(device);
  };
  if (devices.is_array() || (devices.is_object() && !place.empty()))
    std::for_each(devices.begin(), devices.end(), add);
  else
    add(devices);
  return rows;
}

std::string columns_words(const csv_table& table) {
  return "columns are " + listed(table.header);
}

/// What a table cannot be read without: `id`, and what `where` goes by. An answer without them is
/// the tool's complaint or another version's table, and no list of no devices. Returns: empty when
/// it has all.
std::string missing_columns(const tool_query& query, const csv_table& table) {
  const auto has = [&](const std::string& name) {
    return std::find(table.header.begin(), table.header.end(), name) != table.header.end();
  };
  const auto words
      = [&](const std::string& name) { return "no column " + name + "; " + columns_words(table); };
  if (const auto id = query.fields.find("id"); id != query.fields.end()) {
    const auto& places = id->second.otherwise;
    const auto good = [&](const field_source& from) { return from.constant || has(from.at); };
    if (!good(id->second) && std::none_of(places.begin(), places.end(), good))
      return words(places_of(id->second));
  }
  for (const auto& [name, pattern] : query.where)
    if (!has(name))
      return words("`" + name + "`, which `where` goes by");
  return {};
}

result<std::vector<answer_row>> split_csv(answer_reader& reader, const tool_query& query,
                                          std::string_view answer) {
  const auto table = read_csv(answer, query.columns);
  if (!table)
    return bad_answer(std::string(empty_answer_words) + ": no header line");
  if (const auto missing = missing_columns(query, *table); !missing.empty())
    return bad_answer(missing);
  // Of a table without a header nobody knows whether such a line is one of its rows.
  if (const auto at = query.columns.empty() ? short_row(*table) : std::nullopt)
    return bad_answer(
        "row " + std::to_string(*at + 1) + " has " + std::to_string(table->rows[*at].size())
        + " of " + std::to_string(table->header.size()) + " columns: " + listed(table->rows[*at]));
  std::vector<answer_row> rows;
  for (std::size_t i = 0; i < table->rows.size(); ++i) {
    const auto find = [&](const std::string& at) { return cell(*table, i, at); };
    auto* const row = add_row(reader, query, find, rows);
    if (row != nullptr && text_of(*row, "id").empty())
      row->came = columns_words(*table);
  }
  return rows;
}

std::vector<answer_row> split_text(answer_reader& reader, const tool_query& query,
                                   std::string_view answer) {
  std::vector<answer_row> rows;
  const auto each = pattern_of(query.each);
  for (const auto line : split_lines(answer)) {
    reader.field = "each";
    const auto match = reader.search(each, line);
    if (!match.found)
      continue;
    const auto captured = [&](const std::string& at) -> std::optional<std::string> {
      std::size_t group = 0;
      std::from_chars(at.data(), at.data() + at.size(), group);
      return group < match.groups.size() ? std::optional(match.groups[group]) : std::nullopt;
    };
    add_row(reader, query, captured, rows);
  }
  return rows;
}

/// Each block goes on to the next line that `each` matches; what comes before the first is none.
std::vector<answer_row> split_blocks(answer_reader& reader, const tool_query& query,
                                     std::string_view answer) {
  std::vector<std::string> blocks;
  std::vector<answer_row> rows;
  const auto each = pattern_of(query.each);
  std::size_t lines = 0;
  reader.field = "each";
  for (const auto line : split_lines(answer)) {
    if (reader.search(each, line).found) {
      if (blocks.size() > limits::plugin_devices_max)
        break;
      blocks.emplace_back();
      lines = 0;
    }
    if (!blocks.empty() && lines++ < limits::block_lines_max)
      blocks.back().append(line.substr(0, limits::pattern_line_bytes_max)) += '\n';
  }
  for (const auto& block : blocks)
    add_row(
        reader, query, [&](const std::string& at) { return matched(reader, at, block); }, rows);
  return rows;
}

/// What stands in a file of a folder; of several, named with `+` between them, joined by `:`.
std::optional<std::string> folder_text(const std::string& folder, std::string_view at) {
  if (const auto plus = at.find('+'); plus != std::string_view::npos) {
    const auto first = folder_text(folder, at.substr(0, plus));
    const auto rest = folder_text(folder, at.substr(plus + 1));
    if (!first || !rest)
      return std::nullopt;
    return std::string(trim(*first)) + ":" + *rest;
  }
  if (at == ".")
    return folder;
  auto path = folder + "/" + std::string(at);
  if (at.find('*') != std::string_view::npos) { // Some folders below are numbered as they come.
    glob_t found{};
    const bool any = ::glob(path.c_str(), 0, nullptr, &found) == 0;
    path = any ? found.gl_pathv[0] : "";
    ::globfree(&found);
  }
  auto text = read_file_head(path, limits::sysfs_file_bytes_max);
  return text && text->empty() ? std::nullopt : std::move(text);
}

result<std::vector<answer_row>> read_folders(answer_reader& reader, const tool_query& query) {
  glob_t found{};
  const int status = ::glob(query.each.c_str(), GLOB_ERR, nullptr, &found);
  std::vector<std::string> folders(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (status != 0 && status != GLOB_NOMATCH)
    return bad_answer(query.each + ": cannot be listed");
  // By number: card2 is before card10, and the place of a device is what its server is told.
  std::sort(folders.begin(), folders.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::vector<answer_row> rows;
  for (const auto& folder : folders) {
    const auto read = [&](const std::string& at) { return folder_text(folder, at); };
    add_row(reader, query, read, rows);
  }
  return rows;
}

result<std::vector<answer_row>> split(answer_reader& reader, const tool_query& query,
                                      std::string_view answer) {
  switch (query.parse) {
  case answer_format::json: return split_json(reader, query, answer);
  case answer_format::csv: return split_csv(reader, query, answer);
  case answer_format::text: return split_text(reader, query, answer);
  case answer_format::sysfs: return read_folders(reader, query);
  case answer_format::blocks: return split_blocks(reader, query, answer);
  }
  return bad_answer("unknown format");
}

/// ": nothing at `/uuid`; it has name, state": which place was meant, and what the tool gave.
std::string no_id_words(const tool_query& query, const answer_row& row) {
  const auto id = query.fields.find("id");
  if (id == query.fields.end())
    return {};
  return ": nothing stands at " + places_of(id->second) + (row.came.empty() ? "" : "; " + row.came);
}

/// Takes rows without an id out, unless none has one. Returns: the first of them; nothing without.
std::optional<std::size_t> remove_nameless(std::vector<answer_row>& rows) {
  const auto nameless = [](const answer_row& row) { return text_of(row, "id").empty(); };
  const auto first = std::find_if(rows.begin(), rows.end(), nameless);
  if (first == rows.end())
    return std::nullopt;
  const auto place = static_cast<std::size_t>(first - rows.begin());
  if (!std::all_of(rows.begin(), rows.end(), nameless))
    std::erase_if(rows, nameless);
  return place;
}

} // namespace

result<std::vector<answer_row>> split_answer(const tool_query& query, std::string_view answer,
                                             std::string* left_out, std::string* preface) {
  answer_reader reader{"each"};
  auto rows = split(reader, query, answer);
  if (!reader.given_up.empty())
    return bad_answer(reader.given_up);
  if (preface != nullptr)
    *preface = reader.preface;
  if (!rows)
    return rows;
  if (rows->size() > limits::plugin_devices_max)
    return bad_answer("more than " + std::to_string(limits::plugin_devices_max) + " devices");
  if (const auto place = left_out == nullptr ? std::nullopt : remove_nameless(*rows))
    *left_out = "device " + std::to_string(*place) + " has no id, and is left out";
  std::set<std::string> ids;
  for (std::size_t i = 0; i < rows->size(); ++i) {
    const auto id = text_of((*rows)[i], "id");
    if (id.empty())
      return bad_answer("device " + std::to_string(i) + " has no id"
                        + no_id_words(query, (*rows)[i]));
    if (!ids.insert(id).second)
      return bad_answer("two devices have the id " + id);
  }
  return rows;
}

std::string without_model(const std::vector<answer_row>& rows) {
  std::string first;
  std::size_t count = 0;
  for (const auto& row : rows)
    if (!says_something(text_of(row, "model")) && ++count == 1)
      first = text_of(row, "id");
  if (count == 0)
    return {};
  return first + (count == 1 ? " has" : " and " + std::to_string(count - 1) + " more have")
         + " no model: nothing stands where `model` of the probe points";
}

std::string unmatched_words(const tool_query& query, std::string_view answer) {
  if (query.parse != answer_format::text && query.parse != answer_format::blocks)
    return {};
  const auto lines = split_lines(answer);
  if (lines.empty())
    return {};
  return (lines.size() == 1 ? "the line that it printed does not match `each`"
                            : "none of the " + std::to_string(lines.size())
                                  + " lines that it printed matches `each`; the first")
         + ": " + clean(lines.front().substr(0, shown_bytes));
}

std::optional<std::int64_t> figure_of(const answer_row& row, const std::string& name) {
  const auto source = row.sources.find(name);
  if (source == row.sources.end())
    return std::nullopt;
  const auto& from = *source->second;
  const auto number = number_in(text_of(row, name), from.unit);
  if (!number)
    return std::nullopt;
  constexpr double figure_max = 9e15; // Exact in a double, and far above any device.
  const double scaled
      = *number * static_cast<double>(from.multiply) / static_cast<double>(from.divide);
  if (!std::isfinite(scaled) || std::abs(scaled) > figure_max)
    return std::nullopt;
  return std::llround(scaled);
}

std::string text_of(const answer_row& row, const std::string& name) {
  const auto found = row.fields.find(name);
  return found == row.fields.end() ? std::string{} : found->second;
}

} // namespace consort::node
