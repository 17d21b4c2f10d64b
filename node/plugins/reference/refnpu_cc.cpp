// SPDX-License-Identifier: Apache-2.0
// refnpu-cc: the reference accelerator's compiler. GGUF in; quantised, calibrated engine out.
//
// Exit codes: 0 built, 2 usage, 3 the model is unsupported or damaged (fails again), 4 below the
// quality bound (fails again), 5 input, output or disk, 70 internal. On standard output: lines
// `progress: N%` and `quality: kl_mean=... top1=... tokens=...`; errors on standard error.
//
// For tests of whoever drives it, REFNPU_CC_FAULT makes it misbehave after its checks: `hang`
// (until killed), `crash` (SIGABRT), `flood` (prints until killed), `garbage` (reports success with
// an output that is no engine), `fail` (exit 3), `disk` (exit 5, as if the disk were full).
#include "node/plugins/llama/backend.hpp"
#include "node/plugins/reference/calibrate.hpp"
#include "node/plugins/reference/device.hpp"
#include "node/plugins/reference/limits.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <unistd.h>

namespace {

using namespace consort;
using namespace consort::reference;
namespace fs = std::filesystem;

enum exit_code { built = 0, usage = 2, unsupported = 3, below_quality = 4, io = 5, internal = 70 };

/// How a step ended; `built` = go on.
struct ending {
  int code = built;
  std::string message;
};

struct arguments {
  std::string model;
  std::string output;
  std::string target = target_name;
  std::string work;
  std::string calibration;
  std::uint32_t threads = 1;
  std::uint32_t degree = 1; ///< Devices that run the engine together.
  double kl_max = limits::kl_mean_max_default;
  double top1_min = limits::top1_min_default;
};

const char* const usage_text
    = "usage: refnpu-cc --model IN.gguf --output OUT.rnpu [--target refnpu-1] [--work DIR]\n"
      "                 [--degree DEVICES] [--threads N] [--kl-max NATS] [--top1-min SHARE] "
      "[--calibration TEXT]\n"
      "       refnpu-cc --version\n";

template <class Number>
bool read_number(const std::string& text, Number& into) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), into);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() && into >= 0;
}

ending read_arguments(int count, char** words, arguments& into) {
  const std::map<std::string, std::string*> texts{{"--model", &into.model},
                                                  {"--output", &into.output},
                                                  {"--target", &into.target},
                                                  {"--work", &into.work},
                                                  {"--calibration", &into.calibration}};
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i];
    if (i + 1 == count)
      return {usage, "'" + name + "' needs a value"};
    const std::string value = words[i + 1];
    const auto text = texts.find(name);
    bool good = true;
    if (text != texts.end())
      *text->second = value;
    else if (name == "--threads")
      good = read_number(value, into.threads);
    else if (name == "--degree")
      good = read_number(value, into.degree) && into.degree > 0
             && into.degree <= limits::devices_max;
    else if (name == "--kl-max")
      good = read_number(value, into.kl_max);
    else if (name == "--top1-min")
      good = read_number(value, into.top1_min);
    else
      return {usage, "unknown option '" + name + "'"};
    if (!good)
      return {usage, "'" + name + "' must be a number, not '" + value + "'"};
  }
  if (into.model.empty() || into.output.empty())
    return {usage, "--model and --output are needed"};
  return {};
}

ending of(const error& why) {
  if (why.code == "bad_model")
    return {unsupported, why.message};
  return {why.code == "io" ? io : internal, why.message};
}

void progress(int percent) {
  std::printf("progress: %d%%\n", percent);
  std::fflush(stdout);
}

/// The beside-the-binary copy is what ships.
std::string default_calibration() {
  std::error_code failed;
  return (fs::read_symlink("/proc/self/exe", failed).parent_path() / "calibration.txt").string();
}

ending read_calibration(const std::string& path, std::string& text) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream all;
  all << file.rdbuf(); // An iterator would throw where a read fails.
  text = all.str();
  if (text.empty() || text.size() > limits::calibration_bytes_max)
    return {io, "the calibration text '" + path + "' is missing, empty or larger than "
                    + std::to_string(limits::calibration_bytes_max) + " bytes"};
  return {};
}

ending check_input(const arguments& given) {
  if (given.target != target_name)
    return {unsupported,
            "unknown target '" + given.target + "'; this compiler builds for " + target_name};
  std::error_code failed;
  if (!fs::is_regular_file(given.model, failed) || access(given.model.c_str(), R_OK) != 0)
    return {io, "cannot read the model '" + given.model + "'"};
  const auto checked = llama::check_gguf(given.model);
  if (!checked)
    return of(checked.failure());
  for (const std::string& folder :
       {given.work, fs::absolute(given.output, failed).parent_path().string()}) {
    const fs::space_info space = fs::space(folder, failed);
    if (failed)
      return {io, "cannot use the folder '" + folder + "': " + failed.message()};
    // The quantised model is smaller than its source, once in each folder.
    if (space.available < fs::file_size(given.model, failed))
      return {io, "not enough space in '" + folder + "' for an engine of '" + given.model + "'"};
  }
  return {};
}

ending misbehave(const std::string& fault, const arguments& given) {
  while (fault == "hang")
    pause();
  while (fault == "flood")
    std::printf("refnpu-cc: note: nothing of interest happened, and this line says so at length\n");
  if (fault == "crash")
    std::abort();
  if (fault == "garbage")
    std::ofstream(given.output, std::ios::binary) << "this is not an engine\n";
  if (fault == "fail")
    return {unsupported, "operator 'fault_injected' is not supported on " + given.target};
  if (fault == "disk")
    return {io, "cannot write '" + given.output + "': No space left on device"};
  return {};
}

ending quantise(const arguments& given, const std::string& to) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = LLAMA_FTYPE_MOSTLY_Q8_0;
  params.nthread = static_cast<std::int32_t>(llama::usable_threads(given.threads));
  if (llama_model_quantize(given.model.c_str(), to.c_str(), &params) != 0)
    return {unsupported, "cannot quantise '" + given.model
                             + "': " + llama::last_engine_error("unsupported model")};
  return {};
}

ending measure(const arguments& given, const std::string& quantised, engine_quality& quality) {
  calibration_input input{given.model, quantised, {}, llama::usable_threads(given.threads), {}};
  const std::string text = given.calibration.empty() ? default_calibration() : given.calibration;
  if (const ending failed = read_calibration(text, input.text); failed.code != built)
    return failed;
  input.progress = [](double share) { progress(40 + static_cast<int>(share * 50)); };
  auto measured = calibrate(input);
  if (!measured)
    return of(measured.failure());
  quality = *measured;
  std::printf("quality: kl_mean=%.6f top1=%.4f tokens=%u\n", quality.kl_mean, quality.top1,
              quality.tokens);
  char found[160];
  std::snprintf(found, sizeof found,
                "below the quality bound: mean KL %.6f (at most %.6f), top-1 agreement %.4f (at "
                "least %.4f)",
                quality.kl_mean, given.kl_max, quality.top1, given.top1_min);
  if (quality.kl_mean > given.kl_max || quality.top1 < given.top1_min)
    return {below_quality, found};
  return {};
}

ending write_quality(const std::string& path, const engine_quality& quality) {
  std::ofstream file(path, std::ios::trunc);
  char text[160];
  std::snprintf(text, sizeof text, "{\"kl_mean\": %.6f, \"top1\": %.4f, \"tokens\": %u}\n",
                quality.kl_mean, quality.top1, quality.tokens);
  file << text;
  file.close();
  return file ? ending{} : ending{io, "cannot write '" + path + "'"};
}

ending compile(const arguments& given, const std::string& quantised) {
  progress(5);
  if (const ending failed = quantise(given, quantised); failed.code != built)
    return failed;
  progress(40);
  engine_header header;
  if (const ending failed = measure(given, quantised, header.quality); failed.code != built)
    return failed;
  auto source = sha256_of(given.model);
  if (!source)
    return of(source.failure());
  header.target = given.target;
  header.degree = given.degree;
  header.compiler_version = stack_version();
  header.source_sha256 = *source;
  header.weights = "Q8_0";
  progress(95);
  if (const auto written = write_engine(given.output, header, quantised); !written)
    return of(written.failure());
  return write_quality(given.output + ".quality.json", header.quality);
}

ending build(arguments given) {
  std::error_code failed;
  if (given.work.empty())
    given.work = fs::absolute(given.output, failed).parent_path().string();
  if (const auto loaded = llama::load_backends(""); !loaded)
    return of(loaded.failure());
  progress(0);
  if (const ending bad = check_input(given); bad.code != built)
    return bad;
  if (const char* fault = std::getenv("REFNPU_CC_FAULT"); fault != nullptr && *fault != '\0')
    return misbehave(fault, given);
  const std::string quantised = given.work + "/refnpu-cc." + std::to_string(getpid()) + ".gguf";
  const ending ended = compile(given, quantised);
  fs::remove(quantised, failed);
  if (ended.code == built)
    progress(100);
  return ended;
}

} // namespace

int main(int count, char** words) {
  if (count == 2 && std::string(words[1]) == "--version") {
    std::printf("refnpu-cc %s (target %s)\n", stack_version(), target_name);
    return built;
  }
  arguments given;
  ending ended = read_arguments(count, words, given);
  if (ended.code == built)
    ended = build(std::move(given));
  if (ended.code != built)
    std::fprintf(stderr, "refnpu-cc: error: %s\n", ended.message.c_str());
  if (ended.code == usage)
    std::fputs(usage_text, stderr);
  return ended.code;
}
