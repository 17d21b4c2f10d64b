// SPDX-License-Identifier: Apache-2.0
#include "scheduler/labels.hpp"

#include "scheduler/limits.hpp"

#include <algorithm>

namespace consort::core {

namespace {

bool label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool carries(const device_spec& device, const std::string& label) {
  constexpr std::string_view prefix = "data:";
  return std::any_of(device.tags.begin(), device.tags.end(), [&](std::string_view tag) {
    return tag.starts_with(prefix) && tag.substr(prefix.size()) == label;
  });
}

bool admitted(const std::string& label, const device_spec& device) {
  return label == local_only_label ? device.type != resource_type::remote : carries(device, label);
}

} // namespace

bool label_well_formed(std::string_view label) {
  return !label.empty() && label.size() <= limits::label_bytes_max && label.front() >= 'a'
         && label.front() <= 'z' && std::all_of(label.begin(), label.end(), label_character);
}

bool labels_admit(const std::vector<std::string>& labels, const device_spec& device) {
  return std::all_of(labels.begin(), labels.end(),
                     [&](const std::string& label) { return admitted(label, device); });
}

std::string label_refusal(const std::vector<std::string>& labels, const device_spec& device) {
  for (const auto& label : labels)
    if (!admitted(label, device))
      return label == local_only_label ? "is a remote API, and the request is local-only"
                                       : "lacks the tag data:" + label;
  return {};
}

std::vector<std::string> ordered_labels(std::vector<std::string> labels) {
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return labels;
}

std::string labels_text(const std::vector<std::string>& labels) {
  std::string text;
  for (const auto& label : labels)
    text += (text.empty() ? " [" : ", ") + label;
  return text.empty() ? text : text + "]";
}

} // namespace consort::core
