// SPDX-License-Identifier: Apache-2.0
#pragma once
/// The engine file that refnpu-cc writes and librefnpu.so loads (`.rnpu`):
///
///   0   magic "RNPU"          4   format version, u32
///   8   header bytes, u32     12  zero, u32
///   16  XXH64 of the header   24  header: a JSON object of `engine_header`
///   then zeros up to the next 4096, then the payload: a quantised GGUF
///
/// Integers are little-endian. Every byte that counts is under a checksum: vendors' formats that do
/// not notice a flipped byte are the reason why callers keep their own digests.

#include "scheduler/result.hpp"

#include <cstdint>
#include <string>

namespace consort::reference {

inline constexpr std::uint32_t engine_format_version = 1;

/// How far the quantised model is from its source, measured on held-out text.
struct engine_quality {
  double kl_mean = 0; ///< Mean KL divergence of next-token distributions, nats.
  double top1 = 0;    ///< Share of positions where both prefer the same token.
  std::uint32_t tokens = 0;
};

struct engine_header {
  std::string target;
  std::string compiler_version;
  std::string source_sha256; ///< Hex digest of the GGUF that was compiled.
  std::string weights;       ///< Type of the payload's weights, e.g. `Q8_0`.
  std::uint32_t degree = 1;  ///< Devices that run it together.
  engine_quality quality;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_xxh64 = 0;
  std::uint64_t payload_offset = 0; ///< Follows from the header's length; not stored.
};

/// Writes `path` with the file `payload` as its payload; fills in its length and checksum. The file
/// appears whole or not at all. Failures: code `io`.
[[nodiscard]] result<done> write_engine(const std::string& path, engine_header header,
                                        const std::string& payload);
/// Reads and checks the header alone. Failures: code `bad_model`.
[[nodiscard]] result<engine_header> read_engine_header(const std::string& path);
/// Whether an engine of this header runs on this target with this stack (same major, no newer
/// minor). Failures: code `bad_model`.
[[nodiscard]] result<done> check_compatible(const engine_header& header, const std::string& target,
                                            const std::string& version);
/// Copies the payload to an anonymous file in memory while checking its checksum, so that an engine
/// that takes paths can map it. Returns: a descriptor, owned by the caller. Failures: `bad_model`.
[[nodiscard]] result<int> extract_payload(const std::string& path, const engine_header& header);
/// Hex SHA-256 of a file. Failures: code `io`.
[[nodiscard]] result<std::string> sha256_of(const std::string& path);

} // namespace consort::reference
