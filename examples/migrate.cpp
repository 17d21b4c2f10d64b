// SPDX-License-Identifier: Apache-2.0
// One application on any device: which one is a setting, not code.
// Usage: consort-migrate URL MODEL DEVICE [DEVICE ...]
//        consort-migrate http://127.0.0.1:8080 storyteller cpu npu pim
#include "consort/client.hpp"

#include <cstdio>
#include <string>
#include <vector>

namespace {

int complain(const std::string& device, const consort::client_error& failure) {
  std::fprintf(stderr, "%s: %s: %s\n", device.c_str(), failure.code.c_str(),
               failure.message.c_str());
  return 1;
}

/// What the application does, wherever it runs.
int tell_story(consort::client& models, const std::string& model, const std::string& device) {
  const auto loaded = models.load_model(model, device);
  if (!loaded)
    return complain(device, loaded.error());
  consort::generate_request wanted;
  wanted.model = model;
  wanted.prompt = "Once upon a time";
  wanted.max_tokens = 24;
  wanted.temperature = 0;
  wanted.device = device;
  const auto told = models.generate(wanted, [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    return std::fflush(stdout) == 0;
  });
  if (!told)
    return complain(device, told.error());
  std::printf("\n[%s: %u tokens, %s]\n", told->device.c_str(), told->completion_tokens,
              told->finish_reason.c_str());
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 3) {
    std::fprintf(stderr, "usage: %s URL MODEL DEVICE [DEVICE ...]\n", argv[0]);
    return 2;
  }
  consort::client_options options;
  options.url = args[0];
  consort::client models(options);
  int failures = 0;
  for (std::size_t at = 2; at < args.size(); ++at)
    failures += tell_story(models, args[1], args[at]);
  return failures == 0 ? 0 : 1;
}
