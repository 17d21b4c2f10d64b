// SPDX-License-Identifier: Apache-2.0
#pragma once
/// How `consort` ends, for scripts. The numbers are part of the contract and never change.

namespace consort::cli {

enum class exit_code : int {
  done = 0,
  failed = 1,
  usage = 2,       ///< The command line or a file given by it is wrong.
  unreachable = 3, ///< No server answers.
  refused = 4,     ///< The cluster refused the request.
};

} // namespace consort::cli
