// SPDX-License-Identifier: Apache-2.0
// Weights from a hub and from the web, against servers on loopback that do everything wrong.
#include "node/model_files.hpp"
#include "node/weights/partial_file.hpp"
#include "node/weights/weight_download.hpp"
#include "scheduler/weights.hpp"
#include "tests/unit/node/fake_hub.hpp"
#include "tests/unit/node/small_disk.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

namespace consort::node {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string shipped_weights = CONSORT_SOURCE_DIR "/models/storyteller-5m-f16.gguf";

class Weights : public ::testing::Test {
protected:
  Weights() {
    settings_.endpoint = hub_.endpoint();
    settings_.token = "hf_secret";
    settings_.cache = folder_.path() + "/cache";
    settings_.limits = {20'000'000, 20'000'000, 3, 1'000}; // Times that no busy machine takes.
    fs::create_directories(folder_.path() + "/data");
    store_ = *artifact_store::open(folder_.path() + "/data", node_id("n"));
  }

  result<model_variant> describe(const std::string& source) {
    weight_reader reader(settings_, folder_.path() + "/weights.json");
    digest_cache digests;
    return reader.describe(source, digests);
  }
  std::string refusal_of(const std::string& source) {
    const auto described = describe(source);
    EXPECT_FALSE(described.ok()) << source;
    return described ? "" : described.failure().code;
  }
  /// Fetches what `source` is said to be.
  result<artifact_record> fetch(const std::string& source, const digest& content) {
    weight_downloads downloads(*store_, folder_.path() + "/data", settings_);
    return fetch_by(downloads, source, content);
  }
  result<artifact_record> fetch_by(weight_downloads& downloads, const std::string& source,
                                   const digest& content) {
    model_variant variant;
    variant.source = source;
    variant.content = content;
    std::promise<result<artifact_record>> told;
    auto outcome = told.get_future();
    const auto running = downloads.start(
        {compile_id{1}, core::weights_key(variant), model_name("m"), variant},
        [this](std::uint32_t done_pm) { progress_.push_back(done_pm); },
        [&](result<artifact_record> stored) { told.set_value(std::move(stored)); });
    auto stored = outcome.get();
    left_alone_us_ = running->left_alone_us();
    return stored;
  }
  result<artifact_record> fetch() { return fetch(named(), hub_.sha256()); }
  static std::string named() {
    return "hf:org/repo@" + std::string(test::fake_hub::commit) + "/tiny.gguf";
  }
  void leave_partial(const std::string& bytes) {
    fs::create_directories(fs::path(partial_).parent_path());
    std::ofstream(partial_, std::ios::binary) << bytes;
  }
  void expect_stored(const result<artifact_record>& stored) {
    ASSERT_TRUE(stored.ok()) << stored.failure().code << ": " << stored.failure().message;
    EXPECT_EQ(stored->content, hub_.sha256());
    EXPECT_EQ(test::read_file(*store_->path_of(stored->content)), test::read_file(shipped_weights));
    EXPECT_TRUE(fs::is_empty(folder_.path() + "/data/partial"));
  }

  test::temp_folder folder_;
  test::fake_hub hub_{test::read_file(shipped_weights)};
  const std::string partial_ = folder_.path() + "/data/partial/" + hub_.sha256().value;
  hub_settings settings_;
  std::unique_ptr<artifact_store> store_;
  std::vector<std::uint32_t> progress_;
  duration_us left_alone_us_ = 0; ///< As the latest fetch was asked to.
};

TEST_F(Weights, OfTheHubAreDescribedFromTheHeadOfTheFile) {
  const auto found = describe("hf:org/repo");
  ASSERT_TRUE(found.ok()) << found.failure().message;
  EXPECT_EQ(found->source, named());
  EXPECT_EQ(found->content, *hash_file(shipped_weights));
  digest_cache digests;
  auto local = *describe_gguf(shipped_weights, digests);
  local.source = found->source;
  EXPECT_EQ(*found, local);
  EXPECT_THAT(hub_.seen(), Each(HasSubstr("Authorization: Bearer hf_secret")));
  EXPECT_THAT(hub_.seen_by_files(), Each(Not(HasSubstr("hf_secret"))));
  EXPECT_FALSE(store_->hold(found->content).ok()) << "nothing was fetched for that";
  EXPECT_EQ(describe("hf:org/repo@v1/tiny.gguf")->source, named());
}

TEST_F(Weights, OfAnAddressNeedTheirDigest) {
  EXPECT_EQ(refusal_of(hub_.file_url()), "weights_undigested");
  const auto source = hub_.file_url() + "#sha256=" + hub_.sha256().value;
  EXPECT_EQ(describe(source)->content, hub_.sha256());
  expect_stored(fetch(source, hub_.sha256()));
}

/// Another node fetches them then; what came would only keep this disk full.
TEST_F(Weights, ADiskThatFillsInMidStreamIsLeftAsItWas) {
  {
    const test::small_disk full(1 << 20U);
    const auto stored = fetch();
    ASSERT_FALSE(stored);
    EXPECT_EQ(stored.failure().code, "disk_full");
    EXPECT_EQ(stored.failure().action, recovery::retry_elsewhere);
    EXPECT_THAT(stored.failure().message, HasSubstr(partial_));
  }
  EXPECT_FALSE(progress_.empty()) << "it had begun";
  EXPECT_TRUE(fs::is_empty(folder_.path() + "/data/partial"));
  EXPECT_TRUE(store_->list().empty());
  expect_stored(fetch());
}

TEST_F(Weights, ThatAreNoneAreRefusedInWords) {
  EXPECT_EQ(refusal_of("hf:org"), "source_unsupported");
  EXPECT_EQ(refusal_of("hf:org/../etc"), "source_unsupported");
  EXPECT_EQ(refusal_of("hf:org/repo@../x.gguf"), "source_unsupported");
  EXPECT_EQ(refusal_of("https://user:pw@host/x.gguf"), "source_unsupported");
  EXPECT_EQ(refusal_of("https://host/x.gguf#md5=1"), "source_unsupported");
  EXPECT_EQ(refusal_of("https://host/ x"), "source_unsupported");
  EXPECT_EQ(refusal_of("hf:org/other"), "weights_missing");
  hub_.names = {"a.gguf", "b.gguf"};
  EXPECT_THAT(describe("hf:org/repo").failure().message, HasSubstr("a.gguf, b.gguf"));
  hub_.names = {"model.safetensors"};
  EXPECT_EQ(refusal_of("hf:org/repo"), "weights_missing");
  hub_.linked = false;
  EXPECT_EQ(refusal_of("hf:org/repo/tiny.gguf"), "weights_undigested");
}

TEST_F(Weights, StatusesOfTheHubBecomeWhatToDo) {
  const std::vector<std::pair<unsigned, std::string>> table{
      {401, "weights_denied"}, {403, "weights_denied"}, {404, "weights_missing"},
      {429, "weights_busy"},   {500, "weights_busy"},   {418, "weights_refused"}};
  for (const auto& [status, code] : table) {
    hub_.status = status;
    EXPECT_EQ(refusal_of("hf:org/repo"), code) << status;
    EXPECT_EQ(fetch().failure().code, code) << status;
  }
  hub_.status = 401;
  const auto denied = describe("hf:org/repo").failure().message;
  EXPECT_THAT(denied, HasSubstr("HF_TOKEN"));
  EXPECT_THAT(denied, Not(HasSubstr("hf_secret")));
  const auto elsewhere = describe(hub_.endpoint() + "/x.gguf#sha256=" + hub_.sha256().value);
  EXPECT_EQ(elsewhere.failure().code, "weights_denied");
  EXPECT_THAT(elsewhere.failure().message, Not(HasSubstr("HF_TOKEN"))) << "none is sent there";
}

TEST_F(Weights, AreKnownWhileTheHubIsAway) {
  const auto before = describe("hf:org/repo");
  ASSERT_TRUE(before.ok());
  hub_.status = 503;
  EXPECT_EQ(*describe("hf:org/repo"), *before);
  hub_.status = 404;
  EXPECT_EQ(refusal_of("hf:org/repo"), "weights_missing") << "gone is not away";
}

TEST_F(Weights, AreFetchedWithProgress) {
  expect_stored(fetch());
  ASSERT_GT(progress_.size(), 10U);
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_EQ(progress_.back(), 1000U);
}

TEST_F(Weights, GoOnWhereTheyWereCut) {
  hub_.go_wrong("drop", 4);
  expect_stored(fetch());
  const auto asked = hub_.seen_by_files();
  EXPECT_EQ(asked.size(), 5U);
  EXPECT_THAT(asked.back(), HasSubstr("\r\nRange: bytes="));
  EXPECT_THAT(asked.back(), HasSubstr("If-Range: \"v1\""));
}

TEST_F(Weights, GoOnInAnotherProcess) {
  leave_partial(test::read_file(shipped_weights).substr(0, 5'000'000));
  expect_stored(fetch());
  EXPECT_THAT(hub_.seen_by_files().back(), HasSubstr("Range: bytes=5000000-"));
}

TEST_F(Weights, BeginAgainWhereNoRangeIsHeeded) {
  leave_partial("damage");
  hub_.go_wrong("forget", 1);
  expect_stored(fetch());
}

TEST_F(Weights, LeftOverLongerThanTheFileBeginAgain) {
  leave_partial(test::read_file(shipped_weights) + "and more");
  expect_stored(fetch());
}

/// Whoever tries once is not ended by what lay here: the second question is of the same try.
TEST_F(Weights, ThatDoNotGoOnBeginAgainAtOnceAndOnce) {
  settings_.limits.tries = 1;
  leave_partial(test::read_file(shipped_weights) + "and more");
  expect_stored(fetch());
  EXPECT_EQ(hub_.seen_by_files().size(), 2U);
  fs::remove_all(settings_.cache);
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  leave_partial(test::read_file(shipped_weights).substr(0, 5'000'000));
  hub_.go_wrong("astray", 1);
  expect_stored(fetch());
  EXPECT_EQ(hub_.seen_by_files().size(), 4U);
  fs::remove_all(settings_.cache);
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  hub_.go_wrong("astray", 100);
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.failure().code, "web_broken");
  EXPECT_THAT(failed.failure().message, HasSubstr("begun again"));
  EXPECT_EQ(hub_.seen_by_files().size(), 6U);
}

TEST_F(Weights, ThatOnlyLackedTheStoreAreNotFetchedAgain) {
  leave_partial(test::read_file(shipped_weights));
  expect_stored(fetch());
  EXPECT_EQ(hub_.seen_by_files().size(), 1U);
}

TEST_F(Weights, OfNoDigestAreNotFetched) {
  EXPECT_EQ(fetch(named(), digest("../x")).failure().code, "weights_undigested");
}

TEST_F(Weights, OfAnotherFetchOfThisHostAreLeftToIt) {
  leave_partial("");
  const auto other = partial_file::open(partial_);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(fetch().failure().code, "weights_partial");
}

TEST_F(Weights, DamagedOnTheWayAreFetchedOnceMoreAndThenGivenUp) {
  hub_.go_wrong("flip", 1);
  expect_stored(fetch());
  fs::remove_all(settings_.cache);
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  hub_.go_wrong("flip", 2);
  EXPECT_EQ(fetch().failure().code, "weights_corrupt");
  EXPECT_FALSE(store_->hold(hub_.sha256()).ok());
  hub_.go_wrong("short", 2);
  EXPECT_EQ(fetch().failure().code, "weights_corrupt");
}

TEST_F(Weights, AreGivenUpAfterAFewTriesInVain) {
  settings_.limits.stall = 300'000;
  hub_.go_wrong("slow", 3);
  EXPECT_EQ(fetch().failure().code, "web_unreachable");
  settings_.limits.stall = 20'000'000;
  hub_.go_wrong("busy", 3);
  EXPECT_EQ(fetch().failure().code, "weights_busy");
  hub_.go_wrong("ring", 100);
  EXPECT_EQ(fetch().failure().code, "web_redirects");
  hub_.go_wrong("page", 1);
  EXPECT_EQ(fetch().failure().code, "weights_refused");
  hub_.go_wrong("busy", 2);
  expect_stored(fetch());
}

/// So that others have its place: the scheduler has it gone on with.
TEST_F(Weights, ThatStallAreGivenUpAtOnceAndGoneOnWith) {
  settings_.limits.tries = limits::web_set{}.tries;
  settings_.limits.stall = 300'000;
  leave_partial(test::read_file(shipped_weights).substr(0, 5'000'000));
  hub_.go_wrong("slow", 1);
  const auto stalled = fetch();
  ASSERT_FALSE(stalled.ok());
  EXPECT_EQ(stalled.failure().action, recovery::retry_later);
  EXPECT_THAT(stalled.failure().message, HasSubstr("nothing came for 300ms"));
  EXPECT_EQ(hub_.seen_by_files().size(), 1U);
  settings_.limits.stall = 20'000'000;
  expect_stored(fetch());
  EXPECT_THAT(hub_.seen_by_files().back(), HasSubstr("Range: bytes=5000000-"));
}

TEST_F(Weights, OfAServerThatWantsToBeLeftAloneAreNotAskedForMeanwhile) {
  settings_.limits.tries = limits::web_set{}.tries;
  weight_downloads downloads(*store_, folder_.path() + "/data", settings_);
  hub_.further = "Retry-After: 30\r\n";
  hub_.status = 429;
  const auto busy = fetch_by(downloads, named(), hub_.sha256());
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.failure().code, "weights_busy");
  EXPECT_THAT(busy.failure().message,
              HasSubstr("wants fewer requests (429), and asks to be left alone for 30s"));
  EXPECT_EQ(left_alone_us_, 30'000'000);
  hub_.status = 200;
  const auto again = fetch_by(downloads, named(), hub_.sha256());
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.failure(), busy.failure());
  EXPECT_EQ(hub_.seen().size(), 1U) << "it was asked all the same";
  EXPECT_GT(left_alone_us_, 0) << "what is left of it";
  EXPECT_LT(left_alone_us_, 30'000'000);
  const auto other = hub_.file_url() + "#sha256=" + hub_.sha256().value;
  expect_stored(fetch_by(downloads, other, hub_.sha256()));
}

/// Answers and logs have these words.
TEST(WeightSources, APasswordIsNeverRepeated) {
  const auto said
      = [](const std::string& source) { return parse_source(source).failure().message; };
  EXPECT_EQ(said("https://u:s3cret@h/x.gguf"), "https://***@h/x.gguf: an address: must not hold a "
                                               "password: give a token instead");
  for (const auto* source : {"http://u:s3cret@h/ x", "https://u:s3cret/@h/x",
                             "https://u:s3cret#@h/x", "https://u:p@s3cret@h/x.gguf#md5=1"})
    EXPECT_EQ(said(source).find("s3cret"), std::string::npos) << said(source);
  EXPECT_EQ(without_password("HTTPS://u:s3cret@h/x"), "HTTPS://***@h/x");
  for (const auto* open : {"https://h/x@v1", "https://h:8080/x@v1", "hf:org/repo@main", "/a/b@c"})
    EXPECT_EQ(without_password(open), open);
}

TEST_F(Weights, OfAServerThatIsNotThereFailInTime) {
  settings_.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(refusal_of("hf:org/repo"), "web_unreachable");
  EXPECT_EQ(fetch().failure().code, "web_unreachable");
}

TEST_F(Weights, EndWhenTheyAreWantedNoMore) {
  hub_.go_wrong("slow", 100);
  settings_.limits.stall = 60'000'000;
  model_variant variant;
  variant.source = named();
  variant.content = hub_.sha256();
  weight_downloads downloads(*store_, folder_.path() + "/data", settings_);
  auto running
      = downloads.start({compile_id{1}, core::weights_key(variant), model_name("m"), variant},
                        nullptr, [](const auto&) { ADD_FAILURE() << "nobody listens"; });
  running.reset();
}

TEST_F(Weights, LieInTheHubsOwnCacheToo) {
  ASSERT_TRUE(describe("hf:org/repo").ok());
  expect_stored(fetch());
  const auto cached = settings_.cache + "/models--org--repo";
  const auto link = cached + "/snapshots/" + test::fake_hub::commit + "/tiny.gguf";
  EXPECT_EQ(fs::read_symlink(link).string(), "../../blobs/" + hub_.sha256().value);
  EXPECT_EQ(test::read_file(link), test::read_file(shipped_weights));
  EXPECT_EQ(test::read_file(cached + "/refs/main"), test::fake_hub::commit);
  // And are found there: by another store, with the hub switched off.
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  settings_.offline = true;
  settings_.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(describe("hf:org/repo")->content, hub_.sha256());
  expect_stored(fetch());
}

/// As where links cannot be made, or in a cache that was copied with what they led to.
TEST_F(Weights, AreFoundInACacheWithoutLinks) {
  expect_stored(fetch());
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  const auto cached = fs::path(settings_.cache) / "models--org--repo";
  const auto file = cached / "snapshots" / test::fake_hub::commit / "tiny.gguf";
  fs::remove(file);
  fs::rename(cached / "blobs" / hub_.sha256().value, file);
  settings_.offline = true;
  settings_.endpoint = "http://127.0.0.1:1";
  expect_stored(fetch());
}

TEST_F(Weights, DamagedInTheCacheAreFetchedAgain) {
  expect_stored(fetch());
  ASSERT_TRUE(store_->remove(hub_.sha256()).ok());
  const auto blob = settings_.cache + "/models--org--repo/blobs/" + hub_.sha256().value;
  fs::remove(blob);
  std::ofstream(blob, std::ios::binary) << "not it";
  expect_stored(fetch());
  settings_.offline = true;
  EXPECT_EQ(fetch("hf:org/repo@main/other.gguf", digest(std::string(64, 'a'))).failure().code,
            "weights_offline");
}

} // namespace
} // namespace consort::node
