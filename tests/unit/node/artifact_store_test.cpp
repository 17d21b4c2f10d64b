// SPDX-License-Identifier: Apache-2.0
#include "node/artifact_store.hpp"

#include "node/artifact_manifest.hpp"
#include "node/file_digest.hpp"
#include "node/staging_sweep.hpp"
#include "node/unfit_engine.hpp"

#include "scheduler/artifact_model.hpp"
#include "tests/unit/node/temp_folder.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace consort::node {
namespace {

using test::read_file;
using test::temp_folder;
namespace fs = std::filesystem;

artifact_key key_of(const std::string& name) {
  artifact_key key;
  key.binds = std::string(64, 'b');
  key.profile.name = name;
  key.profile.target = "fake-1";
  key.profile.compiler_version = "1.2";
  key.profile.shape_buckets = {128, 512};
  return key;
}

class store_fixture : public ::testing::Test {
protected:
  void SetUp() override { reopen(); }
  void reopen(std::size_t artifacts_max = limits::artifacts_max) {
    store.reset();
    auto opened = artifact_store::open(folder.path(), node_id("n"), artifacts_max);
    ASSERT_TRUE(opened.ok()) << opened.failure().message;
    store = *std::move(opened);
  }
  result<artifact_record> put(const std::string& content, const artifact_key& key,
                              std::map<std::string, std::string> quality = {{"kl_mean", "0.01"}}) {
    auto staging = store->stage(content.size());
    if (!staging)
      return staging.failure();
    std::ofstream(staging->output_path()) << content;
    return store->put(*std::move(staging), key, std::move(quality), 5'000);
  }
  [[nodiscard]] std::string payload(const artifact_record& record) const {
    return folder / ("artifacts/" + record.content.value + "/payload");
  }
  void overwrite(const std::string& path, const std::string& content) const {
    fs::permissions(path, fs::perms::owner_all);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  temp_folder folder;
  std::unique_ptr<artifact_store> store;
};

using ArtifactStore = store_fixture;

TEST_F(ArtifactStore, KeepsWhatWasPutAcrossARestart) {
  const auto record = put("engine", key_of("p"));
  ASSERT_TRUE(record.ok()) << record.failure().message;
  EXPECT_EQ(record->content, hash_text("engine"));
  EXPECT_EQ(record->size_bytes, 6U);
  reopen();
  EXPECT_TRUE(store->complaints().empty());
  const auto found = store->find(key_of("p"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(*found, *record);
  const auto path = store->path_of(key_of("p"));
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(read_file(*path), "engine");
  EXPECT_FALSE(store->find(key_of("other")).has_value());
}

TEST_F(ArtifactStore, AnUnreadableManifestIsSetAsideWhenAskedAndANewersIsNot) {
  const auto cut = put("cut", key_of("p"));
  const auto newer = put("newer", key_of("q"));
  ASSERT_TRUE(cut.ok() && newer.ok());
  const auto in_store
      = [&](const artifact_record& one) { return folder / ("artifacts/" + one.content.value); };
  overwrite(in_store(*cut) + "/manifest.json", "");
  overwrite(in_store(*newer) + "/manifest.json", R"({"version": 999})");
  reopen();
  EXPECT_EQ(store->complaints().size(), 2U);
  EXPECT_TRUE(fs::exists(in_store(*cut))) << "whoever only looks changes nothing";
  store->set_aside_unreadable();
  EXPECT_EQ(store->complaints().size(), 1U);
  EXPECT_FALSE(fs::exists(in_store(*cut)));
  EXPECT_TRUE(fs::exists(folder / ("corrupt/" + cut->content.value)));
  EXPECT_TRUE(fs::exists(in_store(*newer)));
}

TEST_F(ArtifactStore, ManifestsThatCannotBeReadNowAndMarkedOnesStay) {
  const auto first = put("first", key_of("p"));
  const auto other = put("other", key_of("q"));
  const auto busy = put("busy", key_of("r"));
  const auto marked = put("marked", key_of("s"));
  ASSERT_TRUE(first.ok() && other.ok() && busy.ok() && marked.ok());
  ASSERT_TRUE(store->mark_kept(marked->content, true));
  const auto in_store
      = [&](const artifact_record& one) { return folder / ("artifacts/" + one.content.value); };
  const auto cut = put("cut off", key_of("t"));
  ASSERT_TRUE(cut.ok());
  overwrite(payload(*cut), "cut");
  for (const auto* broken : {&first, &other, &marked})
    fs::remove(in_store(**broken) + "/manifest.json");
  folder.write("artifacts/zzz/payload", "somebody's");
  fs::remove(in_store(*busy) + "/manifest.json");
  fs::create_directory(in_store(*busy) + "/manifest.json"); // Opens, and every read of it fails.
  reopen();
  store->set_aside_unreadable();
  EXPECT_TRUE(fs::exists(folder / ("corrupt/" + first->content.value)));
  EXPECT_TRUE(fs::exists(folder / ("corrupt/" + other->content.value))) << "both of them";
  EXPECT_TRUE(fs::exists(folder / ("corrupt/" + cut->content.value))) << "and a payload cut off";
  EXPECT_TRUE(fs::exists(folder / "artifacts/zzz")) << "no artifact, and not ours";
  EXPECT_TRUE(fs::exists(in_store(*busy)));
  EXPECT_TRUE(fs::exists(in_store(*marked)));
}

TEST_F(ArtifactStore, WhatIsMarkedAsKeptStays) {
  const auto kept = put("one", key_of("p"));
  ASSERT_TRUE(put("two", key_of("q")));
  ASSERT_TRUE(store->mark_kept(kept->content, true));
  reopen();
  EXPECT_TRUE(store->kept(kept->content));
  const collection_rule all{1, 0};
  EXPECT_EQ(store->collectable(all).size(), 1U);
  EXPECT_EQ(store->list().size(), 2U) << "looking removes nothing";
  EXPECT_EQ(store->collect(all).size(), 1U);
  ASSERT_EQ(store->list().size(), 1U);
  EXPECT_EQ(store->list()[0].content, kept->content);
  ASSERT_TRUE(store->mark_kept(kept->content, false));
  EXPECT_EQ(store->collect(all).size(), 1U);
  EXPECT_EQ(store->mark_kept(kept->content, true).failure().code, "artifact_missing");
}

TEST_F(ArtifactStore, ServesTheNewestOfAKeyOrTheOneThatIsPreferred) {
  const auto first = put("first", key_of("p"));
  const auto second = put("second", key_of("p"));
  ASSERT_TRUE(put("other", key_of("q")));
  EXPECT_EQ(store->find(key_of("p"))->content, second->content);
  EXPECT_EQ(store->current().size(), 2U);
  EXPECT_EQ(store->list().size(), 3U) << "the first is still there";
  ASSERT_TRUE(store->prefer(first->content).ok());
  EXPECT_EQ(store->find(key_of("p"))->content, first->content);
  EXPECT_EQ(store->find(key_of("p"))->own, second->content) << "the way forward again";
  EXPECT_EQ(store->find(key_of("p"))->quality.at(artifact_own_bytes),
            std::to_string(second->size_bytes));
  reopen();
  EXPECT_EQ(store->find(key_of("p"))->content, first->content);
  EXPECT_TRUE(store->preferred(first->content));
  const auto third = put("third", key_of("p"));
  EXPECT_EQ(store->find(key_of("p"))->content, third->content) << "a new one counts again";
  EXPECT_TRUE(store->find(key_of("p"))->own.empty());
  ASSERT_TRUE(store->prefer(second->content).ok());
  EXPECT_FALSE(store->preferred(first->content));
  EXPECT_EQ(store->prefer(digest("x")).failure().code, "artifact_missing");
}

/// A vendor's engine of the key of one that was built here: what is told of the row is all of it.
TEST_F(ArtifactStore, WhatWasGoneBackToIsToldWithTheNewestsOwnFigures) {
  const auto built = put("built here", key_of("p"), {{"ppl", "7.5"}, {artifact_model, "m"}});
  const auto imported = put("vendor", key_of("p"), {{"origin", "prebuilt"}});
  ASSERT_TRUE(store->prefer(built->content).ok());
  const auto told = store->find(key_of("p"));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->content, built->content);
  EXPECT_EQ(told->own, imported->content);
  EXPECT_EQ(told->quality, (std::map<std::string, std::string>{
                               {"origin", "prebuilt"},
                               {artifact_own_bytes, std::to_string(imported->size_bytes)}}));
  ASSERT_TRUE(store->prefer(imported->content).ok());
  EXPECT_TRUE(store->find(key_of("p"))->own.empty());
}

TEST_F(ArtifactStore, OneOfAnotherCompilerVersionStandsForTheRestWhenPreferred) {
  auto older = key_of("p");
  older.profile.compiler_version = "1.1";
  auto to_come = key_of("p");
  to_come.profile.compiler_version = "1.3";
  const auto first = put("first", older);
  const auto second = put("second", key_of("p"));
  ASSERT_TRUE(put("other", key_of("q")));
  EXPECT_EQ(store->find(key_of("p"))->content, second->content);
  ASSERT_TRUE(store->prefer(first->content).ok());
  reopen();
  const auto served = store->find(key_of("p"));
  EXPECT_EQ(served->content, first->content);
  EXPECT_EQ(served->key, key_of("p"));
  EXPECT_EQ(served->own, second->content);
  EXPECT_TRUE(store->find(older)->own.empty());
  EXPECT_EQ(read_file(*store->path_of(key_of("p"))), "first");
  std::map<artifact_key, digest> current;
  for (const auto& one : store->current())
    EXPECT_TRUE(current.emplace(one.key, one.content).second);
  const std::map<artifact_key, digest> wanted{
      {older, first->content}, {key_of("p"), first->content}, {key_of("q"), hash_text("other")}};
  EXPECT_EQ(current, wanted);
  EXPECT_FALSE(store->find(to_come).has_value()) << "a newer compiler's is built";
  const auto third = put("third", to_come);
  EXPECT_EQ(store->find(to_come)->content, third->content) << "and ends it";
  EXPECT_EQ(store->find(key_of("p"))->content, second->content);
  EXPECT_FALSE(store->preferred(first->content));
  ASSERT_TRUE(store->prefer(first->content).ok());
  ASSERT_TRUE(store->prefer(second->content).ok());
  EXPECT_FALSE(store->preferred(first->content)) << "one at a time";
  EXPECT_EQ(store->find(older)->content, second->content);
}

/// What is pinned or gone back to is told as held, across restarts, for as long as it is.
TEST_F(ArtifactStore, SaysWhatItsOperatorHolds) {
  auto older = key_of("p"), newer = older;
  older.profile.compiler_version = "1";
  newer.profile.compiler_version = "2";
  const auto first = put("first", older);
  ASSERT_TRUE(first.ok() && put("second", newer).ok());
  EXPECT_FALSE(store->find(older)->held);
  ASSERT_TRUE(store->mark_kept(first->content, true).ok());
  reopen();
  EXPECT_TRUE(store->find(older)->held);
  EXPECT_FALSE(store->find(newer)->held);
  ASSERT_TRUE(store->prefer(first->content).ok());
  ASSERT_TRUE(store->mark_kept(first->content, false).ok());
  reopen();
  for (const auto& one : store->current()) {
    EXPECT_EQ(one.content, first->content);
    EXPECT_TRUE(one.held);
  }
  ASSERT_TRUE(put("third", newer).ok()); // What is put later counts again.
  for (const auto& one : store->current())
    EXPECT_FALSE(one.held) << one.key.profile.compiler_version;
}

TEST_F(ArtifactStore, WhatAServerCompiledStandsForNoOtherVersion) {
  auto older = key_of("p");
  older.kind = artifact_kind::cache;
  auto newer = older;
  newer.profile.compiler_version = "1.3";
  const auto first = put("first", older);
  const auto second = put("second", newer);
  ASSERT_TRUE(store->prefer(first->content).ok());
  EXPECT_EQ(store->find(newer)->content, second->content);
}

TEST_F(ArtifactStore, KeepsTheNewestFewOfALine) {
  auto older = key_of("p");
  older.profile.compiler_version = "1.1";
  ASSERT_TRUE(put("first", older));
  ASSERT_TRUE(put("second", key_of("p")));
  ASSERT_TRUE(put("third", key_of("p")));
  ASSERT_TRUE(put("elsewhere", key_of("q")));
  const collection_rule two{0, 0, 2};
  const auto oldest = store->collectable(two); // Which one, within a second, is for the digests.
  ASSERT_EQ(oldest.size(), 1U);
  ASSERT_TRUE(store->prefer(oldest.front().content).ok());
  EXPECT_TRUE(store->collectable(two).empty()) << "it is served";
  EXPECT_EQ(store->collect({0, 0, 1}).size(), 1U);
}

TEST_F(ArtifactStore, FoldersArePackedAndUnpackedWhereTheyAreUsed) {
  const auto make = [&](const std::string& weights) {
    auto staging = store->stage(1'000);
    fs::create_directories(staging->output_path() + "/rank0");
    std::ofstream(staging->output_path() + "/rank0/engine") << weights;
    std::ofstream(staging->output_path() + "/config.json") << "{}";
    return store->put(*std::move(staging), key_of("folder"), {}, 1);
  };
  const auto record = make("weights");
  ASSERT_TRUE(record.ok()) << record.failure().message;
  const auto tree = store->path_of(record->content);
  ASSERT_TRUE(tree.ok()) << tree.failure().message;
  EXPECT_EQ(read_file(*tree + "/rank0/engine"), "weights");
  EXPECT_EQ(read_file(*tree + "/config.json"), "{}");
  EXPECT_EQ(make("weights")->content, record->content) << "the same folder, the same digest";
  EXPECT_NE(make("others")->content, record->content);
  auto staging = store->stage(1);
  fs::create_directories(staging->output_path());
  EXPECT_EQ(store->put(*std::move(staging), key_of("none"), {}, 1).failure().code, "bundle_empty");
}

TEST_F(ArtifactStore, RemembersHowItsArtifactsDid) {
  const auto record = put("engine", key_of("p"));
  EXPECT_GT(store->validation_of(record->content).hashed_s, 0);
  EXPECT_EQ(store->validation_of(record->content).loaded_s, 0);
  store->note_load(record->content, "n/npu0", 1'500, "");
  store->note_load(record->content, "n/npu1", 0, "no memory");
  reopen();
  const auto known = store->validation_of(record->content);
  EXPECT_EQ(known.loaded_on, "n/npu0");
  EXPECT_EQ(known.load_us, 1'500);
  EXPECT_EQ(known.failure, "no memory");
  std::ofstream(folder / ("artifacts/" + record->content.value + "/validation.json")) << "[1";
  EXPECT_EQ(store->validation_of(record->content).loaded_s, 0) << "lost without harm";
  EXPECT_TRUE(store->path_of(record->content).ok());
}

TEST_F(ArtifactStore, KnowsWhetherAnotherHasItOpen) {
  {
    auto other = artifact_store::open(folder.path(), node_id("m"));
    ASSERT_TRUE(other);
    EXPECT_FALSE(store->alone());
    const auto put_beside = put("late", key_of("late"));
    EXPECT_FALSE((*other)->find(key_of("late")));
    (*other)->rescan();
    EXPECT_TRUE((*other)->find(key_of("late")));
  }
  EXPECT_TRUE(store->alone());
  EXPECT_EQ(artifact_store::open(folder.path(), node_id("m")).failure().code, "store_busy");
}

TEST_F(ArtifactStore, LogsAreKeptBesideArtifactsAndOfTheLatestFailures) {
  const auto record = put("engine", key_of("p"));
  EXPECT_FALSE(store->log_of(record->content));
  store->keep_log(record->content, "lowering\ndone\n");
  reopen();
  EXPECT_TRUE(store->complaints().empty());
  EXPECT_EQ(store->log_of(record->content), "lowering\ndone\n");
  for (std::size_t i = 0; i < limits::failed_logs_max + 3; ++i)
    EXPECT_FALSE(store->keep_failed_log("build-" + std::to_string(i), "E1042\n").empty());
  const auto kept = std::distance(fs::directory_iterator(folder / "logs"), {});
  EXPECT_EQ(static_cast<std::size_t>(kept), limits::failed_logs_max);
}

TEST_F(ArtifactStore, LeavesNothingInStaging) {
  ASSERT_TRUE(put("engine", key_of("p")).ok());
  { const auto abandoned = store->stage(1); }
  EXPECT_TRUE(fs::is_empty(folder / ("staging/" + std::to_string(::getpid()))));
  // Above the kernel's largest process id, and process 1, which is always there.
  const auto left = folder.write("staging/4194305/1/payload", "of a crashed process");
  const auto busy = folder.write("staging/1/1/payload", "of a living process");
  reopen();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(busy));
}

// A number stays taken until the parent has waited for who was killed.
TEST_F(ArtifactStore, WhatAKilledProcessStagedGoesWithTheNextBuild) {
  const auto killed = ::fork();
  if (killed == 0)
    ::_exit(0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(killed), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(runs(killed));
  EXPECT_TRUE(runs(::getpid()));
  EXPECT_TRUE(runs(::getppid()));
  const auto left = folder.write("staging/" + std::to_string(killed) + "/1/artifact", "half");
  const auto others = folder.write("staging/" + std::to_string(::getppid()) + "/1/artifact", "x");
  const auto first = store->stage(1);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(others));
  folder.write("staging/" + std::to_string(killed) + "/1/artifact", "half");
  store->rescan();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(first->work_path())) << "its own";
  ::waitpid(killed, nullptr, 0);
}

TEST_F(ArtifactStore, RefusesMissingAndEmptyOutput) {
  EXPECT_EQ(put("", key_of("p")).failure().code, "artifact_empty");
  auto staging = store->stage(1);
  EXPECT_EQ(store->put(*std::move(staging), key_of("p"), {}, 0).failure().code, "artifact_missing");
  EXPECT_TRUE(store->list().empty());
}

TEST_F(ArtifactStore, DetectsCorruptionAfterARestartAndForgetsTheArtifact) {
  const auto record = put("engine", key_of("p"));
  overwrite(payload(*record), "enginE");
  reopen();
  const auto path = store->path_of(record->content);
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.failure().code, "artifact_corrupt");
  EXPECT_TRUE(fs::exists(folder / ("corrupt/" + record->content.value)));
  EXPECT_EQ(store->path_of(record->content).failure().code, "artifact_missing");
  EXPECT_TRUE(put("engine", key_of("p")).ok()) << "it can be built again";
  EXPECT_TRUE(store->path_of(record->content).ok());
}

TEST_F(ArtifactStore, NoticesAFileThatChangedWhileRunning) {
  const auto record = put("engine", key_of("p"));
  ASSERT_TRUE(store->path_of(record->content).ok());
  overwrite(payload(*record), "another engine");
  EXPECT_EQ(store->path_of(record->content).failure().code, "artifact_corrupt");
}

TEST_F(ArtifactStore, SameContentTwiceIsOneArtifact) {
  ASSERT_TRUE(put("engine", key_of("p")).ok());
  ASSERT_TRUE(put("engine", key_of("p")).ok());
  EXPECT_EQ(store->list().size(), 1U);
  EXPECT_TRUE(store->path_of(hash_text("engine")).ok());
}

TEST_F(ArtifactStore, NeverTurnsAForeignNameIntoAPath) {
  folder.write("secret/payload", "x");
  for (const auto* name : {"../secret", "", "/etc/passwd", "."}) {
    EXPECT_EQ(store->path_of(digest(name)).failure().code, "artifact_missing");
    EXPECT_EQ(store->remove(digest(name)).failure().code, "artifact_missing");
  }
  EXPECT_TRUE(fs::exists(folder / "secret/payload"));
}

TEST_F(ArtifactStore, ToleratesHostileFoldersAndManifests) {
  const auto record = put("engine", key_of("p"));
  const auto good = read_file(folder / ("artifacts/" + record->content.value + "/manifest.json"));
  const std::vector<std::string> manifests{"",
                                           "{",
                                           "[]",
                                           std::string(limits::manifest_bytes_max + 1, ' '),
                                           good,
                                           "{\"schema\": 1, \"sha256\": 5}",
                                           std::string(10'000, '[')};
  for (std::size_t i = 0; i < manifests.size(); ++i) {
    const auto name = std::string(63, 'a') + std::to_string(i);
    folder.write("artifacts/" + name + "/manifest.json", manifests[i]);
    folder.write("artifacts/" + name + "/payload", "engine");
  }
  folder.write("artifacts/not-a-digest/manifest.json", good);
  reopen();
  const auto complaints = store->complaints();
  EXPECT_EQ(complaints.size(), manifests.size() + 1);
  EXPECT_EQ(std::count_if(complaints.begin(), complaints.end(),
                          [](const auto& one) { return one.code == "not_an_artifact"; }),
            1);
  EXPECT_TRUE(store->complaints().empty()) << "each is reported once";
  EXPECT_EQ(store->list().size(), 1U);
  store->rescan();
  EXPECT_TRUE(store->complaints().empty()) << "and not again after each build";
  folder.write("artifacts/not-a-digest-either/manifest.json", good);
  store->rescan();
  EXPECT_EQ(store->complaints().size(), 1U) << "only what is new";
}

TEST_F(ArtifactStore, RefusesMoreThanTheDiskHolds) {
  const auto staging = store->stage(std::uint64_t{1} << 60U);
  ASSERT_FALSE(staging.ok());
  EXPECT_EQ(staging.failure().code, "disk_full");
  EXPECT_EQ(staging.failure().action, recovery::retry_later);
}

TEST_F(ArtifactStore, CollectsTheLeastRecentlyUsedButNothingPinned) {
  const auto first = put("aaaa", key_of("1")), second = put("bbbb", key_of("2"));
  ASSERT_TRUE(first.ok() && second.ok());
  auto pin = store->pin(first->content);
  ASSERT_NE(pin, nullptr);
  EXPECT_EQ(store->remove(first->content).failure().code, "artifact_pinned");
  const auto removed = store->collect({1, 0});
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].content, second->content);
  EXPECT_TRUE(store->path_of(first->content).ok());
  EXPECT_FALSE(fs::exists(payload(*second)));
  pin.reset();
  EXPECT_EQ(store->collect({1, 0}).size(), 1U);
  EXPECT_TRUE(store->collect({0, 1}).empty());
}

TEST_F(ArtifactStore, CollectsByAge) {
  ASSERT_TRUE(put("aaaa", key_of("1")).ok());
  EXPECT_TRUE(store->collect({0, 3'600 * limits::second_us}).empty());
  // An old manifest is an old artifact.
  const auto manifest = folder / ("artifacts/" + hash_text("aaaa").value + "/manifest.json");
  auto text = read_file(manifest);
  const auto at = text.find("\"created_s\": ") + 13;
  text.replace(at, text.find(',', at) - at, "1000");
  overwrite(manifest, text);
  reopen();
  EXPECT_EQ(store->collect({0, 3'600 * limits::second_us}).size(), 1U);
}

TEST_F(ArtifactStore, HoldsNoMoreThanItsLimit) {
  for (const auto* content : {"a", "b", "c"})
    ASSERT_TRUE(put(content, key_of(content)).ok());
  reopen(2);
  EXPECT_EQ(store->list().size(), 2U);
  EXPECT_EQ(store->complaints().size(), 1U);
  const auto one_more = put("engine", key_of("p"));
  ASSERT_FALSE(one_more.ok());
  EXPECT_EQ(one_more.failure().code, "store_full");
}

TEST(UnfitEngine, IsWhatWasBuiltHereForThoseWeights) {
  const error bad{recovery::refuse, "bad_model", "not an engine of this format"};
  artifact_record built;
  built.key.profile.name = "p";
  built.build_us = 9;
  EXPECT_TRUE(unfit_engine(built, bad));
  EXPECT_FALSE(unfit_engine(built, {recovery::refuse, "load_refused", "no licence"}));
  EXPECT_TRUE(unfit_engine(built, {recovery::retry_later, "artifact_unfit", "stale"}));
  auto other = built;
  other.key.kind = artifact_kind::engine_architecture;
  EXPECT_FALSE(unfit_engine(other, bad)) << "its weights may be to blame";
  other = built;
  other.key.profile = core::weights_profile();
  EXPECT_FALSE(unfit_engine(other, bad));
  other = built;
  other.build_us = 0;
  EXPECT_FALSE(unfit_engine(other, bad)) << "imported";
  other = built;
  other.held = true;
  EXPECT_FALSE(unfit_engine(other, bad));
}

} // namespace
} // namespace consort::node
