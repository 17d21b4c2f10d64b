// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the HTTP status of a model server means for the attempt that was answered with it. The one
/// rule of those who ask real servers and of simulated devices, virtual and live, so that a
/// rehearsal takes the paths of production. Pure. Deliberately reads no body: who has one passes
/// on what it says.
///
///   400, 413, 422            the request's own fault: refused, the same everywhere
///   408, 429, 498, 503, 529  too much to do, or on its way out: full, which spends nobody's
///                            attempts and no retry budget; others serve meanwhile
///   402                      no money is left there: the device's fault, as a wrong key is
///   401, 403, 404, others    the device's fault, which its breaker counts

#include "messages/attempt_service.hpp"

#include <string_view>

namespace consort {

/// Who has no money left says so with this status, and some say it in the body of a 429 instead.
inline constexpr unsigned no_money_status = 402;

/// Returns: how the attempt ends. `said`: the server's words, on one line; empty = none.
[[nodiscard]] attempt_aborted judge_server_status(unsigned status, std::string_view said);

/// The same, of a server that answered `status` and means `judged_as`, as who read its body knows:
/// no money, or a 404 that is about the request's route and not about the server.
[[nodiscard]] attempt_aborted judge_server_status(unsigned status, std::string_view said,
                                                  unsigned judged_as);

} // namespace consort
