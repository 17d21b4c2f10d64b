// SPDX-License-Identifier: Apache-2.0
#include "cli/kept_models.hpp"

#include "gateway/admin_json.hpp"

namespace consort::cli {

declaration_map models_to_keep(const std::vector<model_spec>& declared,
                               const std::set<std::string>& configured) {
  declaration_map kept;
  for (const auto& spec : declared)
    if (!configured.contains(spec.name.value))
      kept[spec.name.value] = gateway::to_json(spec).dump();
  return kept;
}

std::set<std::string> models_taken_out(const std::vector<model_spec>& declared,
                                       const std::set<std::string>& configured) {
  auto out = configured;
  for (const auto& spec : declared)
    out.erase(spec.name.value);
  return out;
}

namespace {

/// Shapes of GGUF files once lacked the feed-forward width: engines of an architecture would be
/// shared by models that differ in it. Without a shape they are built for these weights alone.
void distrust_old_shapes(model_spec& spec) {
  for (auto& variant : spec.variants)
    if (variant.format == "gguf" && variant.shape.find("-i") == std::string::npos)
      variant.shape.clear();
}

} // namespace

restored_models restore_models(const declaration_map& kept,
                               const std::set<std::string>& configured) {
  restored_models out;
  for (const auto& [name, text] : kept) {
    if (configured.contains(name)) {
      out.left_out.push_back("model " + name
                             + " was added at run time, too: the configuration's is served");
      continue;
    }
    const auto parsed = nlohmann::json::parse(text, nullptr, false);
    auto spec = gateway::model_spec_from_json(parsed);
    if (spec) {
      distrust_old_shapes(*spec);
      out.models.push_back(*std::move(spec));
    } else {
      out.left_out.push_back("model " + name + ", added at run time, cannot be read back: "
                             + spec.failure().message + "; add it again");
    }
  }
  return out;
}

} // namespace consort::cli
