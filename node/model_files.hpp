// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Turns what an operator declares of a model into what its files really are.
///
/// A file that is no GGUF and has another ending is taken for what it is called: format `cl` for
/// `NAME.cl`. Only plugins that list the format know what is in it.
///
/// `NAME.sim` is a card of sizes that stands for a model (node/simulated/model_card.hpp).
///
/// A model that only a model server has is declared with the source `server:NAME`: there is no file
/// to look at, and it runs where a plugin lists the format `server/NAME`.

#include "node/file_digest.hpp"
#include "node/weights/weight_reader.hpp"

namespace consort::node {

/// NAME of `server:NAME`; nothing for other sources.
[[nodiscard]] std::optional<std::string> name_at_server(const std::string& source);

/// What weights on this machine are: a GGUF, a folder as hubs have it, a card of a simulated model,
/// or a file that only its plugin understands. Errors as of describe_model().
[[nodiscard]] result<model_variant> describe_here(const std::string& source, digest_cache& digests);

/// Inspects the file of every variant (format, digest, shape, quantisation, sizes) and replaces
/// what was declared of it; a declared context only lowers the file's own. Reads the whole of files
/// that `digests` does not know: may take minutes. Of weights elsewhere only the head is read.
/// Errors name the file: `source_relative`, `file_missing`, `file_unreadable`, `bad_model`, what
/// weight_reader::describe() and describe_adapter() say, and `model_changed` when a digest was
/// declared and the file has
/// another.
[[nodiscard]] result<model_spec> describe_model(model_spec declared, digest_cache& digests,
                                                weight_reader& elsewhere);

} // namespace consort::node
