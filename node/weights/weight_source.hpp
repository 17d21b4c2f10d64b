// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Where weights come from, as people write it: a path, `https://HOST/FILE#sha256=HEX`, or
/// `hf:ORG/REPO[@REVISION][/FILE]`. Pure.

#include "scheduler/models.hpp"
#include "scheduler/result.hpp"

#include <string>

namespace consort::node {

struct weight_source {
  enum class kind : std::uint8_t { path, web, hub };
  kind what = kind::path;
  std::string url;               ///< Of the web, without the digest.
  digest content;                ///< As given with it; empty = not.
  std::string repository;        ///< `ORG/REPO` of the hub.
  std::string revision = "main"; ///< Branch, tag or commit.
  std::string file;              ///< May be in folders; empty = the only one that fits.
  /// Of the hub: as people would write it.
  [[nodiscard]] std::string text() const;
};

/// Errors (refuse): `source_unsupported`, which says what is wrong with it.
[[nodiscard]] result<weight_source> parse_source(const std::string& text);
/// Whether a revision is a commit, which stays what it is: 40 hex digits.
[[nodiscard]] bool is_commit(const std::string& revision);

} // namespace consort::node
