// SPDX-License-Identifier: Apache-2.0
#include "node/host/compile_main.hpp"

#include "node/host/limits.hpp"
#include "node/host/vendor_library.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace consort::node {

namespace {

// docs/PLUGINS.md, "What a compiler must do".
constexpr int exit_built = 0, exit_failed = 1, exit_usage = 2, exit_unsupported = 3,
              exit_no_room = 5, exit_elsewhere = 6;

/// Lines are whole, whichever of the vendor's threads they come from.
std::mutex& output_mutex() {
  static std::mutex one;
  return one;
}

void tell_progress(void*, std::uint32_t done_pm) {
  const std::lock_guard lock(output_mutex());
  std::printf("%s%u%%\n", build_line_mark, std::min(done_pm, 1000U) / 10);
  std::fflush(stdout);
}

void tell_quality(void*, const char* name, const char* value) {
  if (name == nullptr || value == nullptr)
    return;
  const std::lock_guard lock(output_mutex());
  std::printf("%squality %s=%s\n", build_line_mark, name, value);
}

int exit_of(int status) {
  switch (status) {
  case CONSORT_OK: return exit_built;
  case CONSORT_REFUSED:
  case CONSORT_BAD_MODEL: return exit_unsupported;
  case CONSORT_BUSY: return exit_no_room;
  case CONSORT_FAILED: return exit_elsewhere;
  default: return exit_failed;
  }
}

/// No core files of what may crash; gone with its agent.
void settle_build_process() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const struct rlimit no_core { 0, 0 };
  ::setrlimit(RLIMIT_CORE, &no_core);
}

} // namespace

int compile_main(const library_build& wanted) {
  settle_build_process();
  const auto loaded = load_vendor_compiler(wanted.library);
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.failure().message.c_str());
    return exit_usage;
  }
  const auto& table = **loaded;
  if (wanted.version_only) {
    std::printf("%s %s\n", table.name == nullptr ? "compiler" : table.name,
                table.version == nullptr ? "" : table.version);
    return exit_built;
  }
  consort_compile_job job{};
  job.size = sizeof job;
  job.model = wanted.model.c_str();
  job.output = wanted.output.c_str();
  job.work = wanted.work.c_str();
  job.target = wanted.target.c_str();
  job.dtype = wanted.dtype.c_str();
  job.flags = wanted.flags.c_str();
  job.devices = wanted.devices.c_str();
  job.config_json = wanted.config_json.c_str();
  job.degree = wanted.degree;
  job.progress = tell_progress;
  job.quality = tell_quality;
  std::array<char, limits::vendor_message_bytes> message{};
  // The last byte is ours, so that it ends even if the vendor forgot to.
  const int status = table.compile(&job, message.data(), message.size() - 1);
  if (status != CONSORT_OK)
    std::fprintf(stderr, "%s\n", message[0] == '\0' ? "it gave no reason" : message.data());
  std::fflush(stdout);
  return exit_of(status);
}

std::vector<std::string> library_build_command(const std::string& executable,
                                               const std::string& library,
                                               const std::string& config_json) {
  return {executable,  "host",     "--compile", "--library", library,    "--model",
          "{model}",   "--output", "{output}",  "--work",    "{work}",   "--target",
          "{target}",  "--dtype",  "{dtype}",   "--flags",   "{flags}",  "--devices",
          "{devices}", "--degree", "{degree}",  "--config",  config_json};
}

std::vector<std::string> library_version_command(const std::string& executable,
                                                 const std::string& library) {
  return {executable, "host", "--compile", "--library", library, "--version-only"};
}

} // namespace consort::node
