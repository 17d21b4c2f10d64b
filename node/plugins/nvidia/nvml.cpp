// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/nvidia/nvml.hpp"

#include <dlfcn.h>

#include <vector>

namespace consort::nvml {

namespace {

void* open_any(const std::string& path, std::string& why) {
  std::vector<std::string> places{path};
  if (path.empty())
    places = {"libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1",
              "/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1"};
  for (const auto& place : places) {
    if (auto* found = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL); found != nullptr)
      return found;
    const char* said = ::dlerror();
    if (why.empty())
      why = said == nullptr ? place + " cannot be loaded" : said;
  }
  return nullptr;
}

/// The first of the names that is there: newer drivers have versions of some.
template <class Function>
void find(void* from, Function& into, std::initializer_list<const char*> names) {
  for (const auto* name : names)
    if (into == nullptr)
      into = reinterpret_cast<Function>(::dlsym(from, name));
}

void find_readings(void* from, library& into) {
  find(from, into.memory, {"nvmlDeviceGetMemoryInfo"});
  find(from, into.utilization, {"nvmlDeviceGetUtilizationRates"});
  find(from, into.power, {"nvmlDeviceGetPowerUsage"});
  find(from, into.power_limit,
       {"nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"});
  find(from, into.energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  find(from, into.temperature, {"nvmlDeviceGetTemperature"});
  find(from, into.throttle,
       {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  find(from, into.ecc_errors, {"nvmlDeviceGetTotalEccErrors"});
  find(from, into.remapped_rows, {"nvmlDeviceGetRemappedRows"});
  find(from, into.fields, {"nvmlDeviceGetFieldValues"});
}

} // namespace

std::string load(const std::string& path, library& into) {
  std::string why;
  void* const from = open_any(path, why);
  if (from == nullptr)
    return why;
  find(from, into.init, {"nvmlInit_v2", "nvmlInit"});
  find(from, into.shutdown, {"nvmlShutdown"});
  find(from, into.error_string, {"nvmlErrorString"});
  find(from, into.driver_version, {"nvmlSystemGetDriverVersion"});
  find(from, into.cuda_version, {"nvmlSystemGetCudaDriverVersion_v2"});
  find(from, into.count, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"});
  find(from, into.by_index, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"});
  find(from, into.name, {"nvmlDeviceGetName"});
  find(from, into.uuid, {"nvmlDeviceGetUUID"});
  find(from, into.pci, {"nvmlDeviceGetPciInfo_v3"});
  find(from, into.compute_capability, {"nvmlDeviceGetCudaComputeCapability"});
  find_readings(from, into);
  find(from, into.p2p_status, {"nvmlDeviceGetP2PStatus"});
  find(from, into.mig_mode, {"nvmlDeviceGetMigMode"});
  find(from, into.mig_count_max, {"nvmlDeviceGetMaxMigDeviceCount"});
  find(from, into.mig_by_index, {"nvmlDeviceGetMigDeviceHandleByIndex"});
  find(from, into.make_events, {"nvmlEventSetCreate"});
  find(from, into.watch_events, {"nvmlDeviceRegisterEvents"});
  find(from, into.wait_event, {"nvmlEventSetWait_v2", "nvmlEventSetWait"});
  for (const bool there : {into.init != nullptr, into.count != nullptr, into.by_index != nullptr,
                           into.uuid != nullptr, into.name != nullptr})
    if (!there)
      return "the library lacks a function that every driver has";
  return {};
}

} // namespace consort::nvml
