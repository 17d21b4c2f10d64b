// SPDX-License-Identifier: Apache-2.0
#include "messages/server_status.hpp"

namespace consort {

attempt_aborted judge_server_status(unsigned status, std::string_view said, unsigned judged_as) {
  auto message = "the model server answered " + std::to_string(status);
  message += said.empty() ? " and said nothing" : ": " + std::string(said);
  const auto judged = [&](recovery action, const char* code, bool device_fault) {
    return attempt_aborted{{action, code, std::move(message)}, device_fault};
  };
  switch (judged_as) {
  case 400:
  case 413:
  case 422: return judged(recovery::refuse, "server_refused", false);
  case 401:
  case 403: return judged(recovery::retry_elsewhere, "server_key", true);
  case no_money_status: return judged(recovery::retry_elsewhere, "server_quota", true);
  case 404: return judged(recovery::retry_elsewhere, "server_model", true);
  // It took nothing, so trying again costs nothing: a retry that is counted, of which nobody is
  // to blame, would come with every request until the budget of all is spent.
  case 408:
  case 429:
  case 498: // Groq's word for it, as 529 is Anthropic's.
  case 503:
  case 529: return judged(recovery::retry_later, "server_busy", false);
  default: return judged(recovery::retry_elsewhere, "server_failed", true);
  }
}

attempt_aborted judge_server_status(unsigned status, std::string_view said) {
  return judge_server_status(status, said, status);
}

} // namespace consort
