// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_validation.hpp"

#include "node/limits.hpp"
#include "node/small_file.hpp"

#include <nlohmann/json.hpp>

#include <fstream>

namespace consort::node {

namespace {

std::string validation_path(const std::string& folder) {
  return folder + "/validation.json";
}

} // namespace

artifact_validation read_validation(const std::string& folder) {
  std::ifstream file(validation_path(folder), std::ios::binary);
  std::string text(limits::manifest_bytes_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const auto from = nlohmann::json::parse(text, nullptr, false);
  artifact_validation known;
  try { // nlohmann reports a mistyped field by throwing.
    if (!from.is_object())
      return known;
    known.hashed_s = from.value("hashed_s", std::int64_t{0});
    known.loaded_s = from.value("loaded_s", std::int64_t{0});
    known.loaded_on = from.value("loaded_on", "");
    known.load_us = from.value("load_us", duration_us{0});
    known.failed_s = from.value("failed_s", std::int64_t{0});
    known.failure = from.value("failure", "");
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return known;
}

void write_validation(const std::string& folder, const artifact_validation& known) {
  const nlohmann::json text{{"hashed_s", known.hashed_s},   {"loaded_s", known.loaded_s},
                            {"loaded_on", known.loaded_on}, {"load_us", known.load_us},
                            {"failed_s", known.failed_s},   {"failure", known.failure}};
  // Losing it costs people a fact, not a node its artifact.
  static_cast<void>(replace_file(
      validation_path(folder), text.dump(1, ' ', false, nlohmann::json::error_handler_t::replace)));
}

} // namespace consort::node
