// SPDX-License-Identifier: Apache-2.0
#include "scenarios/models/chip_spec.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace consort::sim {

namespace {

constexpr std::string_view sheet = "vendor sheet";
constexpr std::string_view sheet_price = "vendor sheet; price unverified";
constexpr std::string_view partly = "vendor pages, partly unverified";
constexpr std::string_view unverified = "unverified";

// clang-format off
// name, kind, vendor, GB, GB/s, TFLOPS, TOPS, TDP, idle, $/h, link, source
constexpr std::array chips{
    chip_spec{"h100-sxm", "gpu", "nvidia", 80, 3350, 989, 1979, 700, 70, 2.5, 450, sheet},
    chip_spec{"h200-sxm", "gpu", "nvidia", 141, 4800, 989, 1979, 700, 75, 3.5, 450, sheet},
    chip_spec{"b200-sxm", "gpu", "nvidia", 180, 8000, 2250, 4500, 1000, 140, 5.5, 900,
              sheet_price},
    chip_spec{"a100-80g", "gpu", "nvidia", 80, 2039, 312, 624, 400, 55, 1.3, 300, sheet},
    chip_spec{"a100-40g", "gpu", "nvidia", 40, 1555, 312, 624, 400, 50, 1.1, 300, sheet_price},
    chip_spec{"a800-80g", "gpu", "nvidia", 80, 2039, 312, 624, 400, 55, 1.3, 200,
              "as A100-80G with 400 GB/s of links, of which half each way"},
    chip_spec{"l40s", "gpu", "nvidia", 48, 864, 362, 733, 350, 35, 0.87, 0, sheet},
    chip_spec{"l4", "gpu", "nvidia", 24, 300, 121, 242, 72, 15, 0.6, 0, sheet_price},
    chip_spec{"a10g", "gpu", "nvidia", 24, 600, 70, 140, 300, 25, 1.01, 0,
              "vendor sheet; price from Melange's example"},
    chip_spec{"t4", "gpu", "nvidia", 16, 320, 65, 130, 70, 10, 0.35, 0, sheet_price},
    chip_spec{"v100-16g", "gpu", "nvidia", 16, 900, 125, 0, 300, 40, 0.8, 150, sheet_price},
    chip_spec{"rtx-4090", "gpu", "nvidia", 24, 1008, 165.2, 330, 450, 20, 0.4, 0, sheet_price},
    chip_spec{"rtx-pro-6000", "gpu", "nvidia", 96, 1792, 251.9, 503.8, 600, 30, 1.8, 0,
              sheet_price},
    chip_spec{"mi300x", "gpu", "amd", 192, 5300, 1307, 2615, 750, 130, 2.5, 448, sheet_price},
    chip_spec{"gaudi3", "npu", "intel", 128, 3670, 1835, 1835, 900, 220, 0, 300,
              "Hot Chips slides"},
    chip_spec{"rbln-ca22", "npu", "rebellions", 16, 256, 32, 128, 75, 18, 0, 0,
              "data sheet, unverified; memory and idle power read from a card"},
    chip_spec{"rbln-ca25", "npu", "rebellions", 64, 1024, 128, 512, 350, 42, 0, 0, unverified},
    chip_spec{"rbln-cr13", "npu", "rebellions", 144, 4800, 1024, 2048, 600, 0, 0, 0,
              "documentation for memory and bandwidth, rest unverified"},
    chip_spec{"rngd", "npu", "furiosa", 48, 1500, 256, 512, 180, 35, 0, 0, "vendor documentation"},
    chip_spec{"cloudai100-ultra", "npu", "qualcomm", 128, 548, 290, 870, 150, 30, 0, 0,
              "vendor documentation; idle power is a guess"},
    chip_spec{"tpu-v5e", "npu", "google", 16, 819, 197, 393, 170, 0, 1.2, 100, partly},
    chip_spec{"tpu-v6e", "npu", "google", 32, 1640, 918, 1836, 0, 0, 2.7, 200, partly},
    chip_spec{"inferentia2", "npu", "aws", 32, 880, 190, 380, 175, 0, 0.76, 96,
              "vendor documentation; price unverified"},
    chip_spec{"trainium2", "npu", "aws", 96, 2900, 667, 1299, 500, 0, 0, 512, partly},
    chip_spec{"ascend-910b2", "npu", "huawei", 64, 1600, 376, 752, 400, 101, 0, 196, unverified},
    // One memory device each; `devices` of a scenario joins several, as their systems do.
    chip_spec{"upmem-pim-ai-dimm", "pim", "upmem", 8, 1638, 80, 80, 23, 10, 0, 22,
              "upmem_llm_framework, simulated: 16 chips; memory and power unverified"},
    chip_spec{"aim-gddr6-chip", "pim", "skhynix", 1, 512, 1, 1, 0, 0, 0, 0, "Hot Chips slides"},
    chip_spec{"hbm-pim-stack", "pim", "samsung", 6, 1230, 1.2, 1.2, 15, 0, 0, 0, unverified},
    chip_spec{"cent-cxl-pim", "pim", "skhynix", 16, 16384, 16, 16, 39, 5, 0, 64,
              "CENT (ASPLOS'25), simulated: 16 GDDR6-PIM chips on a CXL controller"},
    chip_spec{"epyc-9654", "cpu", "amd", 384, 460, 5, 20, 360, 120, 3, 0, unverified},
};
// clang-format on

bool same_name(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a))
           == std::tolower(static_cast<unsigned char>(b));
  });
}

} // namespace

const chip_spec* find_chip_spec(std::string_view name) {
  const auto* found = std::find_if(chips.begin(), chips.end(),
                                   [&](const chip_spec& one) { return same_name(one.name, name); });
  return found == chips.end() ? nullptr : found;
}

std::vector<std::string> chip_spec_names() {
  std::vector<std::string> names;
  for (const auto& one : chips)
    names.emplace_back(one.name);
  return names;
}

} // namespace consort::sim
