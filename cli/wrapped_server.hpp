// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model server that exists already, as `consort plugin init` finds it: what it speaks, where,
/// and what it serves. What it says of itself is not trusted: names become quoted words of the
/// commands that people are told to paste, and those that no source can have are left out.

#include "scheduler/result.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace consort::cli {

/// Models that are looked at of what one server lists.
inline constexpr std::size_t wrapped_models_max = 64;
/// Of such a list; providers of many models have longer ones than servers.
inline constexpr std::size_t wrapped_list_bytes_max = std::size_t{4} << 20U;

/// The error's code of a server that serves, under names that no source can have.
inline constexpr const char* bad_model_name = "bad_model_name";

struct wrapped_server {
  std::string url;  ///< `http[s]://HOST[:PORT][/PREFIX]`, to which `base` and `ready` are added.
  std::string base; ///< Before `/completions`; empty = the usual `/v1`.
  std::string protocol = "openai";
  std::string ready; ///< Path that says 200.
  std::vector<std::string> models;
  bool more = false; ///< It lists others beside these.
  std::string
      gauges; ///< What `GET /metrics` says; empty = nothing, or a provider, who is not asked.
  std::string key_env; ///< Variable that holds its API key; empty = it wants none.
};

/// Asks a server what it speaks. `given` is what its clients call its address: it may end in `/v1`,
/// in another base, or in either and a route such as `/models` or `/chat/completions`. `key_env`:
/// name of the variable that holds its API key, which goes along and nowhere else; empty = none
/// does. Errors: `usage` for an address with a user's name or password, or what is no name of a
/// variable, neither of which is repeated, and for a variable that is not set; `unreachable`;
/// `key_wanted`; `failed` for a server that is none of these; `bad_model_name`.
[[nodiscard]] result<wrapped_server> look_at_server(const std::string& given,
                                                    const std::string& key_env = {});

/// Whether it answered, and neither another path nor more time makes that better.
[[nodiscard]] bool is_final(const error& failure);

/// One line each: how its models are declared, fit for pasting into a shell.
[[nodiscard]] std::string declaring_commands(const wrapped_server& server);

} // namespace consort::cli
