// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What is in the artifact store of a data folder of this host, whether an agent runs on it or not.

#include "cli/api.hpp"
#include "scheduler/types.hpp"

#include <string>
#include <vector>

namespace consort::cli {

/// As `/api/v1/artifacts` tells what a cluster has, as far as a folder knows it. Errors: `usage`
/// where there is no store, artifact_store::open()'s.
[[nodiscard]] result<json> list_store(const std::string& data);

/// The one artifact whose digest is `name` or begins so, with limits::digest_letters_min hex digits
/// at least. Errors: `usage`, which says what a name is, that there is none, or which several there
/// are.
[[nodiscard]] result<artifact_record> named_artifact(const std::vector<artifact_record>& all,
                                                     const std::string& name);

} // namespace consort::cli
