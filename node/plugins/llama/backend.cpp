// SPDX-License-Identifier: Apache-2.0
#include "node/plugins/llama/backend.hpp"

#include <dlfcn.h>
#include <ggml-backend.h>
#include <gguf.h>

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string_view>
#include <thread>

namespace consort::llama {
namespace {

thread_local std::string last_error;

void keep_errors(ggml_log_level level, const char* text, void* /*unused*/) {
  if (level != GGML_LOG_LEVEL_ERROR || text == nullptr)
    return;
  std::string_view line = text;
  while (!line.empty() && (line.back() == '\n' || line.back() == ' '))
    line.remove_suffix(1);
  // llama.cpp names its own function first: noise for whoever reads the message.
  if (const auto colon = line.find(": ");
      colon != std::string_view::npos && colon < 48
      && line.substr(0, colon).find(' ') == std::string_view::npos)
    line.remove_prefix(colon + 2);
  if (!line.empty())
    last_error = line;
}

std::string library_directory() {
  Dl_info where{};
  if (dladdr(reinterpret_cast<void*>(&llama_backend_init), &where) == 0
      || where.dli_fname == nullptr)
    return {};
  return std::filesystem::path(where.dli_fname).parent_path().string();
}

result<done> load_backends_now(const std::string& directory) {
  llama_log_set(keep_errors, nullptr);
  const std::string from = directory.empty() ? library_directory() : directory;
  // Another object of this process may have loaded them: they are the process's own.
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr)
    ggml_backend_load_all_from_path(from.empty() ? nullptr : from.c_str());
  if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr)
    return error{recovery::retry_elsewhere, "no_backend",
                 "no llama.cpp back-end for this CPU found in '" + from + "'"};
  llama_backend_init();
  return done{};
}

struct gguf_deleter {
  void operator()(gguf_context* context) const { gguf_free(context); }
};

} // namespace

token_batch::token_batch(std::int32_t capacity)
    : batch_(llama_batch_init(capacity, 0, 1)), capacity_(capacity) {}

token_batch::~token_batch() {
  llama_batch_free(batch_);
}

std::int32_t token_batch::add(llama_token token, llama_pos position, llama_seq_id sequence,
                              bool wants_logits) {
  assert(batch_.n_tokens < capacity_);
  const std::int32_t row = batch_.n_tokens++;
  batch_.token[row] = token;
  batch_.pos[row] = position;
  batch_.n_seq_id[row] = 1;
  batch_.seq_id[row][0] = sequence;
  batch_.logits[row] = wants_logits ? 1 : 0;
  return row;
}

result<done> load_backends(const std::string& directory) {
  static std::once_flag once;
  static result<done> outcome = done{};
  std::call_once(once, [&] { outcome = load_backends_now(directory); });
  return outcome;
}

std::string last_engine_error(const std::string& fallback) {
  return last_error.empty() ? fallback : last_error;
}

error bad_model(std::string message) {
  return {recovery::refuse, "bad_model", std::move(message)};
}

bool begins_as_gguf(const std::string& path) {
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic); // Of a folder: nothing.
  return std::string_view(magic, sizeof magic) == "GGUF";
}

result<done> check_gguf(const std::string& path) {
  std::error_code failed;
  const std::uintmax_t file_bytes = std::filesystem::file_size(path, failed);
  if (failed)
    return bad_model("cannot read model '" + path + "': " + failed.message());
  if (!begins_as_gguf(path))
    return bad_model("'" + path + "' is not a GGUF file");
  last_error.clear();
  const std::unique_ptr<gguf_context, gguf_deleter> file(
      gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  if (!file)
    return bad_model("'" + path + "' is damaged: " + last_engine_error("unreadable header"));
  const std::uint64_t data = gguf_get_data_offset(file.get());
  for (std::int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
    const std::uint64_t offset = gguf_get_tensor_offset(file.get(), i);
    const std::uint64_t bytes = gguf_get_tensor_size(file.get(), i);
    if (data > file_bytes || offset > file_bytes - data || bytes > file_bytes - data - offset)
      return bad_model("'" + path + "' is truncated: tensor '" + gguf_get_tensor_name(file.get(), i)
                       + "' ends beyond its " + std::to_string(file_bytes) + " bytes");
  }
  return done{};
}

result<model_ptr> load_model(const std::string& path) {
  if (auto checked = check_gguf(path); !checked)
    return checked.failure();
  last_error.clear();
  model_ptr model(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
  if (!model)
    return bad_model("cannot load '" + path + "': " + last_engine_error("unknown reason"));
  if (!llama_model_has_decoder(model.get()) || llama_model_has_encoder(model.get()))
    return bad_model("'" + path + "' is not a decoder-only language model");
  return model;
}

result<model_ptr> load_vocabulary(const std::string& path) {
  if (auto checked = check_gguf(path); !checked)
    return checked.failure();
  last_error.clear();
  auto params = llama_model_default_params();
  params.vocab_only = true;
  model_ptr model(llama_model_load_from_file(path.c_str(), params));
  if (!model)
    return bad_model("cannot read the vocabulary of '" + path
                     + "': " + last_engine_error("unknown reason"));
  return model;
}

std::uint32_t usable_threads(std::uint32_t wanted) {
  // As many spinning threads as cores was seen to be hundreds of times slower than one fewer.
  const std::uint32_t most = std::max(std::thread::hardware_concurrency(), 2U) - 1;
  return std::clamp(wanted, 1U, most);
}

} // namespace consort::llama
