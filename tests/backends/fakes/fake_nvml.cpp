// SPDX-License-Identifier: Apache-2.0
// A stand-in for libnvidia-ml.so.1: the same symbols, the same numbers for what a driver refuses,
// and figures from the file `nvml` in the folder CONSORT_FAKES, read at every call: lines
// NAME=VALUE. Without it: one idle H100, as it was recorded. `mig` = 1 parts the board in two;
// `lost` = 1 is a board off the bus; `xid`, one or several with commas between them, is told once
// to who listens; `na` lists readings that this driver does not support. `boards` = 2 are two such
// boards, which `nvlink` = 1 joins.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>

namespace {

constexpr int ok = 0, not_supported = 3, not_found = 6, timed_out = 10, lost = 15;

struct fake_device {
  const char* uuid;
  const char* name;
  bool part;
};
fake_device board{"GPU-4c145059-33c2-6073-34e0-87493bcb5ba3", "NVIDIA H100 80GB HBM3", false};
fake_device parts[2]{
    {"MIG-11111111-0000-0000-0000-000000000001", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", true},
    {"MIG-11111111-0000-0000-0000-000000000002", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", true}};
fake_device second{"GPU-4c145059-33c2-6073-34e0-87493bcb5ba4", "NVIDIA H100 80GB HBM3", false};
int events = 0;

std::map<std::string, std::string> scene() {
  std::map<std::string, std::string> known;
  const char* folder = std::getenv("CONSORT_FAKES");
  std::ifstream file(std::string(folder == nullptr ? "/nonexistent" : folder) + "/nvml");
  for (std::string line; std::getline(file, line);)
    if (const auto at = line.find('='); at != std::string::npos)
      known[line.substr(0, at)] = line.substr(at + 1);
  return known;
}

unsigned long long figure(const char* name, unsigned long long usual) {
  const auto known = scene();
  const auto found = known.find(name);
  return found == known.end() ? usual : std::strtoull(found->second.c_str(), nullptr, 10);
}

/// Returns: what a call answers that reads this figure.
int state_of(const fake_device* device, const char* reading) {
  if (figure("lost", 0) != 0)
    return lost;
  const auto known = scene();
  const auto missing = known.find("na");
  const bool refused = missing != known.end() && missing->second.find(reading) != std::string::npos;
  return refused || (device->part && std::strcmp(reading, "memory") != 0) ? not_supported : ok;
}

/// The first that was not told yet; 0 = none.
unsigned long long next_xid() {
  std::stringstream all(scene()["xid"]);
  std::string one;
  for (int at = 0; std::getline(all, one, ',');)
    if (at++ == events) {
      ++events;
      return std::strtoull(one.c_str(), nullptr, 10);
    }
  return 0;
}

int copy(const char* from, char* into, unsigned size) {
  std::snprintf(into, size, "%s", from);
  return ok;
}

} // namespace

extern "C" {

struct fake_memory {
  unsigned long long total, free, used;
};
struct fake_busy {
  unsigned gpu, memory;
};
struct fake_pci {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char text[32];
};
struct fake_field {
  unsigned field, scope;
  long long timestamp, latency_us;
  int type, status;
  union {
    unsigned number;
    double real;
  } value;
};
struct fake_event {
  fake_device* device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
};

int nvmlInit_v2() {
  return static_cast<int>(figure("init", ok));
}
int nvmlShutdown() {
  return ok;
}
const char* nvmlErrorString(int code) {
  return code == 18 ? "Driver/library version mismatch" : code == lost ? "GPU is lost" : "Unknown";
}
int nvmlSystemGetDriverVersion(char* into, unsigned size) {
  return copy("580.159.04", into, size);
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = static_cast<unsigned>(figure("boards", 1));
  return ok;
}
int nvmlDeviceGetP2PStatus(fake_device* one, fake_device* other, int, int* status) {
  *status = figure("nvlink", 0) != 0 ? 0 : 1;
  return one == other ? not_supported : ok;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, fake_device** device) {
  *device = index == 0 ? &board : &second;
  return index < figure("boards", 1) ? ok : not_found;
}
int nvmlDeviceGetName(fake_device* device, char* into, unsigned size) {
  return copy(device->name, into, size);
}
int nvmlDeviceGetUUID(fake_device* device, char* into, unsigned size) {
  return copy(device->uuid, into, size);
}
int nvmlDeviceGetPciInfo_v3(fake_device* device, fake_pci* info) {
  std::snprintf(info->text, sizeof info->text, "00000000:00:0%d.0", device == &second ? 7 : 6);
  return ok;
}
int nvmlDeviceGetCudaComputeCapability(fake_device*, int* major, int* minor) {
  *major = 9;
  *minor = 0;
  return ok;
}
int nvmlDeviceGetMemoryInfo(fake_device* device, fake_memory* memory) {
  const auto total = device->part ? 9984ULL << 20U : 81559ULL << 20U;
  *memory = {total, total, figure("used", 0)};
  return state_of(device, "memory");
}
int nvmlDeviceGetUtilizationRates(fake_device* device, fake_busy* busy) {
  *busy = {static_cast<unsigned>(figure("busy", 0)), 0};
  return state_of(device, "busy");
}
int nvmlDeviceGetPowerUsage(fake_device* device, unsigned* mw) {
  *mw = static_cast<unsigned>(figure("power", 77'090));
  return state_of(device, "power");
}
int nvmlDeviceGetEnforcedPowerLimit(fake_device* device, unsigned* mw) {
  *mw = 700'000;
  return state_of(device, "limit");
}
int nvmlDeviceGetTotalEnergyConsumption(fake_device* device, unsigned long long* mj) {
  *mj = figure("energy", 123'456);
  return state_of(device, "energy");
}
int nvmlDeviceGetTemperature(fake_device* device, int, unsigned* celsius) {
  *celsius = static_cast<unsigned>(figure("heat", 37));
  return state_of(device, "heat");
}
int nvmlDeviceGetCurrentClocksEventReasons(fake_device* device, unsigned long long* reasons) {
  *reasons = figure("throttle", 1);
  return state_of(device, "throttle");
}
int nvmlDeviceGetTotalEccErrors(fake_device* device, int, int, unsigned long long* count) {
  *count = figure("ecc", 0);
  return state_of(device, "ecc");
}
int nvmlDeviceGetRemappedRows(fake_device* device, unsigned* corrected, unsigned* uncorrected,
                              unsigned* pending, unsigned* failed) {
  *corrected = *uncorrected = 0;
  *pending = static_cast<unsigned>(figure("remap_pending", 0));
  *failed = static_cast<unsigned>(figure("remap_failed", 0));
  return state_of(device, "remap");
}
int nvmlDeviceGetFieldValues(fake_device* device, int count, fake_field* fields) {
  constexpr unsigned recovery_action = 230;
  constexpr int unsigned_int = 1, bad_argument = 2;
  for (int at = 0; at < count; ++at) {
    const bool known = fields[at].field == recovery_action;
    fields[at].status = known ? state_of(device, "recovery") : bad_argument;
    fields[at].type = unsigned_int;
    fields[at].value.number = static_cast<unsigned>(figure("recovery", 0));
  }
  return ok;
}
int nvmlDeviceGetMigMode(fake_device*, unsigned* now, unsigned* pending) {
  *now = *pending = static_cast<unsigned>(figure("mig", 0));
  return ok;
}
int nvmlDeviceGetMaxMigDeviceCount(fake_device*, unsigned* count) {
  *count = 7;
  return ok;
}
int nvmlDeviceGetMigDeviceHandleByIndex(fake_device*, unsigned index, fake_device** device) {
  if (index >= 2)
    return not_found;
  *device = &parts[index];
  return ok;
}
int nvmlEventSetCreate(int** set) {
  *set = &events;
  return ok;
}
int nvmlDeviceRegisterEvents(fake_device*, unsigned long long, int*) {
  return ok;
}
int nvmlEventSetWait_v2(int*, fake_event* event, unsigned ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  if (const auto xid = next_xid(); xid != 0) {
    *event = {&board, 0x8, xid, 0, 0};
    return ok;
  }
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable nothing; // Nobody says anything: as long as a driver would wait.
  while (nothing.wait_until(lock, until) != std::cv_status::timeout)
    ;
  return timed_out;
}

} // extern "C"
