// SPDX-License-Identifier: Apache-2.0
// LoRA adapters that are folders of a hub: described without their weights, fetched file by file,
// stored as one, against servers on loopback that do everything wrong.
#include "node/model_folder.hpp"
#include "node/weights/adapter_folder.hpp"
#include "node/weights/weight_download.hpp"
#include "node/weights/weight_reader.hpp"
#include "scheduler/weights.hpp"
#include "tests/unit/node/fake_hub.hpp"
#include "tests/unit/node/small_disk.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <future>

namespace consort::node {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::HasSubstr;

const std::string adapter_settings = R"({"peft_type": "LORA", "r": 48})";

std::string adapter_weights() {
  std::string all;
  while (all.size() < 3'000'000)
    all += "adapter weights " + std::to_string(all.size()) + "\n";
  return all;
}

class HubFolder : public ::testing::Test {
protected:
  HubFolder() {
    hub_.names = {"README.md", "adapter_config.json", "adapter_model.safetensors", "optimizer.pt"};
    hub_.small = {{"adapter_config.json", adapter_settings}};
    settings_.endpoint = hub_.endpoint();
    settings_.token = "hf_secret";
    settings_.cache = folder_.path() + "/cache";
    settings_.limits = {20'000'000, 20'000'000, 3, 1'000}; // Times that no busy machine takes.
    store_ = open_store("data");
  }

  std::unique_ptr<artifact_store> open_store(const std::string& name) {
    fs::create_directories(folder_.path() + "/" + name);
    return *artifact_store::open(folder_.path() + "/" + name, node_id("n"));
  }
  result<model_adapter> describe(const std::string& source = "hf:org/repo") {
    weight_reader reader(settings_, folder_.path() + "/weights.json");
    digest_cache digests;
    return reader.describe_adapter(source, digests);
  }
  std::string refusal_of(const std::string& source = "hf:org/repo") {
    const auto described = describe(source);
    EXPECT_FALSE(described.ok()) << described->source;
    return described ? "" : described.failure().code;
  }
  static std::string named(const std::string& folder = "") {
    return "hf:org/repo@" + std::string(test::fake_hub::commit) + "/" + folder
           + "adapter_config.json";
  }
  /// The same files on this disk.
  std::string local_folder() {
    folder_.write("local/adapter_config.json", adapter_settings);
    folder_.write("local/adapter_model.safetensors", adapter_weights());
    return folder_.path() + "/local";
  }
  result<artifact_record> fetch(artifact_store& store, const model_adapter& wanted,
                                const std::string& data = "data") {
    weight_downloads downloads(store, folder_.path() + "/" + data, settings_);
    return fetch_by(downloads, wanted);
  }
  result<artifact_record> fetch_by(weight_downloads& downloads, const model_adapter& wanted) {
    const auto variant = core::weights_of(wanted);
    std::promise<result<artifact_record>> told;
    auto outcome = told.get_future();
    const auto running = downloads.start(
        {compile_id{1}, core::weights_key(variant), model_name("m"), variant},
        [this](std::uint32_t done_pm) { progress_.push_back(done_pm); },
        [&](result<artifact_record> stored) { told.set_value(std::move(stored)); });
    return outcome.get();
  }
  result<artifact_record> fetch() { return fetch(*store_, wanted_); }
  void expect_stored(const result<artifact_record>& stored, artifact_store& store) {
    ASSERT_TRUE(stored.ok()) << stored.failure().code << ": " << stored.failure().message;
    const auto path = store.path_of(core::weights_key(core::weights_of(wanted_)));
    ASSERT_TRUE(path.ok()) << path.failure().message;
    digest_cache digests;
    EXPECT_EQ(*digest_of_folder(*path, digests), wanted_.content);
    EXPECT_EQ(test::read_file(*path + "/adapter_config.json"), adapter_settings);
    EXPECT_TRUE(test::read_file(*path + "/adapter_model.safetensors") == adapter_weights());
  }
  void expect_nothing_left() {
    EXPECT_TRUE(store_->list().empty());
    EXPECT_TRUE(fs::is_empty(folder_.path() + "/data/partial"));
  }
  void leave_partial(std::size_t bytes) {
    fs::create_directories(folder_.path() + "/data/partial");
    std::ofstream(folder_.path() + "/data/partial/" + hub_.sha256().value, std::ios::binary)
        << adapter_weights().substr(0, bytes);
  }

  test::temp_folder folder_;
  test::fake_hub hub_{adapter_weights()};
  hub_settings settings_;
  std::unique_ptr<artifact_store> store_;
  std::vector<std::uint32_t> progress_;
  const model_adapter wanted_{
      {},
      named(),
      folder_digest({{"adapter_config.json", hash_text(adapter_settings)},
                     {"adapter_model.safetensors", hash_text(adapter_weights())}}),
      48};
};

TEST_F(HubFolder, IsDescribedAsTheSameFolderOnADiskWouldBe) {
  const auto found = describe();
  ASSERT_TRUE(found.ok()) << found.failure().message;
  EXPECT_EQ(*found, wanted_);
  digest_cache digests;
  EXPECT_EQ(found->content, *digest_of_folder(local_folder(), digests));
  EXPECT_TRUE(hub_.seen_by_files().empty()) << "not a byte of its weights was read";
  EXPECT_THAT(hub_.seen(), Each(HasSubstr("Authorization: Bearer hf_secret")));
  EXPECT_EQ(*describe("hf:org/repo/adapter_config.json"), wanted_);
}

TEST_F(HubFolder, MayLieInAFolderOfItsRepository) {
  hub_.names = {"adapter_config.json", "adapter_model.safetensors", "last/adapter_config.json",
                "last/adapter_model.safetensors", "last/added_tokens.json"};
  hub_.small["last/adapter_config.json"] = R"({"r": 8})";
  hub_.small["last/added_tokens.json"] = "{}";
  const auto found = describe("hf:org/repo/last");
  ASSERT_TRUE(found.ok()) << found.failure().message;
  EXPECT_EQ(found->source, named("last/"));
  EXPECT_EQ(found->rank, 8U);
  EXPECT_EQ(found->content, folder_digest({{"adapter_config.json", hash_text(R"({"r": 8})")},
                                           {"adapter_model.safetensors", hub_.sha256()},
                                           {"added_tokens.json", hash_text("{}")}}));
  const auto stored = fetch(*store_, *found);
  ASSERT_TRUE(stored.ok()) << stored.failure().message;
  const auto path = store_->path_of(stored->content);
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(test::read_file(*path + "/added_tokens.json"), "{}");
}

TEST_F(HubFolder, ThatIsNoneIsRefusedInWords) {
  hub_.names = {"adapter_config.json", "adapter_model.bin"};
  EXPECT_EQ(refusal_of(), "source_unsupported");
  EXPECT_THAT(describe().failure().message, HasSubstr("adapter_model.bin"));
  hub_.names = {"adapter_config.json"};
  EXPECT_EQ(refusal_of(), "weights_missing");
  hub_.names = {"model.safetensors"};
  EXPECT_EQ(refusal_of(), "weights_missing");
  EXPECT_EQ(refusal_of("hf:org/repo/adapter_config.json"), "weights_missing");
  hub_.names = {"adapter_config.json", "adapter_model.safetensors", "lora.gguf"};
  EXPECT_EQ(refusal_of(), "weights_ambiguous");
  EXPECT_THAT(describe().failure().message,
              HasSubstr("hf:org/repo/adapter_config.json or hf:org/repo/lora.gguf"));
  EXPECT_EQ(describe("hf:org/repo/adapter_config.json")->content, wanted_.content);
  EXPECT_EQ(describe("hf:org/repo/lora.gguf")->content, hub_.sha256());
}

TEST_F(HubFolder, WhatCannotBeCheckedIsRefused) {
  hub_.linked = false;
  EXPECT_EQ(refusal_of(), "weights_undigested");
  hub_.linked = true;
  hub_.small["adapter_config.json"] = std::string(limits::folder_text_bytes_max, ' ');
  EXPECT_TRUE(describe().ok());
  hub_.small["adapter_config.json"] += ' ';
  EXPECT_EQ(refusal_of(), "weights_refused");
}

TEST_F(HubFolder, IsKnownWhileTheHubIsAway) {
  ASSERT_TRUE(describe().ok());
  ASSERT_TRUE(describe(named()).ok());
  hub_.status = 500;
  EXPECT_EQ(*describe(), wanted_) << "by what another process remembered, its rank too";
  EXPECT_EQ(*describe(named()), wanted_) << "what is pinned needs no hub";
}

TEST_F(HubFolder, IsStoredAsOneOfTheSameBytesWhoeverFetchesIt) {
  const auto stored = fetch();
  expect_stored(stored, *store_);
  EXPECT_EQ(stored->key.binds, wanted_.content.value);
  EXPECT_TRUE(fs::is_empty(folder_.path() + "/data/partial"));
  ASSERT_FALSE(progress_.empty());
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_EQ(progress_.back(), 1000U);
  settings_.cache.clear();
  const auto other = open_store("other");
  const auto again = fetch(*other, wanted_, "other");
  expect_stored(again, *other);
  EXPECT_EQ(again->content, stored->content);
}

TEST_F(HubFolder, GoesOnWhereItWasCut) {
  hub_.go_wrong("drop", 2);
  expect_stored(fetch(), *store_);
  EXPECT_THAT(hub_.seen_by_files().at(1), HasSubstr("Range: bytes=1"));
}

TEST_F(HubFolder, GoesOnInAnotherProcess) {
  leave_partial(2'000'000);
  expect_stored(fetch(), *store_);
  ASSERT_EQ(hub_.seen_by_files().size(), 1U);
  EXPECT_THAT(hub_.seen_by_files()[0], HasSubstr("Range: bytes=2000000-"));
}

/// Its list of files is what a hub counts requests of; each order asks for it anew.
TEST_F(HubFolder, OfAHubThatWantsToBeLeftAloneIsNotAskedForMeanwhile) {
  weight_downloads downloads(*store_, folder_.path() + "/data", settings_);
  hub_.further = "Retry-After: 30\r\n";
  hub_.status = 429;
  const auto busy = fetch_by(downloads, wanted_);
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.failure().code, "weights_busy");
  EXPECT_THAT(busy.failure().message, HasSubstr("asks to be left alone for 30s"));
  hub_.status = 200;
  const auto again = fetch_by(downloads, wanted_);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.failure(), busy.failure());
  EXPECT_EQ(hub_.seen().size(), 1U) << "it was asked all the same";
  expect_stored(fetch(), *store_);
}

TEST_F(HubFolder, DamagedOnTheWayIsFetchedOnceMoreAndThenGivenUp) {
  hub_.go_wrong("flip", 1);
  expect_stored(fetch(), *store_);
  settings_.cache.clear();
  hub_.go_wrong("flip", 100);
  const auto other = open_store("other");
  const auto failed = fetch(*other, wanted_, "other");
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.failure().code, "weights_corrupt");
  EXPECT_EQ(failed.failure().action, recovery::retry_later);
  EXPECT_TRUE(other->list().empty());
}

TEST_F(HubFolder, OfOtherFilesThanWereDeclaredIsNotLetIn) {
  hub_.small["adapter_config.json"] = R"({"r": 64})";
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.failure().code, "weights_corrupt");
  EXPECT_TRUE(hub_.seen_by_files().empty()) << "its weights are not fetched for that";
  expect_nothing_left();
}

TEST_F(HubFolder, ADiskThatFillsInMidStreamIsLeftAsItWas) {
  {
    const test::small_disk full(1 << 20U);
    const auto failed = fetch();
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.failure().code, "disk_full");
    EXPECT_EQ(failed.failure().action, recovery::retry_elsewhere);
  }
  expect_nothing_left();
  expect_stored(fetch(), *store_);
}

TEST_F(HubFolder, LiesInTheHubsOwnCacheTooAndIsTakenFromThere) {
  expect_stored(fetch(), *store_);
  const auto snapshot
      = settings_.cache + "/models--org--repo/snapshots/" + test::fake_hub::commit + "/";
  EXPECT_EQ(test::read_file(snapshot + "adapter_config.json"), adapter_settings);
  EXPECT_TRUE(test::read_file(snapshot + "adapter_model.safetensors") == adapter_weights());
  hub_.status = 500;
  const auto other = open_store("other");
  expect_stored(fetch(*other, wanted_, "other"), *other);
  settings_.offline = true;
  fs::remove(folder_.path() + "/weights.json");
  EXPECT_EQ(*describe(named()), wanted_);
  EXPECT_EQ(describe("hf:org/other").failure().code, "weights_missing");
}

TEST_F(HubFolder, DamagedInTheCacheIsFetchedAgain) {
  expect_stored(fetch(), *store_);
  const auto blob = settings_.cache + "/models--org--repo/blobs/" + hub_.sha256().value;
  fs::remove(blob); // It is the very file that the store may still have.
  std::ofstream(blob) << "something else";
  const auto before = hub_.seen_by_files().size();
  const auto other = open_store("other");
  expect_stored(fetch(*other, wanted_, "other"), *other);
  EXPECT_GT(hub_.seen_by_files().size(), before);
}

} // namespace
} // namespace consort::node
