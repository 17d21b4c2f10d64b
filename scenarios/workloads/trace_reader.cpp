// SPDX-License-Identifier: Apache-2.0
#include "scenarios/workloads/trace_reader.hpp"

#include "scenarios/limits.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace consort::sim {

namespace {

struct time_name {
  std::string_view name;
  double unit_us;        ///< 0 = date and time.
  bool says_unit = true; ///< Else a Unix time is known by its size.
};
constexpr std::array<time_name, 14> time_names{{{"TIMESTAMP", 0},
                                                {"timestamp_ns", 1e-3},
                                                {"arrival_ns", 1e-3},
                                                {"submitted_us", 1},
                                                {"arrival_us", 1},
                                                {"timestamp", 1e3, false},
                                                {"timestamp_ms", 1e3},
                                                {"Timestamp", 1e6, false},
                                                {"arrival_ms", 1e3},
                                                {"created", 1e6, false},
                                                {"created_at", 1e6, false},
                                                {"arrived_at", 1e6, false},
                                                {"arrival_s", 1e6},
                                                {"time_s", 1e6}}};
constexpr std::array<std::string_view, 8> input_names{
    "ContextTokens", "input_length",       "input_toks",     "prompt_tokens",
    "input_tokens",  "num_prefill_tokens", "request_tokens", "Request tokens"};
constexpr std::array<std::string_view, 8> output_names{
    "GeneratedTokens", "output_length",     "output_toks",     "completion_tokens",
    "output_tokens",   "num_decode_tokens", "response_tokens", "Response tokens"};
constexpr std::array<std::string_view, 3> bound_names{"max_completion_tokens", "max_output_tokens",
                                                      "max_tokens"};
/// Where requests of the OpenAI API have their text, whatever they are wrapped in.
constexpr std::array<std::string_view, 7> text_places{
    "messages.content", "messages.content.text", "prompt",      "input",
    "input.content",    "input.content.text",    "instructions"};
/// Bytes of text in a token where nothing else is known.
constexpr double token_bytes = 4;
/// Of an answer where nothing is known of its length.
constexpr double output_tokens_unknown = 128;

/// A Unix time of 2001 to 5138 is known by its size: what it counts, and from which number on.
struct unix_unit {
  double from, unit_us;
};
constexpr std::array<unix_unit, 4> unix_units{{{1e17, 1e-3}, {1e14, 1}, {1e11, 1e3}, {1e9, 1e6}}};

/// How long one of what a column counts is, in microseconds, by its name and the first number.
double unit_us_of(const time_name& column, double first) {
  for (const auto& [from, unit_us] : unix_units)
    if (!column.says_unit && first >= from)
      return unit_us;
  return column.unit_us;
}

/// Whether a path is this one, or ends so.
bool leads_to(std::string_view path, std::string_view place) {
  return path.ends_with(place)
         && (path.size() == place.size() || path[path.size() - place.size() - 1] == '.');
}

/// Two to the 53rd: 285 years.
constexpr double time_us_max = 9'007'199'254'740'992;
constexpr double no_time = 2 * time_us_max; ///< Of a text that is none.

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view blanks = " \t";

std::string_view trimmed_cell(std::string_view cell) {
  const auto first = cell.find_first_not_of(blanks);
  if (first == std::string_view::npos)
    return {};
  return cell.substr(first, cell.find_last_not_of(blanks) - first + 1);
}

/// The cells of a row, without blanks around them and without their quotes. What is escaped within
/// quotes stays so: times and counts have nothing to escape.
std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> made;
  for (;;) {
    auto comma = line.find(',');
    auto cell = trimmed_cell(line.substr(0, comma));
    if (cell.starts_with('"')) {
      bool quoted = false;
      comma = 0;
      while (comma < line.size() && (quoted || line[comma] != ','))
        quoted ^= line[comma++] == '"';
      cell = trimmed_cell(line.substr(0, comma));
      cell.remove_prefix(1);
      if (cell.ends_with('"'))
        cell.remove_suffix(1);
      if (comma == line.size())
        comma = std::string_view::npos;
    }
    made.push_back(cell);
    if (comma == std::string_view::npos)
      return made;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> number_of(std::string_view text) {
  double made = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), made);
  if (status != std::errc{} || stop != text.data() + text.size() || !std::isfinite(made))
    return std::nullopt;
  return made;
}

/// From year 0 to about 2000: a double holds microseconds of some centuries exactly, not of twenty.
constexpr double epoch_days = 730'000;

/// Takes `Z`, `+00:00` or `-0530` from the end of a time of day. Returns: minutes east of
/// Greenwich; nothing when what is there is no zone.
std::optional<double> take_zone(std::string_view& text) {
  const auto begin = text.find_first_of("Z+-");
  if (begin == std::string_view::npos)
    return 0;
  const auto zone = text.substr(begin);
  text = text.substr(0, begin);
  if (zone == "Z")
    return 0;
  const bool colon = zone.size() == 6 && zone[3] == ':';
  const auto hours = number_of(zone.substr(1, 2));
  const auto minutes
      = colon || zone.size() == 5 ? number_of(zone.substr(colon ? 4 : 3)) : std::optional<double>();
  if (!hours || !minutes || *hours < 0 || *minutes < 0)
    return std::nullopt;
  return (*hours * 60 + *minutes) * (zone[0] == '-' ? -1 : 1);
}

/// Of a month, by the civil calendar. Requires: a month of 1 to 12.
double days_of(double year, double month) {
  constexpr std::array<double, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const auto divides = [&](double by) { return std::fmod(year, by) == 0; };
  const bool leap = month == 2 && divides(4) && (!divides(100) || divides(400));
  return days.at(static_cast<std::size_t>(month) - 1) + (leap ? 1 : 0);
}

/// `2023-11-16 18:15:46.6805900`, with a space or a T, with a zone or without, as microseconds from
/// an epoch of its own.
std::optional<double> date_us(std::string_view text) {
  std::array<double, 6> parts{};
  constexpr std::string_view ends = "-- ::";
  double zone_min = 0;
  for (std::size_t at = 0; at < parts.size(); ++at) {
    if (at == ends.size()) {
      const auto zone = take_zone(text);
      if (!zone)
        return std::nullopt;
      zone_min = *zone;
    }
    auto stop = at < ends.size() ? text.find(ends[at]) : text.size();
    if (at == 2 && stop == std::string_view::npos)
      stop = text.find('T');
    if (stop == std::string_view::npos)
      return std::nullopt;
    const auto part = number_of(text.substr(0, stop));
    if (!part || *part < 0)
      return std::nullopt;
    parts[at] = *part;
    text.remove_prefix(std::min(stop + 1, text.size()));
  }
  if (parts[1] < 1 || parts[1] > 12 || parts[2] < 1 || parts[2] > days_of(parts[0], parts[1])
      || parts[3] > 24 || parts[4] > 60 || parts[5] > 61)
    return std::nullopt;
  // Days by the civil calendar, the year beginning in March.
  const double year = parts[0] - (parts[1] <= 2 ? 1 : 0);
  const double month = std::fmod(parts[1] + 9, 12);
  const double days = 365 * year + std::floor(year / 4) - std::floor(year / 100)
                      + std::floor(year / 400) + std::floor((153 * month + 2) / 5) + parts[2]
                      - epoch_days;
  return (((days * 24 + parts[3]) * 60 + parts[4] - zone_min) * 60 + parts[5]) * 1e6;
}

} // namespace

result<arrival_source_ptr> trace_reader::open(const std::string& path) {
  auto lines = line_source::open(path);
  if (!lines)
    return lines.failure();
  auto made = std::unique_ptr<trace_reader>(new trace_reader(std::move(*lines)));
  if (auto wrong = made->read_header())
    return *wrong;
  return arrival_source_ptr(std::move(made));
}

std::optional<error> trace_reader::read_header() {
  const auto more = lines_.next(line_);
  if (!more)
    return more.failure();
  if (!*more)
    return lines_.wrong("", "the trace is empty");
  if (line_.starts_with(byte_order_mark))
    line_.erase(0, byte_order_mark.size());
  csv_ = line_.empty() || line_.front() != '{';
  pending_ = !csv_;
  if (!csv_)
    return std::nullopt;
  const auto header = split(line_);
  header_columns_ = header.size();
  const auto place = [&](std::string_view name) {
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
  };
  const auto find = [&](field which, std::string_view name) {
    if (!names_[which].empty() || place(name) == header.size())
      return false;
    columns_[which] = place(name);
    names_[which] = name;
    return true;
  };
  for (std::size_t which = 0; which < time_names.size(); ++which)
    if (find(time, time_names[which].name))
      time_column_ = which;
  for (const auto name : input_names)
    find(input, name);
  for (const auto name : output_names)
    find(output, name);
  constexpr std::array<const char*, fields> what{"time", "prompt tokens", "output tokens"};
  for (std::size_t which = 0; which < fields; ++which)
    if (names_[which].empty())
      return lines_.wrong("", std::string("no column that could be ") + what[which]
                                  + ": expected names such as TIMESTAMP,ContextTokens,"
                                    "GeneratedTokens");
  for (const auto& name : names_)
    if (std::count(header.begin(), header.end(), name) > 1)
      return lines_.wrong(name, "is the name of two columns: which one is meant?");
  return std::nullopt;
}

result<std::optional<arrival>> trace_reader::next() {
  do {
    if (!pending_) {
      const auto more = lines_.next(line_);
      if (!more)
        return more.failure();
      if (!*more)
        return std::optional<arrival>{};
    }
    pending_ = false;
  } while (line_.empty());
  arrival made;
  double time_us = 0;
  if (auto wrong = csv_ ? read_row(made, time_us) : read_json(made, time_us))
    return *wrong;
  if (!first_us_)
    first_us_ = last_us_ = time_us;
  if (time_us < last_us_)
    return lines_.wrong(names_[time], "goes back in time: sort the trace first");
  // Not `>`: what is no number passes no comparison.
  if (!(time_us - *first_us_ <= static_cast<double>(limits::duration_us_max)))
    return lines_.wrong(names_[time], "is more than a week after the first");
  last_us_ = time_us;
  made.at = std::llround(time_us - *first_us_);
  return std::optional(std::move(made));
}

std::optional<error> trace_reader::set_tokens(std::string_view name, double value,
                                              std::uint32_t& out) const {
  if (!(value >= 0 && value <= limits::tokens_max))
    return lines_.wrong(name, "must be between 0 and "
                                  + std::to_string(static_cast<int>(limits::tokens_max)));
  // Nothing asked for or answered still takes a token of each.
  out = static_cast<std::uint32_t>(std::max(value, 1.0));
  return std::nullopt;
}

/// By one unit for the whole trace, which its first line tells: a clock may pass any number.
double trace_reader::in_us(std::size_t column, double value) {
  if (time_column_ != column || !time_unit_us_)
    time_unit_us_ = unit_us_of(time_names[column], value);
  time_column_ = column;
  return value * *time_unit_us_;
}

std::optional<error> trace_reader::read_row(arrival& out, double& time_us) {
  const auto row = split(line_);
  for (const auto column : columns_)
    if (column >= row.size())
      return lines_.wrong("", "has " + std::to_string(row.size()) + " columns, the header more"
                                  + (std::count(line_.begin(), line_.end(), '"') % 2 == 0
                                         ? ""
                                         : ": a quote is not closed"));
  // Empty ones shift nothing.
  for (auto column = header_columns_; column < row.size(); ++column)
    if (!row[column].empty())
      return lines_.wrong("", "has " + std::to_string(row.size()) + " columns, the header "
                                  + std::to_string(header_columns_)
                                  + ": put cells that hold a comma into quotes");
  const auto cell = row[columns_[time]];
  const bool dates = time_names[time_column_].unit_us == 0;
  const auto number = dates ? std::optional<double>() : number_of(cell);
  const auto when = number ? in_us(time_column_, *number) : date_us(cell);
  // Beyond that a number tells no microseconds apart.
  if (!when || *when > time_us_max || (number && *number < 0))
    return lines_.wrong(names_[time], "`" + std::string(cell) + "` is not a time");
  time_us = *when;
  for (const auto which : {input, output}) {
    const auto value = number_of(row[columns_[which]]);
    if (!value)
      return lines_.wrong(names_[which],
                          "`" + std::string(row[columns_[which]]) + "` is not a number");
    auto& tokens = which == input ? out.prompt_tokens : out.output_tokens;
    if (auto wrong = set_tokens(names_[which], *value, tokens))
      return wrong;
  }
  return std::nullopt;
}

std::optional<double> trace_reader::json_number(std::string_view name) const {
  if (const auto found = json_.numbers.find(name); found != json_.numbers.end())
    return found->second;
  if (!json_.nested) // As in millions of lines of most traces.
    return std::nullopt;
  for (const auto* where : {"usage.", "response.usage.", "response.body.usage."})
    if (const auto found = json_.numbers.find(where + std::string(name));
        found != json_.numbers.end())
      return found->second;
  return std::nullopt;
}

trace_reader::told_time trace_reader::number_time(std::size_t which, double value) {
  const auto us = in_us(which, value);
  // Beyond the largest a number tells no microseconds apart.
  return {us, value < 0 ? "is negative" : us > time_us_max ? "is too large for a time" : ""};
}

trace_reader::told_time trace_reader::date_time(const std::string& text) {
  const auto us = date_us(text).value_or(no_time);
  return {us, us > time_us_max ? "`" + text + "` is not a time" : ""};
}

std::optional<error> trace_reader::read_json_time(double& time_us) {
  std::string wrong = "is missing or no time: a request needs one, as `timestamp`, `created` or "
                      "`arrival_s`";
  for (std::size_t which = 0; which < time_names.size(); ++which) {
    const auto name = time_names[which].name;
    const bool dates = time_names[which].unit_us == 0;
    told_time told;
    if (const auto number = dates ? std::nullopt : json_number(name))
      told = number_time(which, *number);
    else if (const auto text = json_.texts.find(name); text != json_.texts.end())
      told = date_time(text->second);
    else
      continue;
    names_[time] = name;
    if (told.wrong.empty()) {
      time_us = told.us;
      return std::nullopt;
    }
    wrong = std::move(told.wrong); // Another name may have the time.
  }
  return lines_.wrong(names_[time].empty() ? "timestamp" : names_[time], wrong);
}

/// Bytes of what a request says, as the OpenAI API writes it: texts, and the text among the parts
/// of which a content may consist. Pictures and sound count as nothing.
double trace_reader::json_text() const {
  double bytes = 0;
  for (const auto& [path, size] : json_.text_bytes)
    for (const auto place : text_places)
      bytes += leads_to(path, place) ? static_cast<double>(size) : 0;
  return bytes;
}

/// The longest answer that a request asks for, wherever its body is.
std::optional<std::pair<std::string_view, double>> trace_reader::json_bound() const {
  for (const auto name : bound_names)
    for (const auto& [path, value] : json_.numbers)
      if (leads_to(path, name))
        return std::pair(name, value);
  return std::nullopt;
}

/// As counted; else of a request as it was sent, of which nobody counted them, by its text and by
/// the longest answer that it asks for.
std::optional<error> trace_reader::read_json_tokens(arrival& out) {
  const auto counted
      = [&](const auto& names) -> std::optional<std::pair<std::string_view, double>> {
    for (const auto name : names)
      if (const auto found = json_number(name))
        return std::pair(name, *found);
    return std::nullopt;
  };
  auto prompt = counted(input_names);
  auto answer = counted(output_names);
  if (!answer)
    answer = json_bound();
  if (const auto text = prompt ? 0 : json_text(); text > 0) {
    prompt = {"prompt", std::ceil(text / token_bytes)};
    if (!answer)
      answer = {bound_names[0], output_tokens_unknown};
  }
  if (!prompt)
    return lines_.wrong(input_names[1], "is missing or no number: a request needs its prompt, as a "
                                        "count such as `usage.prompt_tokens`, or as text in "
                                        "`messages`, `prompt` or `input`");
  if (!answer)
    return lines_.wrong(output_names[1], "is missing or no number: a request needs its answer's "
                                         "length, such as `usage.completion_tokens`, or the "
                                         "longest that it asks for, such as `max_tokens`");
  if (auto wrong = set_tokens(prompt->first, prompt->second, out.prompt_tokens))
    return wrong;
  return set_tokens(answer->first, answer->second, out.output_tokens);
}

std::optional<error> trace_reader::read_json(arrival& out, double& time_us) {
  if (const auto wrong = json_.read(line_); !wrong.empty())
    return lines_.wrong("", wrong);
  if (auto wrong = read_json_time(time_us))
    return wrong;
  if (auto wrong = read_json_tokens(out))
    return wrong;
  for (const auto& [name, block] :
       {std::pair{"hash_ids", 512U}, std::pair{"hash_ids_blk16", 16U}}) {
    if (const auto found = json_.arrays.find(name); found != json_.arrays.end()) {
      if (json_.mixed.contains(name))
        return lines_.wrong(name, "must be whole numbers: what is left out would shift the rest");
      out.prefix = std::move(found->second);
      out.prefix_tokens = block;
      // A last block that is not full is nobody else's.
      out.prefix.resize(std::min<std::size_t>(out.prefix.size(), out.prompt_tokens / block));
    } else if (json_.text_bytes.contains(name) || json_.numbers.contains(name)) {
      return lines_.wrong(name, "must be a list of whole numbers");
    }
  }
  return std::nullopt;
}

// --- lens ---

namespace {

class spliced_traces final : public arrival_source {
public:
  spliced_traces(std::vector<std::string> paths, const trace_lens& lens)
      : paths_(std::move(paths)), lens_(lens) {}

  std::optional<error> open_first() {
    auto opened = trace_reader::open(paths_.front());
    if (!opened)
      return opened.failure();
    current_ = std::move(*opened);
    return std::nullopt;
  }

  result<std::optional<arrival>> next() override {
    for (;;) {
      auto one = current_->next();
      if (!one)
        return one;
      if (*one && (**one).at < lens_.skip_us)
        continue;
      if (*one && (lens_.take_us == 0 || (**one).at - lens_.skip_us < lens_.take_us))
        return std::optional(seen(std::move(**one)));
      if (++played_ == paths_.size() * lens_.repeat)
        return std::optional<arrival>{};
      auto opened = trace_reader::open(paths_[played_ % paths_.size()]);
      if (!opened)
        return opened.failure();
      current_ = std::move(*opened);
      // The next begins where this one ends: after its whole length, or a moment after its last.
      offset_ = lens_.take_us > 0 ? offset_ + scaled(lens_.take_us) : last_ + 1;
    }
  }

private:
  duration_us scaled(duration_us span) const {
    return static_cast<duration_us>(static_cast<double>(span) / lens_.speed);
  }

  arrival seen(arrival one) {
    one.at = last_ = offset_ + scaled(one.at - lens_.skip_us);
    const auto scale = [](std::uint32_t& tokens, double factor) {
      tokens = static_cast<std::uint32_t>(
          std::clamp(std::round(tokens * factor), 1.0, limits::tokens_max));
    };
    if (lens_.input_scale != 1) {
      scale(one.prompt_tokens, lens_.input_scale);
      one.prefix.clear();
    }
    scale(one.output_tokens, lens_.output_scale);
    return one;
  }

  std::vector<std::string> paths_;
  trace_lens lens_;
  arrival_source_ptr current_;
  std::size_t played_ = 0;
  time_us offset_ = 0;
  time_us last_ = 0;
};

} // namespace

result<arrival_source_ptr> open_traces(std::vector<std::string> paths, const trace_lens& lens) {
  auto made = std::make_unique<spliced_traces>(std::move(paths), lens);
  if (auto wrong = made->open_first())
    return *wrong;
  return arrival_source_ptr(std::move(made));
}

} // namespace consort::sim
