// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_fetch.hpp"

#include "node/file_digest.hpp"
#include "tests/unit/node/data_port_fixture.hpp"
#include "tests/unit/node/small_disk.hpp"

#include <future>

namespace consort::node {
namespace {

using namespace test;
using links::peer_role;
using testing::scripted_server;
using tcp = boost::asio::ip::tcp;

/// A data port to fetch from, and a second store to fetch into.
class fetch_fixture : public data_port_fixture {
protected:
  void SetUp() override {
    data_port_fixture::SetUp();
    auto opened = artifact_store::open(own_.path(), node_id("n2"));
    ASSERT_TRUE(opened.ok());
    into_ = *std::move(opened);
    limits_.backoff = ms;
  }
  void TearDown() override {
    fetcher_.reset();
    data_port_fixture::TearDown();
  }
  artifact_fetcher& fetcher(std::shared_ptr<const links::credentials> credentials = nullptr) {
    if (!fetcher_)
      fetcher_ = std::make_unique<artifact_fetcher>(threads_.io(), *into_, std::move(credentials),
                                                    limits_);
    return *fetcher_;
  }
  std::future<result<artifact_record>> begin(const digest& content, const std::string& address,
                                             const std::string& from = "n1", char binds = 'b') {
    fetch_request wanted;
    wanted.content = content;
    wanted.key.binds = std::string(64, binds);
    wanted.key.profile.name = "p";
    wanted.from = node_id(from);
    wanted.address = address;
    auto answer = std::make_shared<std::promise<result<artifact_record>>>();
    fetcher().fetch(std::move(wanted),
                    [answer](result<artifact_record> got) { answer->set_value(std::move(got)); });
    return answer->get_future();
  }
  result<artifact_record> fetch(const digest& content, const std::string& address) {
    auto answer = begin(content, address);
    if (answer.wait_for(testing::attempts_patience) != std::future_status::ready)
      return error{recovery::bug, "no answer", ""};
    return answer.get();
  }
  static std::string why(const result<artifact_record>& got) {
    return got ? "fetched" : got.failure().code;
  }
  [[nodiscard]] bool staging_empty() const {
    const auto mine = own_ / ("staging/" + std::to_string(::getpid()));
    return !std::filesystem::exists(mine) || std::filesystem::is_empty(mine);
  }

  temp_folder own_;
  std::unique_ptr<artifact_store> into_;
  limits::fetch_set limits_;
  std::unique_ptr<artifact_fetcher> fetcher_;
};
using ArtifactFetch = fetch_fixture;

std::string head_of(unsigned status, std::size_t length, const std::string& further = "") {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(length)
         + "\r\n" + further + "\r\n";
}
/// Answers with those bytes and closes.
scripted_server::script answering(std::string bytes) {
  return [bytes = std::move(bytes)](tcp::socket& socket) {
    scripted_server::read_head(socket);
    scripted_server::write(socket, bytes);
  };
}

TEST_F(ArtifactFetch, BringsAnArtifactWithWhatIsKnownOfIt) {
  std::string content(3 * limits::artifact_piece_bytes + 17, 'x');
  content[100'000] = 'y';
  const auto record = put(content);
  start();
  const auto got = fetch(record.content, port_->address());
  ASSERT_TRUE(got.ok()) << got.failure().message;
  EXPECT_EQ(got->quality, record.quality);
  EXPECT_EQ(got->build_us, record.build_us);
  EXPECT_EQ(got->node, node_id("n2"));
  EXPECT_EQ(got->size_bytes, content.size());
  EXPECT_EQ(read_file(*into_->path_of(record.content)), content);
  EXPECT_TRUE(staging_empty());
  EXPECT_EQ(fetcher().active(), 0U);
}

TEST_F(ArtifactFetch, WorksUnderTlsWithTheNodeThatWasMeant) {
  links::testing_support::test_cluster cluster;
  const auto record = put("engine");
  start({}, cluster.credentials_of(peer_role::node, "n1"));
  fetcher(cluster.credentials_of(peer_role::node, "n2"));
  EXPECT_EQ(why(begin(record.content, port_->address(), "n3").get()), "wrong_node");
  EXPECT_EQ(why(begin(record.content, port_->address(), "n1").get()), "fetched");
}

TEST_F(ArtifactFetch, ResumesAfterACut) {
  const std::string content = "0123456789";
  std::vector<std::string> asked;
  scripted_server server(
      {answering(head_of(200, 10) + "0123"),
       [&](tcp::socket& socket) {
         asked.push_back(scripted_server::read_head(socket));
         scripted_server::write(socket, head_of(206, 6, "Content-Range: bytes 4-9/10\r\n") + "456");
       },
       [&](tcp::socket& socket) {
         asked.push_back(scripted_server::read_head(socket));
         scripted_server::write(socket, head_of(206, 3, "Content-Range: bytes 7-9/10\r\n") + "789");
       }});
  const auto got = fetch(hash_text(content), server.address());
  EXPECT_EQ(why(got), "fetched");
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_NE(asked[0].find("Range: bytes=4-\r\n"), std::string::npos);
  EXPECT_NE(asked[0].find("If-Range: \"" + hash_text(content).value), std::string::npos);
  EXPECT_NE(asked[1].find("Range: bytes=7-\r\n"), std::string::npos);
}

TEST_F(ArtifactFetch, ResumesInAPieceAndBeginsAnewWhereItMust) {
  std::string content(2 * limits::artifact_piece_bytes + 9, 'a');
  content[limits::artifact_piece_bytes + 5] = 'b';
  const auto cut = limits::artifact_piece_bytes + 7;
  const auto whole = head_of(200, content.size());
  const auto range = "Content-Range: bytes " + std::to_string(cut) + "-"
                     + std::to_string(content.size() - 1) + "/" + std::to_string(content.size())
                     + "\r\n";
  const auto rest = content.size() - cut;
  scripted_server server({answering(whole + content.substr(0, cut)),
                          answering(head_of(206, rest, range) + content.substr(cut, 100)),
                          answering(whole + content)}); // What was hashed so far must not count.
  const auto got = fetch(hash_text(content), server.address());
  EXPECT_EQ(why(got), "fetched");
  EXPECT_EQ(read_file(*into_->path_of(hash_text(content))), content);
}

TEST_F(ArtifactFetch, LetsNothingInThatIsNotWhatItsNameSays) {
  scripted_server server({answering(head_of(200, 5) + "evil!")});
  EXPECT_EQ(why(fetch(hash_text("engine"), server.address())), "artifact_corrupt");
  EXPECT_TRUE(into_->list().empty());
  EXPECT_TRUE(staging_empty());
}

TEST_F(ArtifactFetch, GivesUpOnWhatCannotBeMended) {
  limits_.bytes = 100;
  scripted_server server({answering(head_of(404, 0)), answering(head_of(403, 0)),
                          answering(head_of(200, 101)), answering(head_of(200, 0))});
  const auto content = hash_text("engine");
  EXPECT_EQ(why(fetch(content, server.address())), "artifact_missing");
  EXPECT_EQ(why(fetch(content, server.address())), "fetch_refused");
  EXPECT_EQ(why(fetch(content, server.address())), "artifact_too_large");
  EXPECT_EQ(why(fetch(content, server.address())), "artifact_too_large");
  EXPECT_EQ(why(fetch(content, "no address")), "bad_address");
  EXPECT_EQ(why(fetch(content, "198.51.100.1:1")), "address_unprotected");
  EXPECT_EQ(why(fetch(digest("../x"), server.address())), "bad_digest");
}

TEST_F(ArtifactFetch, ChecksTheDiskBeforeItTakesAnything) {
  scripted_server server({answering(head_of(200, std::size_t{1} << 39))});
  EXPECT_EQ(why(fetch(hash_text("engine"), server.address())), "disk_full");
}

/// Somebody else filled it since it was looked at.
TEST_F(ArtifactFetch, ADiskThatFillsInMidStreamIsLeftAsItWas) {
  const std::string content(4 * limits::artifact_piece_bytes, 'x');
  const auto record = put(content);
  start();
  {
    const small_disk full(2 * limits::artifact_piece_bytes + 1'000);
    const auto got = fetch(record.content, port_->address());
    ASSERT_FALSE(got);
    EXPECT_EQ(got.failure().code, "disk_full");
    EXPECT_EQ(got.failure().action, recovery::retry_elsewhere);
    EXPECT_NE(got.failure().message.find("cannot be written"), std::string::npos);
  }
  EXPECT_TRUE(into_->list().empty());
  EXPECT_TRUE(staging_empty());
  EXPECT_EQ(fetcher().active(), 0U);
  EXPECT_EQ(why(fetch(record.content, port_->address())), "fetched") << "with room again";
}

TEST_F(ArtifactFetch, TriesSoOftenAndNoMore) {
  limits_.tries = 3;
  int asked = 0;
  const scripted_server::script busy = [&](tcp::socket& socket) {
    ++asked;
    answering(head_of(503, 0))(socket);
  };
  scripted_server server({busy, busy, busy, busy});
  EXPECT_EQ(why(fetch(hash_text("engine"), server.address())), "node_busy");
  EXPECT_EQ(asked, 3);
}

TEST_F(ArtifactFetch, DoesNotWaitForASilentNode) {
  limits_.tries = 1;
  limits_.stall = 50 * ms;
  scripted_server server({[](tcp::socket& socket) {
    answering(head_of(200, 10) + "0123")(socket);
    scripted_server::await_end(socket);
  }});
  EXPECT_EQ(why(fetch(hash_text("engine"), server.address())), "node_unreachable");
}

TEST_F(ArtifactFetch, GivesUpAHandshakeThatNeverEnds) {
  links::testing_support::test_cluster cluster;
  limits_.tries = 1;
  limits_.connect = 200 * ms; // Enough to connect, whatever else the machine does.
  fetcher(cluster.credentials_of(peer_role::node, "n2"));
  scripted_server silent({scripted_server::await_end});
  EXPECT_EQ(why(fetch(hash_text("engine"), silent.address())), "tls_failed");
}

TEST_F(ArtifactFetch, EndsWhenItsTimeIsOver) {
  limits_.whole = 50 * ms;
  limits_.backoff = 40 * ms;
  scripted_server server({answering(head_of(503, 0)), answering(head_of(503, 0))});
  EXPECT_EQ(why(fetch(hash_text("engine"), server.address())), "fetch_timeout");
}

/// Whoever builds for two models may make the same bytes: each has its own record of them.
TEST_F(ArtifactFetch, IsStoredForEachKeyThatWantsIt) {
  scripted_server server({answering(head_of(200, 3) + "one"), answering(head_of(200, 3) + "one")});
  auto first = begin(hash_text("one"), server.address());
  auto other = begin(hash_text("one"), server.address(), "n1", 'c');
  const auto one = first.get(), two = other.get();
  ASSERT_EQ(why(one), "fetched");
  ASSERT_EQ(why(two), "fetched");
  EXPECT_NE(one->key, two->key);
  EXPECT_EQ(into_->list().size(), 2U);
}

TEST_F(ArtifactFetch, JoinsCallsForTheSameAndQueuesTheOthers) {
  limits_.running = 1;
  limits_.waiting = 1;
  std::promise<void> release;
  const auto go = release.get_future().share();
  const auto wait = [go](tcp::socket& socket) {
    scripted_server::read_head(socket);
    go.wait();
    scripted_server::write(socket, head_of(200, 3) + "one");
  };
  scripted_server server({wait, answering(head_of(200, 3) + "two")});
  auto first = begin(hash_text("one"), server.address());
  auto same = begin(hash_text("one"), server.address());
  auto second = begin(hash_text("two"), server.address());
  EXPECT_EQ(fetcher().active(), 2U);
  EXPECT_EQ(why(begin(hash_text("three"), server.address()).get()), "fetch_queue_full");
  release.set_value();
  EXPECT_EQ(why(first.get()), "fetched");
  EXPECT_EQ(why(same.get()), "fetched");
  EXPECT_EQ(why(second.get()), "fetched");
}

TEST_F(ArtifactFetch, StoppingEndsWhatRunsAndLeavesNothing) {
  std::promise<void> reached;
  scripted_server server({[&](tcp::socket& socket) {
    answering(head_of(200, 10) + "0123")(socket);
    reached.set_value();
    scripted_server::await_end(socket);
  }});
  auto running = begin(hash_text("engine"), server.address());
  reached.get_future().wait();
  fetcher().stop();
  EXPECT_EQ(why(running.get()), "fetch_stopped");
  EXPECT_EQ(why(begin(hash_text("engine"), server.address()).get()), "fetch_stopped");
  EXPECT_TRUE(eventually([&] { return staging_empty(); }));
}

} // namespace
} // namespace consort::node
