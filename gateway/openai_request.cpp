// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai_request.hpp"

#include "gateway/body_fields.hpp"
#include "gateway/embeddings.hpp"
#include "gateway/json_text.hpp"
#include "gateway/limits.hpp"
#include "gateway/prompt_blocks.hpp"
#include "gateway/request_headers.hpp"
#include "scheduler/asks.hpp"
#include "scheduler/limits.hpp"
#include "scheduler/nearest_name.hpp"
#include "scheduler/units.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>

namespace consort::gateway {

namespace {

using document = nlohmann::json; // Field order does not matter here; look-ups do.

constexpr std::size_t bytes_per_token = 4;      ///< English text, most tokenizers.
constexpr std::uint32_t tokens_per_message = 4; ///< Role and separators of a template.

constexpr std::string_view labels_key = "consort_labels"; ///< The only one of ours in `metadata`.
constexpr std::string_view own_key_prefix = "consort_";

/// As header names are written: `Consort_Wait` is `consort-wait`.
std::string dashed(std::string_view key) {
  std::string out(key);
  for (auto& c : out)
    c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// Whether a key of `metadata` is meant for us, however it is spelt.
bool is_ours(std::string_view key) {
  return dashed(key.substr(0, own_key_prefix.size())) == dashed(own_key_prefix);
}

/// A mistyped `consort_labels` would let data go where it must not.
api_error unknown_key(const std::string& whole) {
  const auto key = cut_text(whole, limits::header_name_bytes_max);
  const auto end = dashed(key.substr(own_key_prefix.size()));
  const auto header
      = std::find_if(request_header_names.begin(), request_header_names.end(), [&](auto name) {
          return dashed(name.substr(std::string_view("X-Consort-").size())) == end;
        });
  const bool labels = end == "labels" || !nearest_names(end, {"labels"}, 1).empty();
  const std::string meant
      = labels ? "did you mean " + std::string(labels_key) + "?"
        : header != request_header_names.end()
            ? "the header " + std::string(*header) + " says that"
            : "there is " + std::string(labels_key) + "; all else is asked for by headers";
  const auto param = "metadata." + key;
  return bad_request("unknown_field", "`" + param + "` is not a known field (" + meant + ")",
                     param);
}

/// Reads the known fields of one body; keeps the first failure.
class body_reader {
public:
  body_reader(const document& from, std::string_view model) : from_(from), prompt_(model) {}

  void flag(std::string_view field, bool& out) {
    if (const auto* value = member(from_, field); value != nullptr)
      value->is_boolean() ? void(out = value->get<bool>())
                          : fail(wrong_type(field, "true or false"));
  }

  void count(std::string_view field, std::uint32_t count_max, std::uint32_t& out) {
    const auto* value = member(from_, field);
    if (value == nullptr)
      return;
    if (!value->is_number_integer())
      return fail(wrong_type(field, "a whole number"));
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() < 1
        || value->get<std::uint64_t>() > count_max)
      return fail(wrong_value(field, "from 1 to " + std::to_string(count_max)));
    out = value->get<std::uint32_t>();
  }

  void stream_options(bool streaming, bool& include_usage) {
    const auto* options = member(from_, "stream_options");
    if (options == nullptr)
      return;
    if (!options->is_object())
      return fail(wrong_type("stream_options", "an object"));
    if (!streaming)
      return fail(wrong_value("stream_options", "left out unless `stream` is true"));
    if (const auto* value = member(*options, "include_usage"); value != nullptr)
      value->is_boolean() ? void(include_usage = value->get<bool>())
                          : fail(wrong_type("stream_options.include_usage", "true or false"));
  }

  /// OpenAI's `metadata` is a map of strings that every client library passes on. What is not ours
  /// there is the client's own.
  void labels(std::vector<std::string>& out) {
    const auto* metadata = member(from_, "metadata");
    if (metadata == nullptr || !metadata->is_object())
      return;
    for (const auto& [key, value] : metadata->items())
      if (key != labels_key && is_ours(key))
        return fail(unknown_key(key));
    const auto* value = member(*metadata, labels_key);
    if (value == nullptr)
      return;
    auto parsed
        = value->is_string() ? parse_labels(value->get_ref<const std::string&>()) : std::nullopt;
    if (parsed)
      out = std::move(*parsed);
    else
      fail(wrong_value("metadata.consort_labels", labels_allowed));
  }

  void messages(parsed_body& out) {
    const auto* list = member(from_, "messages");
    if (list == nullptr)
      return fail(missing("messages"));
    if (!list->is_array())
      return fail(wrong_type("messages", "an array of messages"));
    if (list->empty())
      return fail(wrong_value("messages", "an array of at least one message"));
    for (std::size_t at = 0; at < list->size(); ++at)
      message((*list)[at], "messages[" + std::to_string(at) + "]");
    out.prompt_tokens = estimate(tokens_per_message * list->size());
    out.prefix_blocks = prompt_.take();
  }

  void prompts(parsed_body& out) {
    const auto* prompt = member(from_, "prompt");
    if (prompt == nullptr)
      return fail(missing("prompt"));
    std::size_t tokens = 0;
    std::size_t count = 1;
    if (prompt->is_string())
      text(*prompt);
    else if (is_token_list(*prompt))
      tokens = ids(*prompt);
    else if (prompt->is_array() && !prompt->empty())
      count = prompt_list(*prompt, tokens);
    else
      return fail(prompt->is_array() ? wrong_value("prompt", "an array of at least one prompt")
                                     : wrong_type("prompt", "a string or an array"));
    out.choices *= static_cast<std::uint32_t>(count);
    out.asks |= longest_ids_ > 0 ? asks::token_prompts : 0U;
    out.prompt_tokens = estimate(tokens);
    if (!cuts_prompts()) {
      out.prompt_ids = longest_ids_;
      out.prompt_bytes = longest_text_;
    }
    out.prefix_blocks = prompt_.take();
  }

  /// Texts to embed. Nothing is generated, so nothing can be streamed or continued.
  void embeddings(parsed_body& out) {
    if (out.stream)
      return fail(wrong_value("stream", "left out: embeddings come whole"));
    const auto* format = member(from_, "encoding_format");
    if (format != nullptr && *format != "float" && *format != "base64")
      return fail(wrong_value("encoding_format", "`float` or `base64`"));
    const auto* input = member(from_, "input");
    if (input == nullptr)
      return fail(missing("input"));
    if (!input->is_array())
      embed(*input);
    else if (input->empty() || input->size() > limits::embedding_inputs_max)
      return fail(wrong_value("input", "from 1 to " + std::to_string(limits::embedding_inputs_max)
                                           + " texts"));
    else
      std::for_each(input->begin(), input->end(), [this](const document& one) { embed(one); });
    out.inputs = input->is_array() ? static_cast<std::uint32_t>(input->size()) : 1U;
    out.prompt_tokens = estimate(out.inputs);
    out.max_tokens = 1; // The least that a request may ask for.
    out.resumable = false;
  }

  [[nodiscard]] const std::optional<api_error>& failure() const { return failure_; }

private:
  void fail(api_error problem) {
    if (!failure_)
      failure_ = std::move(problem);
  }

  void embed(const document& one) {
    if (!one.is_string())
      return fail(wrong_type("input", "a string or an array of strings; tokens are not taken"));
    if (one.get_ref<const std::string&>().empty())
      return fail(wrong_value("input", "texts of at least one character"));
    prompt_.add(one.get_ref<const std::string&>());
  }

  void message(const document& one, const std::string& where) {
    if (!one.is_object())
      return fail(wrong_type(where, "an object"));
    const auto* role = member(one, "role");
    if (role == nullptr)
      return fail(missing(where + ".role"));
    if (!role->is_string())
      return fail(wrong_type(where + ".role", "a string"));
    prompt_.add(role->get_ref<const std::string&>());
    prompt_.add("\n");
    // Absent or null content is legal beside tool calls; whether it is here, the runtime knows.
    if (const auto* text = member(one, "content"); text != nullptr)
      content(*text, where + ".content");
    prompt_.add("\n");
  }

  void content(const document& value, const std::string& where) {
    if (value.is_string())
      return prompt_.add(value.get_ref<const std::string&>());
    if (!value.is_array())
      return fail(wrong_type(where, "a string or an array of parts"));
    for (const auto& part : value) {
      if (!part.is_object())
        return fail(wrong_type(where, "an array of objects"));
      if (const auto* text = member(part, "text"); text != nullptr && text->is_string())
        prompt_.add(text->get_ref<const std::string&>());
    }
  }

  static bool is_token_list(const document& value) {
    return value.is_array() && !value.empty() && value.front().is_number_integer();
  }

  /// A prompt of a completion. Bodies are far smaller than what 32 bits count.
  void text(const document& one) {
    const auto& words = one.get_ref<const std::string&>();
    prompt_.add(words);
    longest_text_ = std::max(longest_text_, static_cast<std::uint32_t>(words.size()));
  }
  /// Returns: how many.
  std::size_t ids(const document& list) {
    longest_ids_ = std::max(longest_ids_, static_cast<std::uint32_t>(list.size()));
    return list.size();
  }
  /// Whether the runtime is asked to cut what is too long, as some can.
  [[nodiscard]] bool cuts_prompts() const {
    return member(from_, "truncate_prompt_tokens") != nullptr
           || member(from_, "truncate") != nullptr || member(from_, "truncation") != nullptr;
  }

  /// Several prompts. Returns: how many.
  std::size_t prompt_list(const document& list, std::size_t& tokens) {
    if (list.size() > limits::prompts_max)
      fail(wrong_value("prompt", "at most " + std::to_string(limits::prompts_max) + " prompts"));
    for (const auto& one : list) {
      if (one.is_string())
        text(one);
      else if (is_token_list(one))
        tokens += ids(one);
      else
        fail(wrong_type("prompt", "an array of strings or of token arrays"));
    }
    return list.size();
  }

  [[nodiscard]] std::uint32_t estimate(std::size_t known_tokens) const {
    return static_cast<std::uint32_t>(known_tokens + prompt_.bytes() / bytes_per_token + 1);
  }

  const document& from_;
  prompt_hasher prompt_;
  std::uint32_t longest_text_ = 0, longest_ids_ = 0;
  std::optional<api_error> failure_;
};

bool truthy(const document& from, std::string_view field) {
  const auto* value = member(from, field);
  if (value == nullptr)
    return false;
  return value->is_boolean() ? value->get<bool>() : !value->empty();
}

bool any_truthy(const document& from, std::initializer_list<const char*> fields) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const char* field) { return truthy(from, field); });
}

/// Whether its answer must have a form.
bool has_form(const document& from) {
  const auto* format = member(from, "response_format");
  const auto* type = format != nullptr && format->is_object() ? member(*format, "type") : nullptr;
  return (format != nullptr && (type == nullptr || *type != "text"))
         || any_truthy(from, {"tools", "functions", "grammar", "guided_json", "guided_regex",
                              "guided_choice", "guided_grammar", "structured_outputs"});
}

/// Whether more is generated than is told.
bool picks_best(const document& from) {
  const auto* best_of = member(from, "best_of");
  return best_of != nullptr && *best_of != 1;
}

/// Whether a cut stream may be continued elsewhere: only where another engine's continuation is
/// still one honest answer. No tools, grammars, log probabilities, echoes or several choices.
bool is_resumable(const document& from, std::uint32_t choices) {
  return choices == 1 && !has_form(from) && !picks_best(from)
         && !any_truthy(from, {"logprobs", "top_logprobs", "echo"});
}

/// Whether it says a number there that is not the one that changes nothing.
bool weighs(const document& from, std::string_view field, double neutral) {
  const auto* value = member(from, field);
  return value != nullptr && value->is_number() && value->get<double>() != neutral;
}

/// What the body of a completion asks of a runtime beside text, as bits of asks.hpp. 0 is a number
/// of log probabilities: of the token alone.
std::uint32_t asked_besides(const document& from) {
  const auto* logprobs = member(from, "logprobs");
  std::uint32_t out = has_form(from) ? asks::forms : 0U;
  out |= picks_best(from) ? asks::choices : 0U;
  out |= logprobs != nullptr && *logprobs != false ? asks::logprobs : 0U;
  out |= truthy(from, "echo") ? asks::echo : 0U;
  out |= weighs(from, "frequency_penalty", 0) || weighs(from, "repetition_penalty", 1)
             ? asks::penalties
             : 0U;
  out |= weighs(from, "presence_penalty", 0) || truthy(from, "logit_bias") ? asks::biases : 0U;
  return out;
}

std::variant<model_name, api_error> read_model(const document& from) {
  const auto* model = member(from, "model");
  if (model == nullptr)
    return missing("model");
  if (!model->is_string())
    return wrong_type("model", "a string");
  auto name = model->get<std::string>();
  if (name.empty() || name.size() > limits::model_name_bytes_max)
    return wrong_value("model",
                       "1 to " + std::to_string(limits::model_name_bytes_max) + " bytes long");
  if (has_control(name))
    return wrong_value("model", "a name without control characters");
  return model_name(std::move(name));
}

} // namespace

template <class Json>
std::optional<api_error> parse_json(std::string_view body, Json& out) {
  if (const auto at = find_invalid_utf8(body))
    return bad_request("invalid_utf8",
                       "the body is not valid UTF-8 at byte " + std::to_string(*at));
  if (const auto at = find_too_deep(body, limits::json_depth_max))
    return bad_request("json_too_deep", "the body nests deeper than "
                                            + std::to_string(limits::json_depth_max)
                                            + " levels at byte " + std::to_string(*at));
  try {
    out = Json::parse(body);
  } catch (const nlohmann::json::parse_error& failed) {
    return bad_request("invalid_json",
                       "the body is not valid JSON at byte " + std::to_string(failed.byte));
  } catch (const nlohmann::json::exception& failed) { // A number out of range.
    return bad_request("invalid_json", std::string("the body is not valid JSON: ") + failed.what());
  }
  return std::nullopt;
}

template std::optional<api_error> parse_json(std::string_view, nlohmann::json&);
template std::optional<api_error> parse_json(std::string_view, nlohmann::ordered_json&);

std::variant<parsed_body, api_error> parse_body(request_kind kind, std::string_view body) {
  document from;
  if (auto failure = parse_json(body, from))
    return *failure;
  if (!from.is_object())
    return bad_request("invalid_type", "the body must be a JSON object");
  auto model = read_model(from);
  if (auto* failure = std::get_if<api_error>(&model))
    return std::move(*failure);

  parsed_body out;
  out.model = std::move(std::get<model_name>(model));
  body_reader in(from, out.model.value);
  in.flag("stream", out.stream);
  in.stream_options(out.stream, out.include_usage);
  in.labels(out.labels);
  if (kind == request_kind::embedding) {
    in.embeddings(out);
    if (in.failure())
      return *in.failure();
    return out;
  }
  in.count("n", core::limits::choices_max, out.choices);
  in.count("max_tokens", limits::max_tokens_max, out.max_tokens);
  if (kind == request_kind::chat) {
    in.count("max_completion_tokens", limits::max_tokens_max, out.max_tokens);
    in.messages(out);
  } else {
    in.prompts(out);
    out.asks |= asked_besides(from);
  }
  if (!in.failure() && out.choices > core::limits::choices_max)
    return wrong_value("n", "at most " + std::to_string(core::limits::choices_max)
                                + " over all prompts");
  if (in.failure())
    return *in.failure();
  out.resumable = is_resumable(from, out.choices);
  return out;
}

} // namespace consort::gateway
