// SPDX-License-Identifier: Apache-2.0
#include "node/simulated/troubles.hpp"

#include "node/simulated/limits.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

namespace consort::node {

namespace {

constexpr std::array<std::string_view, 4> compiler_words{"none", "fail", "refuse", "hang"};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream from(line.substr(0, line.find('#')));
  std::vector<std::string> words;
  for (std::string word; from >> word;)
    words.push_back(word);
  return words;
}

template <class Number>
bool read_number(const std::string& text, double min, double max, Number& out) {
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  return status == std::errc{} && stop == text.data() + text.size() && double(out) >= min
         && double(out) <= max;
}

bool read_device(const std::vector<std::string>& words, device_trouble& out) {
  const auto& what = words[1];
  if (words.size() == 2 && what == "crashing")
    return out.crashing = true;
  if (words.size() == 2 && what == "full")
    return out.full = true;
  if (words.size() == 3 && what == "crash")
    return read_number(words[2], 1, 1e9, out.crashes);
  if (words.size() == 3 && (what == "slow" || what == "hot")) {
    out.hot = what == "hot";
    return read_number(words[2], 1, limits::trouble_factor_max, out.factor);
  }
  return words.size() == 4 && what == "answer" && read_number(words[2], 400, 599, out.status)
         && read_number(words[3], 0, 1, out.share);
}

bool read_line(const std::vector<std::string>& words, simulated_troubles& out) {
  if (words.size() < 2)
    return false;
  if (words[0] != "compilers")
    return read_device(words, out.devices[words[0]]);
  const auto found = std::find(compiler_words.begin(), compiler_words.end(), words[1]);
  out.compilers = static_cast<compiler_trouble>(found - compiler_words.begin());
  return found != compiler_words.end() && words.size() == 2;
}

std::string figure_text(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

} // namespace

result<simulated_troubles> parse_troubles(std::string_view text) {
  if (text.size() > limits::troubles_bytes_max)
    return error{recovery::refuse, "bad_troubles",
                 "more than " + std::to_string(limits::troubles_bytes_max) + " bytes"};
  simulated_troubles made;
  std::istringstream lines{std::string(text)};
  std::size_t line_number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++line_number;
    const auto words = words_of(line);
    if (!words.empty() && !read_line(words, made))
      return error{recovery::refuse, "bad_troubles",
                   "line " + std::to_string(line_number) + ": `" + line
                       + "` is no fault; node/simulated/troubles.hpp lists them"};
  }
  return made;
}

result<simulated_troubles> read_troubles(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return simulated_troubles{};
  std::string text(limits::troubles_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  auto parsed = parse_troubles(text);
  if (!parsed)
    return error{recovery::refuse, "bad_troubles", path + ": " + parsed.failure().message};
  return parsed;
}

std::string render_troubles(const simulated_troubles& wanted) {
  std::string made;
  const auto line = [&](const std::string& text) { made += text + "\n"; };
  for (const auto& [name, one] : wanted.devices) {
    if (one.factor != 1 || one.hot)
      line(name + (one.hot ? " hot " : " slow ") + figure_text(one.factor));
    if (one.crashes > 0)
      line(name + " crash " + std::to_string(one.crashes));
    if (one.crashing)
      line(name + " crashing");
    if (one.full)
      line(name + " full");
    if (one.status > 0)
      line(name + " answer " + std::to_string(one.status) + " " + figure_text(one.share));
  }
  if (wanted.compilers != compiler_trouble::none)
    line("compilers " + std::string(compiler_words[static_cast<std::size_t>(wanted.compilers)]));
  return made;
}

} // namespace consort::node
