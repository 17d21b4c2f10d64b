// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model as a folder, the way it comes from a hub or an exporter: config.json, weights as
/// *.safetensors, *.onnx or openvino_model.bin, tokenizer. What vendors' compilers and servers
/// read. The config is parsed; the weights are hashed and passed on, safetensors once they are
/// whole (safetensors.hpp). Pure but for reading files; errors have code `bad_model` and name file
/// and field.

#include "node/file_digest.hpp"

namespace consort::node {

[[nodiscard]] bool is_model_folder(const std::string& path);

/// The variant that a folder is, its digest included: of the names and contents of its files,
/// hidden ones and subfolders left out. `format` is `safetensors`, `onnx` or `openvino`, by its
/// files; `source` becomes `path`. At most limits::model_folder_files_max files.
[[nodiscard]] result<model_variant> describe_model_folder(const std::string& path,
                                                          digest_cache& digests);

/// Whether weights of such a format, a folder or one file, are whole; of others than `safetensors`
/// nothing is known. What cannot be read is left to whoever hashes it.
[[nodiscard]] result<done> check_model_files(const std::string& path, const std::string& format);

/// The digest alone.
[[nodiscard]] result<digest> digest_of_folder(const std::string& path, digest_cache& digests);

} // namespace consort::node
