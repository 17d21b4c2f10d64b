// SPDX-License-Identifier: Apache-2.0
#include "node/weights/weight_source.hpp"

#include "node/file_digest.hpp"
#include "node/weights/web_client.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace consort::node {

namespace {

constexpr std::string_view hub_scheme = "hf:";
constexpr std::string_view digest_mark = "#sha256=";
constexpr std::size_t name_bytes_max = 256;

error unsupported(const std::string& text, const std::string& why) {
  return {recovery::refuse, "source_unsupported",
          without_password(text).substr(0, name_bytes_max) + ": " + why};
}

/// Becomes part of paths and addresses: no way up, nothing that an address would read differently.
bool sound_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max && name.front() != '.'
         && name.find("..") == std::string_view::npos
         && std::all_of(name.begin(), name.end(), [](char c) {
              return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_'
                     || c == '-' || c == '+';
            });
}

bool sound_path(std::string_view path) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    if (!sound_name(path.substr(begin, end - begin)))
      return false;
    begin = end + 1;
  }
  return path.size() <= name_bytes_max;
}

result<weight_source> parse_hub(const std::string& text) {
  weight_source out;
  out.what = weight_source::kind::hub;
  const auto rest = std::string_view(text).substr(hub_scheme.size());
  const auto at = rest.find('@');
  const auto first = rest.find('/');
  // Without a revision the second slash ends the repository, with one the first after it.
  const auto name_end = at != std::string_view::npos ? at
                        : first == std::string_view::npos
                            ? rest.size()
                            : std::min(rest.find('/', first + 1), rest.size());
  out.repository = rest.substr(0, name_end);
  auto after = rest.substr(name_end);
  if (after.starts_with('@')) {
    const auto end = std::min(after.find('/'), after.size());
    out.revision = after.substr(1, end - 1);
    after = after.substr(end);
  }
  if (after.starts_with('/'))
    out.file = after.substr(1);
  if (!sound_path(out.repository)
      || std::count(out.repository.begin(), out.repository.end(), '/') != 1)
    return unsupported(text, "expected hf:ORG/REPO, hf:ORG/REPO/FILE or hf:ORG/REPO@REVISION/FILE");
  if (!sound_name(out.revision))
    return unsupported(text, "its revision is no branch, tag or commit");
  if (!after.empty() && !sound_path(out.file))
    return unsupported(text, "its file is no path in a repository");
  return out;
}

result<weight_source> parse_web(const std::string& text) {
  weight_source out;
  out.what = weight_source::kind::web;
  const auto mark = text.find('#');
  out.url = text.substr(0, mark);
  // Of a password with a # in it the cut address would show the beginning.
  const bool cut_wrong = mark != std::string::npos && text.find('@', mark) != std::string::npos;
  if (const auto url = parse_url(out.url); !url)
    return unsupported(text, cut_wrong ? "it is no address" : url.failure().message);
  if (mark == std::string::npos)
    return out;
  out.content = digest(text.substr(std::min(mark + digest_mark.size(), text.size())));
  if (text.compare(mark, digest_mark.size(), digest_mark) != 0 || !is_digest(out.content.value))
    return unsupported(text, "what follows its # is not sha256= and 64 hex digits");
  return out;
}

} // namespace

std::string weight_source::text() const {
  return std::string(hub_scheme) + repository + "@" + revision + (file.empty() ? "" : "/" + file);
}

result<weight_source> parse_source(const std::string& text) {
  if (text.starts_with(hub_scheme))
    return parse_hub(text);
  if (text.starts_with("https:") || text.starts_with("http:"))
    return parse_web(text);
  weight_source out;
  out.file = text;
  return out;
}

bool is_commit(const std::string& revision) {
  return revision.size() == 40
         && revision.find_first_not_of("0123456789abcdef") == std::string::npos;
}

} // namespace consort::node
