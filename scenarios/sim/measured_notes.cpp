// SPDX-License-Identifier: Apache-2.0
#include "scenarios/sim/measured_notes.hpp"

#include "scenarios/models/operator_tables.hpp"

#include <set>

namespace consort::sim {

namespace {

std::string letters_of(std::string_view name) {
  std::string made;
  for (const char one : name)
    if ((one >= 'a' && one <= 'z') || (one >= '0' && one <= '9'))
      made += one;
    else if (one >= 'A' && one <= 'Z')
      made += static_cast<char>(one - 'A' + 'a');
  return made;
}

class note_finder {
public:
  explicit note_finder(const scenario& plan) : plan_(plan) {}

  std::vector<std::string> find() {
    for (const auto& node : plan_.nodes)
      for (const auto& device : node.devices)
        look_at(*device);
    return std::move(notes_);
  }

private:
  void look_at(const device_model& device) {
    if (device.prefill.device)
      look_at(*device.prefill.device);
    if (device.measured.file.empty() || !seen_.insert(device.measured.where).second)
      return;
    look_at_chips(device);
    look_at_models(device);
  }

  void note(const device_model& device, const std::string& what) {
    notes_.push_back(device.measured.where + ": " + device.measured.file + " " + what);
  }

  void look_at_chips(const device_model& device) {
    const auto chips = device.group.tp * device.group.pp;
    if (device.fidelity == fidelity_kind::rates && device.measured.chips == 0 && chips > 1)
      note(device, "does not say of how many chips its times are: `tp` and `pp` count for memory, "
                   "power and price only; `# chips: "
                       + std::to_string(chips) + "` in it says that it was measured so");
  }

  void look_at_models(const device_model& device) {
    const auto& of = device.measured;
    if (of.model.empty() && device.fidelity == fidelity_kind::rates && plan_.models.size() > 1)
      note(device,
           "does not say with which model it was measured: " + std::to_string(plan_.models.size())
               + " models have the same times there; `# model: NAME` in it says which");
    for (const auto& model : plan_.models) {
      if (!of.model.empty() && !same_model(of.model, model.name)
          && !same_model(of.model, model.shape.name))
        note(device, "was measured with `" + of.model + "`, and `" + model.name
                         + "` is played with its times");
      look_at_numbers(device, model);
      if (device.fidelity == fidelity_kind::table)
        look_at_experts(device, model);
    }
  }

  /// The width of weights, which counts for memory whatever the times are of.
  void look_at_numbers(const device_model& device, const scenario_model& model) {
    const auto* published = find_model_shape(model.shape.name);
    if (!published)
      return; // Known by its sizes only.
    const auto& said = device.measured.dtype;
    const double measured = said.empty() ? published->weight_bytes_each : bytes_of_dtype(said);
    if (measured != model.shape.weight_bytes_each)
      note(device, (said.empty() ? "does not say of which `dtype` its times are"
                                 : "was measured with weights in " + said)
                       + ": that of `" + model.name + "` counts for memory only");
  }

  void look_at_experts(const device_model& device, const scenario_model& model) {
    const bool mixture = model.shape.experts > 1;
    if (mixture && device.tables->experts.empty())
      note(device, "has no moe.csv: the experts of `" + model.name + "` take no time");
    if (!mixture && !device.tables->experts.empty())
      note(device, "has a moe.csv, and `" + model.name + "` is no mixture of experts");
  }

  const scenario& plan_;
  std::set<std::string> seen_; ///< Places in the file.
  std::vector<std::string> notes_;
};

} // namespace

bool same_model(std::string_view measured, std::string_view name) {
  constexpr std::size_t telling = 4;
  const auto one = letters_of(measured);
  const auto other = letters_of(name);
  const auto& shorter = one.size() < other.size() ? one : other;
  const auto& longer = one.size() < other.size() ? other : one;
  return one == other || (shorter.size() >= telling && longer.find(shorter) != std::string::npos);
}

std::vector<std::string> measured_notes(const scenario& plan) {
  return note_finder(plan).find();
}

} // namespace consort::sim
