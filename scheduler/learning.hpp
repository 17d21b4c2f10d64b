// SPDX-License-Identifier: Apache-2.0
#pragma once
/// What the core takes from an attempt that finished: speeds, power, lengths of answers, what the
/// engine has cached, how full it may be, and how far the prediction was off.

#include "scheduler/dispatch.hpp"

namespace consort::core {

/// Requires: the attempt is still counted at its endpoint.
void learn_from(pass& p, const request_row& r, const attempt_measurement& measured);

} // namespace consort::core
