// SPDX-License-Identifier: Apache-2.0
#pragma once
/// Pulls artifacts from the data ports of other nodes into this node's store: disk headroom first,
/// resumed by ranges after a cut, hashed before anything else may see it. What is half there lies
/// in the store's staging and is gone with the fetch, or with the next start of the process.
///
/// At most one fetch per content: a second call for the same joins the first. Owned by whoever
/// carries out the scheduler's commands. Thread-safe; blocks nobody: files are written and hashed
/// on threads of its own.

#include "links/credentials.hpp"
#include "node/artifact_store.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>

namespace consort::node {

/// What to fetch and from whom.
struct fetch_request {
  digest content;
  artifact_key key;    ///< It is stored under.
  node_id from;        ///< Whom the certificate must name.
  std::string address; ///< `host:port` of that node's data port.
};

class artifact_fetcher {
public:
  using callback = std::function<void(result<artifact_record>)>;

  /// `io` and `store` must outlive it. Null credentials = no TLS; loopback only.
  artifact_fetcher(boost::asio::io_context& io, artifact_store& store,
                   std::shared_ptr<const links::credentials> credentials,
                   limits::fetch_set limits = {});
  /// As stop().
  ~artifact_fetcher();
  artifact_fetcher(const artifact_fetcher&) = delete;
  artifact_fetcher& operator=(const artifact_fetcher&) = delete;

  /// `ended` is called once, on any thread: with the record of what lies in the store now, or with
  /// `bad_address`, `bad_digest`, `fetch_queue_full`, `node_unreachable`, `tls_failed`,
  /// `wrong_node`, `artifact_missing`, `artifact_corrupt`, `artifact_too_large`, `disk_full`,
  /// `fetch_timeout`, `fetch_stopped`, or what the other node or the store said.
  void fetch(fetch_request wanted, callback ended);

  /// Running and waiting.
  [[nodiscard]] std::size_t active() const;

  /// Ends every fetch with `fetch_stopped`, for which it waits, and takes no more. May be called
  /// again; not from within a callback.
  void stop();

private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

} // namespace consort::node
