// SPDX-License-Identifier: Apache-2.0
// `artifacts show|verify|gc|pin|unpin|rollback|export|import`: the store of this host, by its
// folder, whether an agent runs on it or not.
#include "cli/api.hpp"
#include "cli/commands.hpp"
#include "cli/context.hpp"
#include "cli/prebuilt.hpp"
#include "cli/store_listing.hpp"
#include "cli/table.hpp"
#include "node/artifact_manifest.hpp"
#include "node/artifact_store.hpp"
#include "node/file_digest.hpp"
#include "node/small_file.hpp"
#include "node/synced_file.hpp"
#include "scheduler/artifact_model.hpp"
#include "scheduler/units.hpp"

#include <CLI/App.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <utility>
#include <vector>

namespace consort::cli {

namespace {

namespace fs = std::filesystem;
using store_ref = std::unique_ptr<node::artifact_store>;

struct store_flags {
  std::string data; ///< Empty = the configuration's.
  std::string name; ///< As named_artifact() takes it.
  std::string file;
  std::string size_max, age_max;
  std::size_t keep_last = 0;
  prebuilt_import prebuilt;
  bool log = false;
  bool dry_run = false;
};

enum class absent_store : std::uint8_t { refused, made };

result<std::string> folder_of(context& env, const store_flags& flags) {
  if (!flags.data.empty())
    return flags.data;
  const auto config = configuration(env);
  return config ? result<std::string>(config->data_dir) : config.failure();
}

/// Whose store was looked at: `ls` lists a cluster's while this host's is another.
std::string place_words(context& env, const store_flags& flags) {
  const auto folder = folder_of(env, flags);
  return (folder ? "below " + printable(*folder) : "in no folder")
         + (flags.data.empty() ? "; --data names the data folder of another agent" : "");
}

result<store_ref> open_store(context& env, const store_flags& flags,
                             absent_store absent = absent_store::refused) {
  const auto place = folder_of(env, flags);
  if (!place)
    return place.failure();
  const auto& folder = *place;
  std::error_code failed;
  const bool there = fs::is_directory(fs::path(folder) / "artifacts", failed);
  if (!there && absent == absent_store::refused)
    return usage_error("no artifacts below " + folder
                       + "; --data names the data folder of an agent");
  auto store = node::artifact_store::open(folder, node_id{"local"});
  if (store && !there) // An agent that is to find it must be started with the same.
    env.err << "no store was below " << printable(folder)
            << ": it is made; an agent uses it with --data " << printable(folder) << '\n';
  return store;
}

std::string compiler_of(const build_profile& profile) {
  return profile.compiler
         + (profile.compiler_version.empty() ? "" : " " + profile.compiler_version);
}

/// In UTC; empty when it never was.
std::string time_of(std::int64_t unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  char text[32] = {};
  if (unix_s > 0 && ::gmtime_r(&seconds, &parts) != nullptr)
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// What one of the keys of a content says.
json key_json(const artifact_record& one) {
  const auto named = one.quality.find(artifact_model);
  return {{"profile", one.key.profile.name},
          {"target", one.key.profile.target},
          {"compiler", compiler_of(one.key.profile)},
          {"model", named == one.quality.end() ? "" : named->second},
          {"model_content", one.key.binds}};
}

/// All keys of a content, the first of them first.
std::vector<artifact_record> keys_of(const node::artifact_store& store, const digest& content) {
  auto all = store.list();
  std::erase_if(all, [&](const auto& one) { return one.content != content; });
  return all;
}

json to_json(const node::artifact_store& store, const artifact_record& one) {
  json quality = json::object();
  for (const auto& [name, figure] : one.quality)
    quality[name] = figure;
  const auto known = store.validation_of(one.content);
  auto also = json::array();
  bool current = false;
  for (const auto& each : keys_of(store, one.content)) {
    const auto served = store.find(each.key);
    current = current || (served && served->content == one.content);
    if (each.key != one.key)
      also.push_back(key_json(each));
  }
  return {{"content", one.content.value},
          {"current", current},
          {"also_for", std::move(also)},
          {"preferred", store.preferred(one.content)},
          {"hashed_at", time_of(known.hashed_s)},
          {"loaded_at", time_of(known.loaded_s)},
          {"loaded_on", known.loaded_on},
          {"load_us", known.load_us},
          {"load_failed_at", time_of(known.failed_s)},
          {"load_failure", known.failure},
          {"size_bytes", one.size_bytes},
          {"profile", one.key.profile.name},
          {"target", one.key.profile.target},
          {"compiler", compiler_of(one.key.profile)},
          {"dtype", one.key.profile.dtype},
          {"model_content", one.key.binds},
          {"build_us", one.build_us},
          {"kept", store.kept(one.content)},
          {"quality", std::move(quality)}};
}

/// Opens the store and finds the artifact that was named.
template <class Act>
exit_code with_one(context& env, const store_flags& flags, const Act& act) {
  const auto store = open_store(env, flags);
  if (!store)
    return complain(env, store.failure());
  const auto found = named_artifact((*store)->list(), flags.name);
  if (found)
    return act(**store, *found);
  auto why = found.failure();
  why.message += " (looked " + place_words(env, flags) + ")";
  return complain(env, why);
}

/// Times without their unit's name, as people read them; all else as JSON has it.
std::vector<std::string> row_of(const std::string& name, const json& value) {
  if (value.is_array()) {
    std::string words;
    for (const auto& one : value)
      words += (words.empty() ? "" : ", ")
               + one.at("model_content").get<std::string>().substr(0, 12) + " ("
               + one.at("profile").get<std::string>() + ", " + one.at("compiler").get<std::string>()
               + ")";
    return {name, words.empty() ? "-" : printable(words)};
  }
  constexpr std::string_view unit = "_us";
  if (name.ends_with(unit) && value.is_number_integer())
    return {name.substr(0, name.size() - unit.size()),
            value == 0 ? std::string("-") : format_duration(value.get<duration_us>())};
  return {name, printable(value.is_string() ? value.get<std::string>() : value.dump())};
}

exit_code show_one(context& env, const store_flags& flags, node::artifact_store& store,
                   const artifact_record& found) {
  if (flags.log) {
    const auto text = store.log_of(found.content);
    if (!text)
      return complain(env, {recovery::refuse, "failed",
                            "its log is not here: it was built elsewhere or imported"});
    for (std::size_t at = 0; at < text->size();) { // A tool may print what a terminal would obey.
      const auto end = std::min(text->find('\n', at), text->size());
      env.out << printable(std::string_view(*text).substr(at, end - at)) << '\n';
      at = end + 1;
    }
    return exit_code::done;
  }
  const auto facts = to_json(store, found);
  if (env.json()) {
    env.out << facts.dump(2) << '\n';
    return exit_code::done;
  }
  table rows({{"FIELD"}, {"VALUE"}});
  for (const auto& [name, value] : facts.items())
    rows.add(row_of(name, value));
  env.out << rows.render(false, env.colour);
  return exit_code::done;
}

exit_code show(context& env, const store_flags& flags) {
  return with_one(env, flags, [&](auto& store, const auto& found) {
    return show_one(env, flags, store, found);
  });
}

/// Reads every artifact whole. Changes nothing, whatever it finds.
exit_code verify(context& env, const store_flags& flags) {
  const auto store = open_store(env, flags);
  if (!store)
    return complain(env, store.failure());
  std::size_t bad = 0;
  table rows(
      {{"DIGEST"}, {"PROFILE"}, {"SIZE", align::right}, {"STATE", align::left, false, true}});
  std::set<digest> read;
  for (const auto& one : (*store)->list()) {
    if (!read.insert(one.content).second)
      continue; // For a further key.
    const auto held = (*store)->hold(one.content);
    const auto actual = held ? node::hash_file(held->path) : result<digest>(held.failure());
    const bool good = actual && *actual == one.content;
    bad += good ? 0 : 1;
    rows.add({one.content.value.substr(0, 12), printable(one.key.profile.name),
              format_size(one.size_bytes), good ? "ready" : "corrupt"});
  }
  for (const auto& one : (*store)->complaints()) {
    bad += one.code == "not_an_artifact" ? 0 : 1; // Whoever put it there knows what it is.
    env.err << "consort: " << printable(one.message) << '\n';
  }
  env.out << rows.render(env.wide(), env.colour);
  env.err << read.size() << " read " << place_words(env, flags) << '\n';
  if (bad == 0)
    return exit_code::done;
  return complain(env, {recovery::refuse, "failed",
                        std::to_string(bad)
                            + " of them cannot be used; an agent sets a corrupt one "
                              "aside before use and has it built again, one without a readable "
                              "manifest, or with another payload than that tells of, at its start; "
                              "what is pinned, or was written by a newer version, stays"});
}

result<node::collection_rule> rule_of(const store_flags& flags) {
  node::collection_rule rule;
  if (!flags.size_max.empty()) {
    const auto size = parse_size(flags.size_max);
    if (!size || *size == 0)
      return usage_error("--max-size wants a size such as 50GiB");
    rule.size_bytes_max = *size;
  }
  if (!flags.age_max.empty()) {
    const auto age = parse_duration(flags.age_max);
    if (!age || *age <= 0)
      return usage_error("--max-age wants a duration such as 720h");
    rule.age_us_max = *age;
  }
  rule.keep_last = flags.keep_last;
  if (rule.size_bytes_max == 0 && rule.age_us_max == 0 && rule.keep_last == 0)
    return usage_error(
        "what is too much? --max-size 50GiB, --max-age 720h, --keep-last 2, or several");
  return rule;
}

exit_code collect(context& env, const store_flags& flags) {
  const auto rule = rule_of(flags);
  if (!rule)
    return complain(env, rule.failure());
  const auto store = open_store(env, flags);
  if (!store)
    return complain(env, store.failure());
  if (!flags.dry_run && !(*store)->alone())
    return complain(env, {recovery::retry_later, "failed",
                          "an agent uses this store, and what is in use is not removed: stop it "
                          "first, or look with --dry-run"});
  if (!flags.dry_run)
    (*store)->set_aside_unreadable();
  for (const auto& one : (*store)->complaints())
    env.err << "consort: " << printable(one.message) << '\n';
  const auto chosen = flags.dry_run ? (*store)->collectable(*rule) : (*store)->collect(*rule);
  std::uint64_t bytes = 0;
  for (const auto& one : chosen) {
    bytes += one.size_bytes;
    env.out << one.content.value.substr(0, 12) << ' ' << printable(one.key.profile.name) << ' '
            << format_size(one.size_bytes) << '\n';
  }
  env.out << chosen.size() << (flags.dry_run ? " would be removed, " : " removed, ")
          << format_size(bytes) << ", " << place_words(env, flags) << '\n';
  return exit_code::done;
}

/// Has running agents look at their stores now, where a server answers. Returns: what came of it,
/// or what is left to do.
std::string have_it_taken_up(const context& env) {
  const json body{{"timeout", "20s"}};
  const auto asked = send(env, "POST", "/api/v1/plugins/reload", body, std::chrono::seconds(25));
  return asked ? "the cluster's agents have looked at their stores again"
               : "no agent was told (" + printable(asked.failure().message)
                     + "): one that runs takes it up on SIGHUP or `consort plugins reload`, "
                       "another at its start";
}

exit_code keep(context& env, const store_flags& flags, bool wanted) {
  return with_one(env, flags, [&](auto& store, const auto& found) {
    if (const auto marked = store.mark_kept(found.content, wanted); !marked)
      return complain(env, marked.failure());
    env.out << found.content.value
            << (wanted ? " is kept, and while it serves nothing newer takes its place by itself; "
                       : " may be collected, and something newer may take its place; ")
            << have_it_taken_up(env) << '\n';
    return exit_code::done;
  });
}

/// An earlier one is served again, whichever version of its compiler the device's plugin names now;
/// nothing is built or removed.
exit_code roll_back(context& env, const store_flags& flags) {
  return with_one(env, flags, [&](auto& store, const auto& found) {
    if (const auto preferred = store.prefer(found.content); !preferred)
      return complain(env, preferred.failure());
    env.out << found.content.value
            << " is the one of its profile and target that this host serves, "
            << "until another is built or copied here; " << have_it_taken_up(env) << '\n';
    return exit_code::done;
  });
}

/// Both, or nothing: half of it is no use, and would stand in the way of a second try.
std::optional<error> write_pair(const std::string& payload, const std::string& file,
                                const std::string& manifest) {
  auto problem = node::copy_synced(payload, file);
  if (problem)
    return problem;
  problem = node::write_synced(file + ".json", manifest);
  if (problem) {
    std::error_code failed;
    for (const auto& written : {file, file + ".json"})
      fs::remove(written, failed);
  }
  return problem;
}

/// FILE gets the payload, FILE.json its manifest.
exit_code export_to(context& env, const std::string& file, node::artifact_store& store,
                    const artifact_record& found) {
  const auto path = store.path_of(found.content);
  if (!path)
    return complain(env, path.failure());
  std::error_code failed;
  for (const auto& written : {file, file + ".json"})
    if (fs::exists(written, failed))
      return complain(env, usage_error(written + " is there already"));
  node::artifact_manifests made;
  for (auto& one : keys_of(store, found.content))
    made.push_back({std::move(one), 0});
  if (auto problem = write_pair(*path, file, node::write_manifest(made))) {
    if (problem->code == "disk_full")
      problem->message += "; it takes " + format_size(found.size_bytes)
                          + ": make room or choose another place, nothing was left here";
    return complain(env, *problem);
  }
  env.out << "wrote " << file << " and " << file << ".json\n";
  return exit_code::done;
}

exit_code export_one(context& env, const store_flags& flags) {
  return with_one(env, flags, [&](auto& store, const auto& found) {
    return export_to(env, flags.file, store, found);
  });
}

/// What a vendor built, of a profile that a plugin of this host has.
exit_code import_built(context& env, const store_flags& flags) {
  const auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  auto wanted = flags.prebuilt;
  wanted.path = flags.file;
  const auto chosen = choose_prebuilt(wanted, *config);
  if (!chosen)
    return complain(env, chosen.failure());
  auto store = open_store(env, flags, absent_store::made);
  if (!store)
    return complain(env, store.failure());
  const auto kept = import_prebuilt(*chosen, **store);
  if (!kept)
    return complain(env, kept.failure());
  env.out << "imported " << kept->content.value << "; " << have_it_taken_up(env) << '\n';
  return exit_code::done;
}

/// Before a store is made for it.
std::optional<error> other_content(const std::string& file, const digest& told) {
  const auto content = node::hash_file(file);
  if (!content)
    return content.failure();
  if (*content == told)
    return std::nullopt;
  return error{recovery::refuse, "artifact_corrupt",
               file + " has content " + content->value + ", and " + file + ".json tells of "
                   + told.value + ": copy both again"};
}

exit_code import_one(context& env, const store_flags& flags) {
  if (!flags.prebuilt.profile.empty())
    return import_built(env, flags);
  std::error_code failed;
  if (fs::exists(flags.file, failed) && !fs::is_regular_file(flags.file, failed))
    return complain(env, usage_error(flags.file
                                     + " is no file as export writes it; "
                                       "--profile takes in what a vendor built"));
  const auto text
      = node::read_file_head(flags.file + ".json", node::limits::manifest_bytes_max + 1);
  if (!text)
    return complain(env, usage_error(flags.file + ".json, which says what it is, cannot be read"));
  const auto manifest = node::read_manifest(*text);
  if (!manifest)
    return complain(env, {manifest.failure().action, manifest.failure().code,
                          flags.file + ".json: " + manifest.failure().message});
  const auto size = fs::file_size(flags.file, failed);
  if (failed)
    return complain(env, usage_error(flags.file + " cannot be read"));
  if (const auto wrong = other_content(flags.file, manifest->front().record.content))
    return complain(env, *wrong);
  auto store = open_store(env, flags, absent_store::made);
  if (!store)
    return complain(env, store.failure());
  auto staging = (*store)->stage(size);
  if (!staging)
    return complain(env, staging.failure());
  fs::copy_file(flags.file, staging->output_path(), failed);
  if (failed)
    return complain(env, {recovery::retry_later, "failed", flags.file + ": " + failed.message()});
  std::vector<artifact_record> wanted;
  for (const auto& made : *manifest)
    wanted.push_back(made.record);
  const auto kept = (*store)->put_copy(*std::move(staging), wanted);
  if (!kept)
    return complain(env, kept.failure());
  env.out << "imported " << kept->content.value << "; " << have_it_taken_up(env) << '\n';
  return exit_code::done;
}

} // namespace

void add_store(CLI::App& root, context& env) {
  auto* artifacts = root.get_subcommand("artifacts");
  const auto flags = std::make_shared<store_flags>();
  using act = exit_code (*)(context&, const store_flags&);
  const auto add = [&](const char* name, const char* help, act run) {
    auto* made = artifacts->add_subcommand(name, help);
    made->add_option("--data", flags->data, "Data folder of the agent")->type_name("DIR");
    made->callback(
        [&env, flags, run] { env.action = [&env, flags, run] { return run(env, *flags); }; });
    return made;
  };
  const auto named = [&](CLI::App* made) {
    made->add_option("DIGEST", flags->name, "Its digest, or the first 6 hex digits of it or more")
        ->required();
    return made;
  };
  named(add("show", "What one artifact is, and what its compiler printed", show))
      ->add_flag("--log", flags->log, "What its compiler printed");
  add("verify", "Read every artifact of this host and compare its digest", verify);
  auto* gc = add("gc", "Remove the artifacts that were not used for longest", collect);
  gc->add_option("--max-size", flags->size_max, "Of all that stay, e.g. 50GiB");
  gc->add_option("--max-age", flags->age_max, "Since its last use, e.g. 720h");
  gc->add_option("--keep-last", flags->keep_last, "Of each model, profile and target the newest N")
      ->check(CLI::Range(0, 1'000'000));
  gc->add_flag("--dry-run", flags->dry_run, "Say what would be removed");
  named(add("pin",
            "Keep one, from being collected and from being replaced by a newer one by itself",
            [](context& with, const store_flags& given) { return keep(with, given, true); }));
  named(add("unpin", "Let it be collected and replaced again",
            [](context& with, const store_flags& given) { return keep(with, given, false); }));
  named(add("export", "Write one to FILE, and what it is to FILE.json", export_one))
      ->add_option("FILE", flags->file, "Where to")
      ->required();
  named(add("rollback", "Serve an earlier one of its profile again", roll_back));
  auto* import = add("import", "Take in what export wrote, or what a vendor built", import_one);
  import
      ->add_option("FILE", flags->file,
                   "Written by export, with FILE.json beside it; with "
                   "--profile any file or folder")
      ->required();
  import->add_option("--profile", flags->prebuilt.profile, "Build profile that it is of");
  import->add_option("--plugins", flags->prebuilt.plugin_dirs, "Further plugin folders")
      ->type_name("DIR");
  import->add_option("--target", flags->prebuilt.target, "Device model that it is for");
  import->add_option("--model", flags->prebuilt.model,
                     "Weights that it was built from, or their "
                     "SHA-256");
}

} // namespace consort::cli
