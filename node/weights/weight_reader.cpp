// SPDX-License-Identifier: Apache-2.0
#include "node/weights/weight_reader.hpp"

#include "node/byte_range.hpp"
#include "node/gguf.hpp"
#include "node/small_file.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <vector>

namespace consort::node {

namespace {

using nlohmann::json;

/// Only time, or another server, is wrong: what was known before still holds.
bool out_of_reach(const error& why) {
  return why.code == "web_unreachable" || why.code == "web_broken" || why.code == "weights_busy"
         || why.code == "tls_failed";
}

/// The head of a file as it comes in, until there is enough of it.
struct file_head {
  std::vector<std::byte> bytes;
  std::uint64_t file_bytes = 0;
  bool full = false;
};

std::uint64_t whole_size(const web_head& head) {
  if (const auto part = parse_content_range(head.header("content-range")))
    return part->size_bytes;
  std::uint64_t size = 0;
  const auto& text = head.header("content-length");
  std::from_chars(text.data(), text.data() + text.size(), size);
  return size;
}

/// Reads on until there are `wanted` bytes of it, or all.
std::optional<error> extend(file_head& have, std::uint64_t wanted, const weight_source& source,
                            web_request ask, const web_means& means, const hub_settings& hub) {
  ask.from = have.bytes.size();
  ask.to = wanted - 1;
  std::uint64_t skip = 0;
  bool begun = false;
  const auto take = [&](const web_head& head, std::string_view piece) -> std::optional<error> {
    if (head.status >= 300)
      return judge_status(head, source, hub);
    if (!begun && head.status == 200) // It knows no ranges, and begins at the beginning.
      skip = have.bytes.size();
    begun = true;
    have.file_bytes = whole_size(head);
    const auto skipped = std::min<std::uint64_t>(skip, piece.size());
    skip -= skipped;
    piece.remove_prefix(skipped);
    piece = piece.substr(0, wanted - have.bytes.size());
    const auto at = have.bytes.size();
    have.bytes.resize(at + piece.size());
    if (!piece.empty())
      std::memcpy(have.bytes.data() + at, piece.data(), piece.size());
    have.full = have.bytes.size() == wanted;
    return have.full ? std::optional(error{recovery::bug, "enough", ""}) : std::nullopt;
  };
  const auto answer = web_exchange(ask, means, take);
  if (answer && answer->status >= 300)
    return judge_status(*answer, source, hub);
  if (answer || have.full)
    return std::nullopt;
  return answer.failure();
}

json to_json(const model_variant& one) {
  return {{"format", one.format},
          {"source", one.source},
          {"content", one.content.value},
          {"shape", one.shape},
          {"quantization", one.quantization},
          {"tokenizer", one.tokenizer.value},
          {"chat_template", one.chat_template.value},
          {"weight_bytes", one.weight_bytes},
          {"kv_bytes_per_token", one.kv_bytes_per_token},
          {"context_tokens", one.context_tokens}};
}

std::optional<model_variant> from_json(const json& from) {
  model_variant out;
  try { // nlohmann reports a missing or mistyped field by throwing.
    from.at("format").get_to(out.format);
    from.at("source").get_to(out.source);
    from.at("content").get_to(out.content.value);
    from.at("shape").get_to(out.shape);
    from.at("quantization").get_to(out.quantization);
    from.at("tokenizer").get_to(out.tokenizer.value);
    from.at("chat_template").get_to(out.chat_template.value);
    from.at("weight_bytes").get_to(out.weight_bytes);
    from.at("kv_bytes_per_token").get_to(out.kv_bytes_per_token);
    from.at("context_tokens").get_to(out.context_tokens);
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return is_digest(out.content.value) ? std::optional(out) : std::nullopt;
}

/// What is remembered of a source goes by it as it was declared, and by what it is of.
std::string memory_name(const std::string& text, weight_kind kind) {
  return kind == weight_kind::adapter ? "adapter " + text : text;
}

} // namespace

weight_reader::weight_reader(hub_settings hub, std::string memory_path)
    : hub_(std::move(hub)), cache_(hub_.cache), memory_path_(std::move(memory_path)) {
  load();
}

web_means weight_reader::means() const {
  return {hub_.authorities, hub_.limits, &stopped_};
}

result<model_variant> weight_reader::describe(const std::string& text, digest_cache& digests,
                                              weight_kind kind) {
  const auto source = parse_source(text);
  if (!source)
    return source.failure();
  const bool for_good = source->what == weight_source::kind::web
                            ? !source->content.empty()
                            : is_commit(source->revision) && !source->file.empty();
  const auto known = remembered(memory_name(text, kind));
  if (for_good && known)
    return *known;
  auto found = look(*source, digests, kind);
  if (found) {
    remember(memory_name(text, kind), *found);
    return found;
  }
  if (!known || !out_of_reach(found.failure()))
    return found;
  spdlog::warn("weights {}: {}; what was known of them holds", text, found.failure().message);
  return *known;
}

result<model_variant> weight_reader::look(const weight_source& source, digest_cache& digests,
                                          weight_kind kind) {
  if (source.what == weight_source::kind::hub)
    return look_at_hub(source, digests, kind);
  if (source.content.empty())
    return error{recovery::refuse, "weights_undigested",
                 source.url + ": add its SHA-256, so that every copy can be checked: " + source.url
                     + "#sha256=HEX"};
  auto found = read_head(source, source.content, kind);
  if (found)
    found->source = source.url + "#sha256=" + source.content.value;
  return found;
}

result<model_variant> weight_reader::look_at_hub(const weight_source& source, digest_cache& digests,
                                                 weight_kind kind) {
  if (hub_.offline)
    return look_in_cache(source, digests, kind);
  const auto file = find_hub_file(source, hub_, means());
  if (!file) {
    if (out_of_reach(file.failure()))
      if (auto cached = look_in_cache(source, digests, kind)) {
        spdlog::warn("weights {}: {}; using this host's cache", source.text(),
                     file.failure().message);
        return cached;
      }
    return file.failure();
  }
  auto found = read_head(file->source, file->content, kind);
  if (!found)
    return found;
  found->source = file->source.text();
  cache_.keep_revision(source, file->source.revision);
  return found;
}

/// Offline: what is there counts, once it was hashed.
result<model_variant> weight_reader::look_in_cache(const weight_source& source,
                                                   digest_cache& digests, weight_kind kind) const {
  const auto cached = cache_.find(source);
  if (!cached)
    return cached.failure();
  if (kind == weight_kind::adapter) {
    const auto content = digests.digest_of(cached->path);
    return content ? read_head(cached->source, *content, kind) : content.failure();
  }
  auto found = describe_gguf(cached->path, digests);
  if (found)
    found->source = cached->source.text();
  return found;
}

result<model_variant> weight_reader::read_head(const weight_source& source, const digest& content,
                                               weight_kind kind) const {
  if (kind == weight_kind::adapter) {
    model_variant found;
    found.source = source.text();
    found.content = content;
    return found;
  }
  const auto ask = request_for(source, hub_);
  if (!ask)
    return ask.failure();
  file_head head;
  for (std::uint64_t wanted = limits::weights_head_bytes;; wanted *= 2) {
    wanted = std::min<std::uint64_t>(wanted, limits::gguf_contents_bytes_max);
    if (auto problem = extend(head, wanted, source, *ask, means(), hub_))
      return *problem;
    if (!head.bytes.empty() && head.bytes.front() == std::byte{'<'})
      return error{recovery::retry_later, "weights_refused",
                   ask->url.authority() + " answered with a page, not with the file"};
    const auto info = inspect_gguf(head.bytes, head.file_bytes);
    if (info)
      return variant_of(*info, ask->url.text(), content);
    if (!head.full || wanted == limits::gguf_contents_bytes_max)
      return error{recovery::refuse, "bad_model",
                   ask->url.authority() + ask->url.target + ": " + info.failure().message};
  }
}

// --- what was found before ---

void weight_reader::load() {
  std::ifstream file(memory_path_, std::ios::binary);
  const auto root = memory_path_.empty() ? json() : json::parse(file, nullptr, false);
  if (!root.is_object())
    return;
  for (const auto& [source, item] : root.items())
    if (auto known = from_json(item); known && memory_.size() < limits::descriptions_max)
      memory_.emplace(source, *std::move(known));
}

std::optional<model_variant> weight_reader::remembered(const std::string& source) {
  const std::scoped_lock lock(guard_);
  const auto found = memory_.find(source);
  return found == memory_.end() ? std::nullopt : std::optional(found->second);
}

void weight_reader::remember(const std::string& source, const model_variant& found) {
  const std::scoped_lock lock(guard_);
  if (memory_.size() >= limits::descriptions_max && !memory_.contains(source))
    memory_.erase(memory_.begin());
  memory_[source] = found;
  if (memory_path_.empty())
    return;
  auto root = json::object();
  for (const auto& [name, one] : memory_)
    root[name] = to_json(one);
  // Losing it costs a question to the hub, which is not worth an error.
  static_cast<void>(
      replace_file(memory_path_, root.dump(1, ' ', false, json::error_handler_t::replace)));
}

} // namespace consort::node
