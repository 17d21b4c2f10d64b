// SPDX-License-Identifier: Apache-2.0
#include "scheduler/selector.hpp"

#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"

#include <algorithm>
#include <array>

namespace consort::core {

namespace {

constexpr std::array all_types = {resource_type::gpu, resource_type::npu,    resource_type::pim,
                                  resource_type::cpu, resource_type::remote, resource_type::hybrid};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

constexpr std::size_t pools_named_max = 16; ///< In one message.

error malformed(std::string_view text, const std::string& why) {
  return {recovery::refuse, "selector_malformed",
          "device selector '" + std::string(text.substr(0, limits::selector_bytes_max)) + "' " + why
              + "; write auto, a type (npu), an id or glob (edge-*/npu0), tag=, vendor=, model=,"
                " plugin=, node= or pool=, joined with , (and) and | (or)"};
}

/// Splits at every `separator`; always at least one part.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto at = text.find(separator);
    parts.push_back(trimmed(text.substr(0, at)));
    if (at == std::string_view::npos)
      return parts;
    text.remove_prefix(at + 1);
  }
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

} // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*')
    ++p;
  return p == pattern.size();
}

std::string_view word(resource_type type) {
  switch (type) {
  case resource_type::gpu: return "gpu";
  case resource_type::npu: return "npu";
  case resource_type::pim: return "pim";
  case resource_type::cpu: return "cpu";
  case resource_type::remote: return "remote";
  case resource_type::hybrid: return "hybrid";
  }
  return "cpu";
}

result<selector::term> selector::parse_pool(std::string_view text, term named, parsing& all) {
  const auto found = all.pools.find(named.value);
  if (found == all.pools.end()) {
    std::vector<std::string> known;
    for (const auto& [name, meaning] : all.pools)
      known.push_back(name);
    std::string all_known;
    for (std::size_t at = 0; at < known.size() && at < pools_named_max; ++at)
      all_known += (at == 0 ? "" : ", ") + known[at];
    if (known.size() > pools_named_max)
      all_known += " and " + std::to_string(known.size() - pools_named_max) + " more";
    return malformed(text, "names an unknown pool" + did_you_mean(named.value, known) + "; "
                               + (known.empty() ? "there is none" : "there are " + all_known));
  }
  if (all.depth >= limits::pool_depth_max)
    return malformed(text, "is nested too deep, or contains itself");
  ++all.depth;
  auto inside = parse(found->second, all);
  --all.depth;
  if (!inside)
    return inside.failure();
  named.inside.push_back(std::move(*inside));
  return named;
}

result<selector::term> selector::parse_term(std::string_view text, parsing& all) {
  term parsed;
  std::string_view rest = text;
  if (!rest.empty() && rest.front() == '!') {
    parsed.negated = true;
    rest = trimmed(rest.substr(1));
  }
  if (rest.empty())
    return malformed(text, "has an empty term");
  const auto equals = rest.find('=');
  if (equals == std::string_view::npos) {
    parsed.value = rest;
    const bool type = std::any_of(all_types.begin(), all_types.end(),
                                  [&](resource_type one) { return word(one) == rest; });
    parsed.what = rest == "auto" || rest == "any" ? field::any : type ? field::type : field::id;
    return parsed;
  }
  const auto key = trimmed(rest.substr(0, equals));
  parsed.value = trimmed(rest.substr(equals + 1));
  constexpr std::array<std::pair<std::string_view, field>, 8> keys = {{{"tag", field::tag},
                                                                       {"vendor", field::vendor},
                                                                       {"model", field::model},
                                                                       {"plugin", field::plugin},
                                                                       {"node", field::node},
                                                                       {"type", field::type},
                                                                       {"id", field::id},
                                                                       {"pool", field::pool}}};
  const auto found
      = std::find_if(keys.begin(), keys.end(), [&](const auto& one) { return one.first == key; });
  if (found == keys.end() || parsed.value.empty())
    return malformed(text, found == keys.end() ? "has an unknown key" : "has an empty value");
  parsed.what = found->second;
  return parsed.what == field::pool ? parse_pool(text, std::move(parsed), all) : parsed;
}

result<selector> selector::parse(std::string_view text, const pool_map& pools) {
  parsing all{pools};
  return parse(text, all);
}

result<selector> selector::parse(std::string_view text, parsing& all) {
  if (text.size() > limits::selector_bytes_max)
    return malformed(text, "is too long");
  selector parsed;
  for (const auto part : split(text.empty() ? std::string_view("auto") : text, '|')) {
    auto& all_of = parsed.any_of_.emplace_back();
    for (const auto piece : split(part, ',')) {
      auto one = parse_term(piece, all);
      if (!one)
        return one.failure();
      if (++all.terms > limits::selector_terms_max)
        return malformed(text, "has too many terms");
      all_of.push_back(std::move(*one));
    }
  }
  const auto& first = parsed.any_of_.front();
  parsed.everything_ = parsed.any_of_.size() == 1 && first.size() == 1
                       && first.front().what == field::any && !first.front().negated;
  return parsed;
}

bool selector::matches(const term& wanted, const device_spec& device) {
  switch (wanted.what) {
  case field::any: return true;
  case field::type: return word(device.type) == wanted.value;
  case field::id: return glob_matches(wanted.value, device.id.value);
  case field::vendor: return same_word(wanted.value, device.vendor);
  case field::model: return same_word(wanted.value, device.model);
  case field::plugin: return same_word(wanted.value, device.plugin);
  case field::node: return glob_matches(wanted.value, device.node.value);
  case field::pool: return wanted.inside.front().matches(device);
  case field::tag:
    return std::find(device.tags.begin(), device.tags.end(), wanted.value) != device.tags.end();
  }
  return false;
}

bool selector::matches(const device_spec& device) const {
  return std::any_of(any_of_.begin(), any_of_.end(), [&](const std::vector<term>& all_of) {
    return std::all_of(all_of.begin(), all_of.end(),
                       [&](const term& one) { return matches(one, device) != one.negated; });
  });
}

} // namespace consort::core
