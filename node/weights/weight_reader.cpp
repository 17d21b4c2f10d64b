// SPDX-License-Identifier: Apache-2.0
#include "node/weights/weight_reader.hpp"

#include "node/byte_range.hpp"
#include "node/gguf.hpp"
#include "node/small_file.hpp"
#include "node/weights/adapter_folder.hpp"

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

json to_json(const model_variant& one, std::uint32_t rank) {
  return {{"rank", rank},
          {"format", one.format},
          {"source", one.source},
          {"content", one.content.value},
          {"shape", one.shape},
          {"quantization", one.quantization},
          {"tokenizer", one.tokenizer.value},
          {"chat_template", one.chat_template.value},
          {"weight_bytes", one.weight_bytes},
          {"kv_bytes_per_token", one.kv_bytes_per_token},
          {"context_tokens", one.context_tokens},
          {"token_bytes_max", one.token_bytes_max}};
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
    out.token_bytes_max = from.value("token_bytes_max", 0U); // Younger than what may be kept.
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return is_digest(out.content.value) ? std::optional(out) : std::nullopt;
}

/// Of an adapter; what an earlier version wrote has none.
std::uint32_t rank_in(const json& from) {
  const auto rank = from.find("rank");
  return rank != from.end() && rank->is_number_unsigned() ? rank->get<std::uint32_t>() : 0;
}

} // namespace

weight_reader::weight_reader(hub_settings hub, std::string memory_path)
    : hub_(std::move(hub)), cache_(hub_.cache), memory_path_(std::move(memory_path)) {
  load();
}

web_means weight_reader::means() const {
  return {hub_.authorities, hub_.limits, &stopped_};
}

result<weight_reader::known_weights> weight_reader::find(const std::string& text,
                                                         digest_cache& digests, kind of) {
  const auto source = parse_source(text);
  if (!source)
    return source.failure();
  const bool for_good = source->what == weight_source::kind::web
                            ? !source->content.empty()
                            : is_commit(source->revision) && !source->file.empty();
  const auto name = of == kind::adapter ? "adapter " + text : text;
  const auto known = remembered(name);
  if (for_good && known)
    return *known;
  auto found = look(*source, digests, of);
  if (found) {
    remember(name, *found);
    return found;
  }
  if (!known || !out_of_reach(found.failure()))
    return found;
  spdlog::warn("weights {}: {}; what was known of them holds", text, found.failure().message);
  return *known;
}

result<model_variant> weight_reader::describe(const std::string& source, digest_cache& digests) {
  auto found = find(source, digests, kind::model);
  return found ? result<model_variant>(std::move(found->variant)) : found.failure();
}

result<model_adapter> weight_reader::describe_adapter(const std::string& source,
                                                      digest_cache& digests) {
  auto found = find(source, digests, kind::adapter);
  if (!found)
    return found.failure();
  return model_adapter{{}, found->variant.source, found->variant.content, found->rank};
}

result<weight_reader::known_weights> weight_reader::look(const weight_source& source,
                                                         digest_cache& digests, kind of) const {
  if (source.what == weight_source::kind::hub)
    return look_at_hub(source, digests, of);
  if (source.content.empty())
    return error{recovery::refuse, "weights_undigested",
                 source.url + ": add its SHA-256, so that every copy can be checked: " + source.url
                     + "#sha256=HEX"};
  known_weights found;
  if (of == kind::model) {
    auto head = read_head(source, source.content);
    if (!head)
      return head.failure();
    found.variant = *std::move(head);
  }
  found.variant.content = source.content;
  found.variant.source = source.url + "#sha256=" + source.content.value;
  return found;
}

result<weight_reader::known_weights>
weight_reader::look_at_hub(const weight_source& source, digest_cache& digests, kind of) const {
  if (hub_.offline)
    return look_in_cache(source, digests, of);
  auto found = ask_hub(source, of);
  if (found || !out_of_reach(found.failure()))
    return found;
  if (auto cached = look_in_cache(source, digests, of)) {
    spdlog::warn("weights {}: {}; using this host's cache", source.text(), found.failure().message);
    return cached;
  }
  return found;
}

result<weight_reader::known_weights> weight_reader::ask_hub(const weight_source& source,
                                                            kind of) const {
  known_weights out;
  weight_source named;
  if (of == kind::adapter) {
    const auto found = find_hub_adapter(source, hub_, means());
    if (!found)
      return found.failure();
    named = found->source;
    out.variant.content = found->content;
    out.rank = found->rank;
  } else {
    const auto found = find_hub_file(source, hub_, means());
    if (!found)
      return found.failure();
    named = found->source;
    auto head = read_head(named, found->content);
    if (!head)
      return head.failure();
    out.variant = *std::move(head);
  }
  out.variant.source = named.text();
  cache_.keep_revision(source, named.revision);
  return out;
}

/// Offline: what is there counts, once it was hashed.
result<weight_reader::known_weights>
weight_reader::look_in_cache(const weight_source& source, digest_cache& digests, kind of) const {
  if (of == kind::adapter)
    if (auto folder = cached_folder(source, digests))
      return folder;
  const auto cached = cache_.find(source);
  if (!cached)
    return cached.failure();
  known_weights found;
  if (of == kind::adapter) {
    const auto content = digests.digest_of(cached->path);
    if (!content)
      return content.failure();
    found.variant.content = *content;
  } else {
    auto described = describe_gguf(cached->path, digests);
    if (!described)
      return described.failure();
    found.variant = *std::move(described);
  }
  found.variant.source = cached->source.text();
  return found;
}

result<weight_reader::known_weights> weight_reader::cached_folder(const weight_source& source,
                                                                  digest_cache& digests) const {
  const auto cached = cache_.find_folder(source);
  if (!cached)
    return cached.failure();
  known_weights found;
  std::map<std::string, digest> contents;
  for (const auto& [name, path] : cached->files) {
    const auto content = digests.digest_of(path);
    if (!content)
      return content.failure();
    contents.emplace(name, *content);
  }
  std::ifstream settings(cached->files.at(std::string(adapter_settings_file)), std::ios::binary);
  std::string text(limits::folder_text_bytes_max, '\0');
  settings.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(settings.gcount()));
  found.rank = adapter_rank(text);
  found.variant.source = cached->source.text();
  found.variant.content = folder_digest(contents);
  return found;
}

result<model_variant> weight_reader::read_head(const weight_source& source,
                                               const digest& content) const {
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
      memory_.emplace(source, known_weights{*std::move(known), rank_in(item)});
}

std::optional<weight_reader::known_weights> weight_reader::remembered(const std::string& name) {
  const std::scoped_lock lock(guard_);
  const auto found = memory_.find(name);
  return found == memory_.end() ? std::nullopt : std::optional(found->second);
}

void weight_reader::remember(const std::string& name, const known_weights& found) {
  const std::scoped_lock lock(guard_);
  if (memory_.size() >= limits::descriptions_max && !memory_.contains(name))
    memory_.erase(memory_.begin());
  memory_[name] = found;
  if (memory_path_.empty())
    return;
  auto root = json::object();
  for (const auto& [source, one] : memory_)
    root[source] = to_json(one.variant, one.rank);
  // Losing it costs a question to the hub, which is not worth an error.
  static_cast<void>(
      replace_file(memory_path_, root.dump(1, ' ', false, json::error_handler_t::replace)));
}

} // namespace consort::node
