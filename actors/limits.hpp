// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Bounds of the actors' own waits and tables, with units in their names.

#include "scheduler/ids.hpp"

#include <cstddef>

namespace consort::actors::limits {

inline constexpr duration_us query_timeout_us = 5'000'000; ///< For a snapshot or an explanation.
inline constexpr duration_us kept_timeout_us
    = 3'000'000; ///< For the word that what an operator asked for is kept; else it is not known.
inline constexpr duration_us query_sweep_us
    = 500'000;                                    ///< How often overdue queries are looked for.
inline constexpr std::size_t queries_max = 1'024; ///< Unanswered at once, per gateway.
inline constexpr std::size_t listeners_max
    = 100'000; ///< Requests that a gateway has open at the scheduler.
inline constexpr std::size_t ends_held_max
    = 10'000; ///< Ends of requests that a gateway keeps for the scheduler while no link is open.
inline constexpr duration_us telemetry_every_us
    = 2'000'000; ///< Longest between two reports of a device, however seldom it is read.
inline constexpr duration_us telemetry_every_us_min = 100'000; ///< Whatever a plugin asks for.
inline constexpr std::size_t health_reason_bytes_max = 1'024;  ///< Of a device, as reported.
inline constexpr std::uint32_t readings_failed_max
    = 3; ///< In a row of one plugin; then its devices count as degraded.
inline constexpr duration_us relink_us
    = 1'000'000; ///< For a node with a renewed certificate to come back after the old was revoked.
inline constexpr duration_us hello_timeout_us
    = 5'000'000; ///< For the scheduler's answer; then said again.
inline constexpr duration_us renewals_per_lease = 3;      ///< Lease renewals in one lease period.
inline constexpr duration_us renew_every_us_min = 50'000; ///< Whatever a lease says.
inline constexpr std::size_t reloads_waiting_max = 64; ///< Who waits for one look at the plugins.
inline constexpr std::size_t reload_names_max = 200;   ///< Of each list in what came of it.
inline constexpr std::size_t plugin_list_bytes_max = 262'144; ///< Of one node's list of them.
inline constexpr std::size_t plugin_text_bytes_max = 1'024;   ///< Of a reason or a path in it.
inline constexpr duration_us probe_retry_us_min
    = 5'000'000; ///< Until a plugin whose probe failed is asked again; then twice as long each
                 ///< time.
inline constexpr duration_us probe_retry_us_max = 300'000'000;
inline constexpr std::size_t names_known_max = 10'000; ///< Of nodes; as many as the core takes.
inline constexpr std::size_t lives_of_name_max = 8;    ///< Incarnations remembered of one name.
inline constexpr std::size_t compiles_max = 4;         ///< Running on one node at once.
inline constexpr duration_us shutdown_us = 5'000'000;  ///< For all actors to end.

} // namespace consort::actors::limits
