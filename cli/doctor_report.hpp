// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How the checks of doctor_checks.hpp are shown: a table with what to do below it, or JSON
/// (`{"checks": [{check, verdict, found, next}], "failed": n}`).

#include "cli/context.hpp"
#include "cli/doctor_checks.hpp"

namespace consort::cli {

/// Returns: failed if any check is a failure; warnings alone are no failure.
exit_code show_checks(context& env, const std::vector<check>& checks);

} // namespace consort::cli
