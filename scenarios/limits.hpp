// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Every bound of a scenario and its run, with its unit in its name.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::sim::limits {

inline constexpr duration_us second_us = 1'000'000;

inline constexpr std::uint32_t nodes_max = 10'000;
inline constexpr std::size_t devices_per_node_max = 64;
inline constexpr std::size_t devices_max = 100'000; ///< Of all nodes.
inline constexpr std::int64_t chips_max = 64; ///< That work as one device, of each kind of split.
inline constexpr std::size_t models_max = 1'000;
inline constexpr std::size_t workloads_max = 100;
inline constexpr std::size_t servegen_clients_max = 10'000;
inline constexpr std::size_t stages_max = 1'000; ///< Of one workload.
inline constexpr std::size_t traces_max = 100;   ///< Files of one workload.
inline constexpr std::size_t faults_max = 10'000;
inline constexpr std::size_t name_bytes_max = 100; ///< Leaves room for `/npu63` in a device id.
inline constexpr duration_us duration_us_max = 7 * 24 * 3'600 * second_us;
inline constexpr duration_us network_us_max
    = 60 * second_us; ///< Of a frame's way, likewise jitter.
inline constexpr double rate_per_s_max = 100'000;
inline constexpr double tokens_max = 1'000'000;       ///< Input or output of one request.
inline constexpr std::size_t records_max = 1'000'000; ///< Requests kept one by one; of later ones
                                                      ///< only counts and histograms.
inline constexpr std::uint64_t requests_max = 10'000'000;  ///< Of one run.
inline constexpr std::uint64_t steps_max = 2'000'000'000;  ///< Heap entries of one run.
inline constexpr duration_us settle_us = 180 * second_us;  ///< Liveness phase, unless given.
inline constexpr duration_us lease_us_min = 10'000;        ///< Of a node; renewed thrice in it.
inline constexpr duration_us refused_pause_us = second_us; ///< Of a closed loop's client.
inline constexpr duration_us report_every_us = second_us;  ///< A device's telemetry.
inline constexpr duration_us progress_every_us = 250'000;  ///< A gateway's reports of one attempt.
inline constexpr duration_us gather_every_us = 260'000;    ///< Tokens in one; over a gateway's
                                                           ///< period, so that each is reported.
inline constexpr duration_us link_silence_us = second_us;  ///< Then the scheduler closes a link.
inline constexpr duration_us redial_us = 100'000;          ///< Until a link stands again.
inline constexpr duration_us open_timeout_us = 2 * second_us; ///< A ticket that nobody answers.
inline constexpr duration_us honoured_us = 600 * second_us;   ///< A used ticket is known after its
                                                              ///< expiry: clocks may be set back.
inline constexpr duration_us restart_us = second_us; ///< A node that is replaced is away for it.
inline constexpr double loss_share_max = 0.5;        ///< Above it, call it a partition.
inline constexpr duration_us resend_us = 200'000;    ///< TCP's first retransmission; then doubled.
inline constexpr std::uint32_t resends_max = 5;      ///< Of one frame.
inline constexpr duration_us build_timeout_us = 60 * second_us; ///< Of a compiler that hangs.
inline constexpr duration_us drain_us = 2 * second_us; ///< Then an upgrade moves what still runs.
inline constexpr duration_us drain_max_us = 15 * second_us; ///< Then it stops the node anyway.
inline constexpr duration_us timeline_slices_max = 240;     ///< Of a report's horizontal axis.
inline constexpr std::size_t timeline_devices_max = 64;     ///< Shown one by one, the busiest.
inline constexpr std::size_t timeline_courses_max = 8'192;  ///< Devices they are chosen from, of
                                                            ///< those that ran something; 30 MiB.
inline constexpr std::size_t table_devices_max = 24;        ///< Rows of the terminal's table.
inline constexpr std::size_t timeline_spans_max = 20'000;
inline constexpr std::size_t timeline_events_max = 200'000;
inline constexpr std::size_t check_rows_max = 128; ///< Requests and devices whose books are looked
                                                   ///< at after every step; of more, less often.
inline constexpr std::size_t sweep_runs_max = 10'000; ///< Of one what-if.
inline constexpr std::size_t swarm_runs_max = 10'000'000;

} // namespace consort::sim::limits
