// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Models that were declared while the scheduler ran (`consort model add`), between what the core
/// knows and what the state store keeps of them. Those of the configuration are not kept: the next
/// start reads them there. Pure.

#include "cli/state_store.hpp"

#include <set>
#include <string>
#include <vector>

namespace consort::cli {

/// Of all declared models those that the configuration does not have.
[[nodiscard]] declaration_map models_to_keep(const std::vector<model_spec>& declared,
                                             const std::set<std::string>& configured);

/// Of the configuration's models those that are declared no more: `consort model rm` took them out.
[[nodiscard]] std::set<std::string> models_taken_out(const std::vector<model_spec>& declared,
                                                     const std::set<std::string>& configured);

struct restored_models {
  std::vector<model_spec> models;
  std::vector<std::string> left_out; ///< Sentences: which, and why.
};

/// What an earlier life kept. The configuration goes before a model of the same name, and what
/// cannot be read is left out.
[[nodiscard]] restored_models restore_models(const declaration_map& kept,
                                             const std::set<std::string>& configured);

} // namespace consort::cli
