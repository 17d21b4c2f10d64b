// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Reads plugin.json (JSON with comments) into a plugin_document, strictly: an unknown key, a wrong
/// type, a duplicate key, a bad unit, pattern or placeholder is an error that names file, line,
/// column and field, says what was expected and offers the nearest known key. Pure; bounded by
/// limits::plugin_json_bytes_max and plugin_json_depth_max.

#include "node/plugin_document.hpp"

#include <string_view>

namespace consort::node {

/// Parses `text`. `origin` is the file's name in errors; code `plugin_json`, action `refuse`.
[[nodiscard]] result<plugin_document> parse_plugin_json(std::string_view text,
                                                        const std::string& origin);

/// Reads `folder`/plugin.json; `metadata.origin` becomes the folder.
[[nodiscard]] result<plugin_document> load_plugin_json(const std::string& folder);

} // namespace consort::node
