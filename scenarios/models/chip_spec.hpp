// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Spec sheets of chips: what a roofline is made of. Standard library only; constants. Every row
/// says where its figures come from and how far they were checked; nobody measured them for this
/// project. Memory in GB (1e9 bytes), bandwidth in GB/s, speed in TFLOPS (dense), power in watts,
/// money in US dollars per hour; 0 = not known.

#include <string>
#include <string_view>
#include <vector>

namespace consort::sim {

struct chip_spec {
  std::string_view name; ///< As scenario files write it, in lower case.
  std::string_view kind; ///< `gpu`, `npu`, `pim`, `cpu`.
  std::string_view vendor;
  double memory_gb = 0;
  double memory_gbps = 0;   ///< What attention and weights are read with.
  double tflops_16 = 0;     ///< bf16 or fp16.
  double tops_8 = 0;        ///< fp8 or int8; 0 = no faster than 16 bits.
  double tdp_w = 0;         ///< 0 = not published; then no energy is counted.
  double idle_w = 0;        ///< 0 = a guess of a tenth of `tdp_w` is used.
  double usd_per_h = 0;     ///< List price of a cloud; 0 = not known.
  double link_gb_per_s = 0; ///< To its peers in one server, each way; 0 = a PCIe 4.0 x16 slot.
  std::string_view source;  ///< Where the figures come from, and what is unsure.
};

/// The spec of that name (case does not matter), or null.
[[nodiscard]] const chip_spec* find_chip_spec(std::string_view name);
[[nodiscard]] std::vector<std::string> chip_spec_names();
/// Joined by a PCIe 4.0 x16 slot: what a spec without `link_gb_per_s` gets.
inline constexpr double slot_gb_per_s = 25;

} // namespace consort::sim
