// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/reference/engine_file.hpp"

#include "node/plugins/llama/backend.hpp"
#include "node/plugins/reference/limits.hpp"
#include "scheduler/versions.hpp"

#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace consort::reference {
namespace {

using llama::bad_model;
using nlohmann::json;

constexpr std::string_view magic = "RNPU";
constexpr std::size_t prefix_bytes = 24;
constexpr std::size_t copy_bytes = std::size_t{1024} * 1024;

error io_error(const std::string& what, const std::string& path) {
  return {recovery::retry_elsewhere, "io", what + " '" + path + "': " + std::strerror(errno)};
}

template <class Integer>
void put(std::string& into, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i)
    into += static_cast<char>(value >> (8 * i) & 0xFFU);
}

template <class Integer>
Integer take(std::string_view bytes, std::size_t at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= static_cast<Integer>(static_cast<Integer>(static_cast<unsigned char>(bytes[at + i]))
                                  << (8 * i));
  return value;
}

std::uint64_t payload_offset(std::size_t header_bytes) {
  const std::size_t end = prefix_bytes + header_bytes;
  return (end + limits::payload_alignment_bytes - 1) / limits::payload_alignment_bytes
         * limits::payload_alignment_bytes;
}

struct state_deleter {
  void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
};

/// Gives a stream to `sink` in blocks until `bytes` have passed. Returns: their XXH64; nullopt when
/// the stream ended early or the sink failed.
std::optional<std::uint64_t> pass_through(std::istream& from, std::uint64_t bytes,
                                          const std::function<bool(std::string_view)>& sink) {
  const std::unique_ptr<XXH64_state_t, state_deleter> hash(XXH64_createState());
  XXH64_reset(hash.get(), 0);
  std::vector<char> block(copy_bytes);
  while (bytes > 0) {
    const auto wanted = static_cast<std::streamsize>(std::min<std::uint64_t>(bytes, block.size()));
    if (!from.read(block.data(), wanted))
      return std::nullopt;
    const std::string_view read(block.data(), static_cast<std::size_t>(wanted));
    XXH64_update(hash.get(), read.data(), read.size());
    if (!sink(read))
      return std::nullopt;
    bytes -= read.size();
  }
  return XXH64_digest(hash.get());
}

std::string header_text(const engine_header& header) {
  return json{{"target", header.target},
              {"compiler_version", header.compiler_version},
              {"source_sha256", header.source_sha256},
              {"weights", header.weights},
              {"degree", header.degree},
              {"quality",
               {{"kl_mean", header.quality.kl_mean},
                {"top1", header.quality.top1},
                {"tokens", header.quality.tokens}}},
              {"payload_bytes", header.payload_bytes},
              {"payload_xxh64", header.payload_xxh64}}
      .dump();
}

result<engine_header> parse_header(const std::string& text, const std::string& path) {
  const json parsed = json::parse(text, nullptr, false);
  engine_header header;
  try { // nlohmann reports a missing or mistyped field by throwing.
    parsed.at("target").get_to(header.target);
    parsed.at("compiler_version").get_to(header.compiler_version);
    parsed.at("source_sha256").get_to(header.source_sha256);
    parsed.at("weights").get_to(header.weights);
    header.degree = parsed.value("degree", 1U); // Engines of before are of one device.
    parsed.at("quality").at("kl_mean").get_to(header.quality.kl_mean);
    parsed.at("quality").at("top1").get_to(header.quality.top1);
    parsed.at("quality").at("tokens").get_to(header.quality.tokens);
    parsed.at("payload_bytes").get_to(header.payload_bytes);
    parsed.at("payload_xxh64").get_to(header.payload_xxh64);
  } catch (const json::exception& wrong) {
    return bad_model("'" + path + "' has a bad header: " + wrong.what());
  }
  header.payload_offset = payload_offset(text.size());
  return header;
}

/// The engine's content has not changed within this format version, so that what an older compiler
/// of the same major version made is as good; what a newer one may add is not known here.
bool reads(const std::string& version, const std::string& built_by) {
  auto own = core::version_parts(version);
  auto built = core::version_parts(built_by);
  if (own.empty() || built.empty())
    return false;
  own.resize(2);
  built.resize(2);
  return built[0] == own[0] && built[1] <= own[1];
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR)
      return false;
    bytes.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return true;
}

} // namespace

result<done> write_engine(const std::string& path, engine_header header,
                          const std::string& payload) {
  std::ifstream from(payload, std::ios::binary);
  std::error_code failed;
  header.payload_bytes = std::filesystem::file_size(payload, failed);
  const auto sum = pass_through(from, header.payload_bytes, [](auto) { return true; });
  if (failed || !sum)
    return io_error("cannot read", payload);
  header.payload_xxh64 = *sum;
  const std::string text = header_text(header);
  std::string head(magic);
  put(head, engine_format_version);
  put(head, static_cast<std::uint32_t>(text.size()));
  put(head, std::uint32_t{0});
  put(head, XXH64(text.data(), text.size(), 0));
  head += text;
  head.resize(payload_offset(text.size()), '\0');
  const std::string fresh = path + ".part";
  std::ofstream to(fresh, std::ios::binary | std::ios::trunc);
  to << head;
  from.clear();
  from.seekg(0);
  const auto copied = pass_through(from, header.payload_bytes, [&](std::string_view block) {
    return to.write(block.data(), static_cast<std::streamsize>(block.size())).good();
  });
  to.close();
  if (copied == sum && to)
    std::filesystem::rename(fresh, path, failed);
  if (copied != sum || !to || failed) {
    const error why = io_error("cannot write", path);
    std::filesystem::remove(fresh, failed);
    return why;
  }
  return done{};
}

result<engine_header> read_engine_header(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string prefix(prefix_bytes, '\0');
  if (!file.read(prefix.data(), prefix_bytes) || !prefix.starts_with(magic))
    return bad_model("'" + path
                     + "' is not an engine of the reference accelerator (no RNPU magic)");
  const auto format = take<std::uint32_t>(prefix, 4);
  if (format != engine_format_version)
    return bad_model("'" + path + "' has format version " + std::to_string(format)
                     + "; this runtime reads version " + std::to_string(engine_format_version));
  const auto bytes = take<std::uint32_t>(prefix, 8);
  if (bytes > limits::header_json_bytes_max)
    return bad_model("'" + path + "' has a header of " + std::to_string(bytes) + " bytes");
  std::string text(bytes, '\0');
  if (!file.read(text.data(), bytes)
      || XXH64(text.data(), text.size(), 0) != take<std::uint64_t>(prefix, 16))
    return bad_model("'" + path + "' is damaged: its header does not match its checksum");
  return parse_header(text, path);
}

result<done> check_compatible(const engine_header& header, const std::string& target,
                              const std::string& version) {
  if (header.target != target)
    return bad_model("the engine was built for '" + header.target + "'; this device is '" + target
                     + "'");
  if (!reads(version, header.compiler_version))
    return bad_model("the engine was built by compiler " + header.compiler_version
                     + "; this runtime of " + version
                     + " takes those of its major version up to its own minor one");
  return done{};
}

result<int> extract_payload(const std::string& path, const engine_header& header) {
  std::error_code failed;
  const std::uintmax_t have = std::filesystem::file_size(path, failed);
  if (failed || have < header.payload_offset
      || have - header.payload_offset != header.payload_bytes)
    return bad_model("'" + path + "' is damaged: its payload is not "
                     + std::to_string(header.payload_bytes) + " bytes long");
  std::ifstream from(path, std::ios::binary);
  from.seekg(static_cast<std::streamoff>(header.payload_offset));
  const int memory = memfd_create("refnpu-engine", MFD_CLOEXEC);
  if (memory < 0)
    return io_error("cannot make a file in memory for", path);
  const auto sum = pass_through(from, header.payload_bytes,
                                [&](std::string_view block) { return write_all(memory, block); });
  if (sum == header.payload_xxh64)
    return memory;
  close(memory);
  return bad_model("'" + path + "' is damaged: its payload does not match its checksum");
}

result<std::string> sha256_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  std::vector<char> block(copy_bytes);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
    EVP_DigestUpdate(hash.get(), block.data(), static_cast<std::size_t>(file.gcount()));
  if (!file.eof())
    return io_error("cannot read", path);
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned bytes = 0;
  EVP_DigestFinal_ex(hash.get(), sum.data(), &bytes);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < bytes; ++i) {
    hex += digits[sum[i] >> 4U];
    hex += digits[sum[i] & 0xFU];
  }
  return hex;
}

} // namespace consort::reference
