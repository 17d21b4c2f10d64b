// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Turns what an operator declares of a model into what its files really are.
///
/// A model that only a model server has is declared with the source `server:NAME`: there is no file
/// to look at, and it runs where a plugin lists the format `server/NAME`.

#include "node/file_digest.hpp"

namespace consort::node {

/// NAME of `server:NAME`; nothing for other sources.
[[nodiscard]] std::optional<std::string> name_at_server(const std::string& source);

/// Inspects the file of every variant (format, digest, shape, quantisation, sizes) and replaces
/// what was declared of it; a declared context only lowers the file's own. Reads the whole of files
/// that `digests` does not know: may take minutes. Errors name the file: `source_unsupported` for
/// what is no local path, `source_relative`, `file_missing`, `file_unreadable`, `bad_model`, and
/// `model_changed` when a digest was declared and the file has another.
[[nodiscard]] result<model_spec> describe_model(model_spec declared, digest_cache& digests);

} // namespace consort::node
