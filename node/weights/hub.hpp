// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A model hub as this process is to use it, in the environment's words: HF_ENDPOINT (a mirror),
/// HF_TOKEN or the file HF_TOKEN_PATH, HF_HUB_OFFLINE, and the cache HF_HUB_CACHE or `hub` in
/// HF_HOME. The token is shown to the endpoint alone, over TLS or on this machine, and to nobody
/// else: it is in no log, message or answer.

#include "node/weights/web_client.hpp"
#include "node/weights/weight_source.hpp"

#include <vector>

namespace consort::node {

struct hub_settings {
  std::string endpoint = "https://huggingface.co";
  std::string token; ///< Empty = none.
  std::string cache; ///< Folder; empty = none is read or written.
  bool offline = false;
  std::string authorities; ///< PEM file (SSL_CERT_FILE); empty = the system's.
  limits::web_set limits = {};
};

/// What this process' environment says.
[[nodiscard]] hub_settings hub_from_environment();

/// One file of a repository, named for good.
struct hub_file {
  weight_source source; ///< Its revision is a commit, its file is named.
  digest content;
  std::uint64_t size_bytes = 0;
};

/// What an adapter of the hub is: one file, or the files of a folder.
struct hub_adapter {
  weight_source source; ///< Its revision is a commit; of a folder its file is the settings.
  digest content;       ///< Of the file, or folder_digest().
  std::uint32_t rank = 0;
  struct part {
    std::string name; ///< In the folder.
    digest content;
    std::uint64_t size_bytes = 0;
    std::string text; ///< All of a small file, which the hub knows no SHA-256 of.
  };
  std::vector<part> parts; ///< Of a folder, in order of name.
};

/// What to ask a web server or the hub for to get a file.
[[nodiscard]] result<web_request> request_for(const weight_source& source, const hub_settings& hub);

/// Which file a source of the hub means, by asking it. Errors: what web_exchange() says, and
/// `weights_missing`, `weights_ambiguous` (it lists them), `weights_denied` (a token is wanted),
/// `weights_busy`, `weights_refused`, `weights_undigested` (the hub knows no SHA-256 of it).
[[nodiscard]] result<hub_file> find_hub_file(const weight_source& source, const hub_settings& hub,
                                             const web_means& means);

/// What a source of the hub means as an adapter: the file that it names, or its only .gguf, else
/// the folder that it names, or the repository itself. Of a folder the small files are read, and no
/// weights. Errors: find_hub_file()'s and adapter_files()'s; `weights_ambiguous` when there is
/// both. `left_alone_us` is judge_status()'s of the answer that ended it.
[[nodiscard]] result<hub_adapter> find_hub_adapter(const weight_source& source,
                                                   const hub_settings& hub, const web_means& means,
                                                   duration_us* left_alone_us = nullptr);

/// What a status other than success of a file's server means; the caller is told what to do. A
/// token is only ever sent to the hub, so it is no advice about other servers. Of `weights_busy` it
/// says how long the server asks to be left alone, at most limits::weights_retry_after_us_max, and
/// sets `left_alone_us` to it (0 = it asks for nothing) where that is given.
[[nodiscard]] error judge_status(const web_head& head, const weight_source& source,
                                 const hub_settings& hub, duration_us* left_alone_us = nullptr);

/// The only name of a weights file among others. Errors: `weights_missing`, `weights_ambiguous`.
[[nodiscard]] result<std::string> only_weights(const std::vector<std::string>& names,
                                               const std::string& where);

} // namespace consort::node
