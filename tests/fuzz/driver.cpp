// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every file of the corpus folders, then mutations of them.
// usage: TARGET RUNS SEED CORPUS-FOLDER...   (the ctest entries say which)
// The same arguments give the same inputs, so a failure is run again under a debugger as it is.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using input = std::vector<std::uint8_t>;

constexpr std::size_t input_bytes_max = 64 * 1024;
constexpr std::uint64_t mutations_max = 8;

/// Where a crash happened; written by the signal handler.
std::array<char, 128> position{};

extern "C" void say_position(int number) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, position.data(), position.size());
  std::_Exit(128 + number);
}

/// xorshift64*: the same everywhere.
class generator {
public:
  explicit generator(std::uint64_t seed) : state_(seed == 0 ? 1 : seed) {}
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    return ((state_ * 0x2545F4914F6CDD1DULL) >> 11U) % bound;
  }

private:
  std::uint64_t state_;
};

std::uint8_t interesting(generator& random) {
  constexpr std::array<std::uint8_t, 12> bytes
      = {0, 1, 0x7F, 0x80, 0xFF, '"', '{', '}', '[', '\n', '\\', '0'};
  return random.below(2) == 0 ? bytes[random.below(bytes.size())]
                              : static_cast<std::uint8_t>(random.below(256));
}

/// One small change, anywhere.
void mutate(input& bytes, const input& other, generator& random) {
  const auto size = bytes.size();
  const auto at = static_cast<std::ptrdiff_t>(random.below(size + 1));
  const auto span = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(1 + random.below(32)),
                                             static_cast<std::ptrdiff_t>(size) - at);
  const auto from = bytes.begin() + at;
  switch (random.below(6)) {
  case 0: bytes.insert(from, interesting(random)); return;
  case 1: bytes.erase(from, from + span); return;
  case 2: {
    const input copy(from, from + span);
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(random.below(size + 1)), copy.begin(),
                 copy.end());
    return;
  }
  case 3: // The head of this one, the tail of another.
    bytes.resize(static_cast<std::size_t>(at));
    bytes.insert(bytes.end(),
                 other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size() + 1)),
                 other.end());
    return;
  case 4:
    if (span > 0)
      *from = static_cast<std::uint8_t>(*from ^ (1U << random.below(8)));
    return;
  default:
    if (span > 0)
      *from = interesting(random);
  }
}

void run(const input& bytes, const std::string& name) {
  std::snprintf(position.data(), position.size() - 1, "fuzz: crashed on %.100s\n", name.c_str());
  // A copy of the exact size, so that a read past its end is seen.
  const input exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::vector<input> read_corpus(int folders, char** names) {
  std::vector<std::filesystem::path> paths;
  for (int at = 0; at < folders; ++at)
    if (std::filesystem::exists(names[at]))
      for (const auto& file : std::filesystem::directory_iterator(names[at]))
        paths.push_back(file.path());
  std::sort(paths.begin(), paths.end()); // The order of a folder is not the same everywhere.
  std::vector<input> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    run(corpus.back(), path.filename().string());
  }
  std::erase_if(corpus, [](const input& one) { return one.size() > input_bytes_max; });
  if (corpus.empty())
    corpus.emplace_back();
  return corpus;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s RUNS SEED CORPUS-FOLDER...\n", argv[0]);
    return 2;
  }
  const std::uint64_t runs = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  std::signal(SIGABRT, say_position);
  const auto corpus = read_corpus(argc - 3, argv + 3);
  std::printf("fuzz: seed %llu, %zu corpus inputs, %llu mutated\n",
              static_cast<unsigned long long>(seed), corpus.size(),
              static_cast<unsigned long long>(runs));
  std::fflush(stdout); // Seen even when a sanitizer ends the process.
  generator random(seed);
  for (std::uint64_t at = 0; at < runs; ++at) {
    input bytes = corpus[random.below(corpus.size())];
    const auto mutations = 1 + random.below(mutations_max);
    for (std::uint64_t count = 0; count < mutations; ++count)
      mutate(bytes, corpus[random.below(corpus.size())], random);
    bytes.resize(std::min(bytes.size(), input_bytes_max));
    run(bytes, "mutated input " + std::to_string(at));
  }
  return 0;
}
