// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Whether a device runs a model's format as it is, or its compilers read it, and why not. Pure.

#include "scheduler/attributes.hpp"
#include "scheduler/models.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace consort::core {

/// `*` in the pattern stands for one character or more, whatever they are: `server/*/*` fits what
/// has a `/` in its name, as the ids of hubs and paths do.
[[nodiscard]] inline bool fits_format(std::string_view pattern, std::string_view format) {
  std::size_t at = 0, in = 0;
  std::size_t star = std::string_view::npos, taken = 0; // Where to try again with a longer `*`.
  while (in < format.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      taken = ++in; // One character at least.
    } else if (at < pattern.size() && pattern[at] == format[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in = ++taken;
    } else {
      return false;
    }
  }
  return at == pattern.size();
}

/// `formats` as a device lists them: words, or patterns of words.
[[nodiscard]] inline bool runs_format(const std::vector<std::string>& formats,
                                      std::string_view format) {
  return std::any_of(formats.begin(), formats.end(), [&](std::string_view one) {
    return one == format || (one.find('*') != std::string_view::npos && fits_format(one, format));
  });
}

/// The first format of the model that a server has under a name, and a plugin has to list; empty
/// when it has none.
[[nodiscard]] inline std::string server_format(const model_spec& model) {
  for (const auto& variant : model.variants)
    if (variant.format.starts_with("server/"))
      return variant.format;
  return {};
}

/// For people: that no build profile of the device reads a format of the model, both by name, or
/// that its plugin would have to list the model. Empty when neither is the reason.
[[nodiscard]] inline std::string unread_words(const model_spec& model,
                                              const device_capability& can) {
  std::string formats, profiles;
  for (const auto& variant : model.variants)
    formats += (formats.empty() ? "" : ", ") + variant.format;
  for (const auto& by : can.build_profiles) {
    if (by.profile.degree != model.devices_per_instance)
      continue;
    if (by.reads.empty()
        || std::any_of(model.variants.begin(), model.variants.end(),
                       [&](const auto& variant) { return runs_format(by.reads, variant.format); }))
      return {};
    profiles += (profiles.empty() ? "" : ", ") + by.profile.name + " (" + by.profile.compiler
                + ") reads";
    for (std::size_t at = 0; at < by.reads.size(); ++at)
      profiles += (at == 0 ? " " : ", ") + by.reads[at];
  }
  if (!profiles.empty())
    return "its compilers cannot read " + formats + ": " + profiles;
  const auto listed = server_format(model);
  return listed.empty() ? std::string()
                        : "its plugin does not list it: put `" + listed
                              + "` in `formats` if its server has it";
}

/// Whether the device runs the format as it is, or a compiler of it reads it, whatever the number
/// of devices.
[[nodiscard]] inline bool knows_format(const device_capability& can, std::string_view format) {
  return runs_format(can.formats, format)
         || std::any_of(can.build_profiles.begin(), can.build_profiles.end(),
                        [format](const auto& by) {
                          return by.reads.empty() || runs_format(by.reads, format);
                        });
}
/// The same of any format of the model.
[[nodiscard]] inline bool knows_a_format(const model_spec& model, const device_capability& can) {
  return std::any_of(model.variants.begin(), model.variants.end(),
                     [&can](const auto& variant) { return knows_format(can, variant.format); });
}

/// For people: why a device runs nothing of the model where it is no matter of formats: too many
/// devices for one instance, or its plugin has no compiler for it. Empty when neither is so.
[[nodiscard]] inline std::string unfit_words(const model_spec& model, const device_spec& device) {
  const auto& can = device.capability;
  const auto wanted = model.devices_per_instance;
  const auto asks = "the model asks for " + std::to_string(wanted) + " (devices_per_instance)";
  if (wanted > can.devices_max && knows_a_format(model, can))
    return "an instance spans at most " + std::to_string(can.devices_max)
           + (can.devices_max == 1 ? " device" : " devices") + " of its plugin (devices_max), and "
           + asks;
  const auto fits = [wanted](const auto& by) { return by.profile.degree == wanted; };
  if (!can.build_profiles.empty()
      && std::none_of(can.build_profiles.begin(), can.build_profiles.end(), fits))
    return "its compilers build for other numbers of devices (degree), and " + asks;
  const auto lacks = device.attributes.find(no_compiler_attribute);
  return lacks == device.attributes.end() ? std::string() : lacks->second;
}

} // namespace consort::core
