// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of the wire, with its unit in its name. Both ends enforce them: an encoder answers
/// with an error instead of sending, a decoder refuses. Each has a test that reaches it.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::messages::limits {

// --- frames ---

inline constexpr std::size_t frame_bytes_max = std::size_t{1} << 20; ///< Payload, control frames.
inline constexpr std::size_t page_bytes_max
    = std::size_t{768} << 10; ///< Rows of one page of a snapshot; its head fits the rest.
inline constexpr std::size_t body_frame_bytes_max
    = std::size_t{16} << 20;                     ///< Payload of frames that carry a client's body.
inline constexpr std::uint32_t nesting_max = 32; ///< Pointers followed from the root.

// --- text, in bytes of UTF-8 ---

inline constexpr std::size_t name_bytes_max = 128;     ///< Ids of nodes and devices.
inline constexpr std::size_t label_bytes_max = 256;    ///< Model names, words, versions, tags.
inline constexpr std::size_t text_bytes_max = 4'096;   ///< Sentences, paths, attribute values.
inline constexpr std::size_t digest_bytes = 64;        ///< SHA-256 in lower-case hex.
inline constexpr std::size_t secret_bytes_max = 4'096; ///< Join tokens, ticket keys, MACs.
inline constexpr std::size_t json_bytes_max = std::size_t{8} << 20; ///< A client's body.
inline constexpr std::size_t host_json_bytes_max
    = std::size_t{256} << 10; ///< Configuration and counters of a host process.
inline constexpr std::size_t token_text_bytes_max = std::size_t{1} << 19; ///< One token event.
inline constexpr std::size_t resume_text_bytes_max = std::size_t{4} << 20;

// --- counts of list elements ---

inline constexpr std::size_t attributes_max = 256;  ///< Of one node, device or artifact.
inline constexpr std::size_t words_max = 256;       ///< Tags, dtypes, formats, aliases ...
inline constexpr std::size_t prices_max = 256;      ///< Models with a price at one device.
inline constexpr std::size_t profiles_max = 64;     ///< Build profiles of a device or node.
inline constexpr std::size_t variants_max = 64;     ///< Of one model.
inline constexpr std::size_t shares_max = 1'024;    ///< Of one allocation.
inline constexpr std::size_t endpoints_max = 1'024; ///< Of one instance or one report.
inline constexpr std::size_t attempts_max = 4'096;  ///< Running on one device.
inline constexpr std::size_t prefix_blocks_max = 1'024;
inline constexpr std::size_t token_ids_max = std::size_t{1} << 17;  ///< In one token event.
inline constexpr std::size_t resume_ids_max = std::size_t{1} << 20; ///< Before a resume.
inline constexpr std::size_t view_rows_max = 100'000;               ///< Of one list of a snapshot.
inline constexpr std::size_t decisions_max = 64;                    ///< Of one explanation.
inline constexpr std::size_t candidates_max = 256;                  ///< Of one decision.
inline constexpr std::size_t terms_max = 64;                        ///< Of one score.
inline constexpr std::size_t nodes_max = 4'096;                     ///< Asked at once.
inline constexpr std::size_t plugins_max = 512;                     ///< Listed of one node.
inline constexpr std::size_t claims_max = 512;                      ///< The same.

// --- numbers ---

inline constexpr std::uint32_t choices_max = 128;       ///< `n`, and the index of a choice.
inline constexpr std::uint32_t per_mille_max = 1'000;   ///< Progress.
inline constexpr std::uint32_t load_pm_max = 1'000'000; ///< Utilization: 1,000 cores at full load.
inline constexpr std::int32_t temperature_mc_min = -273'150;
inline constexpr std::int32_t temperature_mc_max = 1'000'000;
inline constexpr duration_us duration_us_max
    = duration_us{100} * 366 * 24 * 3'600 * 1'000'000; ///< 100 years; also bounds times.
inline constexpr std::uint16_t http_status_min = 400;  ///< Of a rejected request.
inline constexpr std::uint16_t http_status_max = 599;

} // namespace consort::messages::limits
