// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is in the artifact store of a data folder of this host, whether an agent runs on it or not.

#include "cli/api.hpp"

#include <string>

namespace consort::cli {

/// As `/api/v1/artifacts` tells what a cluster has, as far as a folder knows it. Errors: `usage`
/// where there is no store, artifact_store::open()'s.
[[nodiscard]] result<json> list_store(const std::string& data);

} // namespace consort::cli
