// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads a device and a model's shape of a scenario file: a spec by name, and what the file says
/// beside it. Part of the scenario parser.

#include "scenarios/models/device_model.hpp"
#include "scenarios/strict_json.hpp"

#include <optional>
#include <string_view>

namespace consort::sim {

/// A name, or an object with `spec` and changes to it, `count` times. Notes the first thing wrong
/// in `failure`; then returns a null. Paths of tables and profiles are relative to the folder of
/// `origin`.
[[nodiscard]] std::vector<device_model_ptr> read_devices(const strict_json::value& item,
                                                         std::string_view origin,
                                                         std::optional<error>& failure);

/// `shape`, `dtype` and `kv_dtype` of a model; nothing when it names no shape.
[[nodiscard]] std::optional<model_shape> read_shape(strict_json::object_reader& reader);

} // namespace consort::sim
