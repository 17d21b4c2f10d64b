// SPDX-License-Identifier: Apache-2.0
#pragma once
/// A plugin that is a folder with plugin.json: runs the vendor's tools as children and reads what
/// they print. Nothing from the network reaches a shell: placeholders are replaced by the
/// agent's own paths and numbers, and for model servers by plain names of models, one whole
/// argument each. Not thread-safe, as node/plugin.hpp says; its compiles run in the background on
/// the given io_context and outlive no caller.

#include "node/c_abi_spec.hpp"
#include "node/child_process.hpp"
#include "node/device_readings.hpp"
#include "node/plugin_document.hpp"
#include "node/server_spec.hpp"
#include "node/tool_stream.hpp"

#include <boost/asio/io_context.hpp>

#include <set>

namespace consort::node {

/// Prices that the agent's configuration gives, by plugin.
using price_table = std::map<std::string, price_list>;

/// What the agent lends to its plugins.
struct plugin_environment {
  boost::asio::io_context& io; ///< Runs background compiles; outlives the plugins.
  c_abi_factory make_c_abi;    ///< Called at most once per plugin, as the next.
  server_factory make_server = nullptr;
  std::string executable = {}; ///< The consort binary, for builds by a vendor's shared object.
  std::string owner = {};  ///< What its containers are marked with; empty = a trial, of nobody's.
  price_table prices = {}; ///< Over those of plugin.json.
  /// Below which a plugin's tools keep what outlives them; empty = nobody keeps anything.
  std::string state_path = {};
};

class json_plugin : public plugin {
public:
  json_plugin(plugin_document document, std::string folder, plugin_environment environment);

  [[nodiscard]] const plugin_metadata& metadata() const override { return document_.metadata; }
  [[nodiscard]] result<done> available() override;
  [[nodiscard]] result<done> tidy() override;
  [[nodiscard]] result<std::vector<device_spec>> probe() override;
  [[nodiscard]] result<std::map<std::string, device_reading>> read() override;
  [[nodiscard]] std::string unread(const device_spec& device) override;
  [[nodiscard]] std::string nothing_found() override { return unmatched_; }
  [[nodiscard]] std::optional<error> fault() override;
  void retire() override { streams_.clear(); }
  [[nodiscard]] std::vector<build_profile> toolchains() override;
  [[nodiscard]] std::string compiler_files() override;
  std::unique_ptr<running_compile>
  compile(const compile_request& wanted, std::function<void(std::uint32_t)> progress,
          std::function<void(result<compile_outcome>)> finished) override;
  [[nodiscard]] std::optional<device_capability> adds_to(const device_spec& device) override;
  [[nodiscard]] runtime* device_runtime() override;

  [[nodiscard]] const plugin_document& document() const { return document_; }
  /// Whether the latest reading said how any device is.
  [[nodiscard]] bool health_told() const { return readings_.health_told(); }
  /// What its tool printed in front of the latest answer of a section (`probe`) that was passed
  /// over; empty = nothing.
  [[nodiscard]] std::string preface(const std::string& section) const {
    const auto found = prefaces_.find(section);
    return found == prefaces_.end() ? std::string() : found->second;
  }
  /// Of compilers that are on this host and cannot be used: why.
  [[nodiscard]] std::vector<std::string> compiler_faults();
  /// Compilers that are there and build for what an attribute of a device says, while no device
  /// says it: their profiles, and the attribute's name.
  [[nodiscard]] std::vector<std::pair<build_profile, std::string>> compilers_without_target();
  /// The path of its runtime's library where that is not there, so that its devices run nothing;
  /// empty = it is.
  [[nodiscard]] std::string missing_library() const;

private:
  struct known_compiler {
    bool installed = false;
    std::string version; ///< First version-looking word of version_command; empty = unknown.
    std::string fault;   ///< Why it cannot be used although it is there; empty = it can, or is not.
    std::string missing; ///< What is not on this host; empty = it is there.
  };

  /// What is said of a device that runs nothing for want of that library.
  [[nodiscard]] static std::string no_runtime_words(const std::string& library) {
    return "its runtime's library is not there: " + library;
  }
  /// Where its tools are.
  [[nodiscard]] tool_place tools() const { return {folder_, document_.search, state_}; }
  void run_in_host(build_rule& rule) const;
  [[nodiscard]] bool there(const availability_test& test) const;
  /// Runs the query's tool with `{plugin}` replaced. Returns: its standard output.
  [[nodiscard]] result<std::string> ask(const tool_query& query);
  [[nodiscard]] std::string section_of(const tool_query& query) const;
  [[nodiscard]] result<std::string> listen(const tool_query& query);
  [[nodiscard]] result<done> read_into(const tool_query& query);
  /// What a command for a version printed at this look at the host.
  [[nodiscard]] const result<child_exit>& version_said(const std::vector<std::string>& command);
  [[nodiscard]] const known_compiler& compiler(std::size_t rule);
  [[nodiscard]] build_profile effective_profile(std::size_t rule);
  [[nodiscard]] const build_rule* rule_for(const build_profile& wanted);
  /// Size and time of a command's program, and of the files that it names.
  [[nodiscard]] std::string stamps_of(const std::vector<std::string>& command) const;
  [[nodiscard]] std::unique_ptr<runtime> make_c_abi() const;
  [[nodiscard]] std::unique_ptr<runtime> make_server() const;
  [[nodiscard]] device_spec describe(const std::map<std::string, std::string>& fields,
                                     std::map<std::string, std::string> attributes);
  [[nodiscard]] const model_sheet* sheet_for(const std::string& model) const;
  [[nodiscard]] std::string path_of(const std::string& library) const;
  [[nodiscard]] std::string library_path() const;
  void note_preface(const std::string& section, const std::string& words);
  [[nodiscard]] result<stage_plan> stages() const;
  [[nodiscard]] std::uint32_t memory_share_pm() const;
  void choose_profiles(device_spec& device);
  [[nodiscard]] std::optional<build_profile> cache_profile(const std::string& target);
  void add_partitions(std::vector<device_spec>& devices);
  void read_partitions(std::map<std::string, device_reading>& readings) const;
  void judge_modelless(std::map<std::string, device_reading>& readings) const;

  plugin_document document_;
  std::string folder_;
  plugin_environment environment_;
  std::string state_; ///< The folder of what its tools keep; empty = they keep nothing.
  std::map<std::vector<std::string>, std::unique_ptr<tool_stream>> streams_; ///< By command.
  device_readings readings_;
  std::map<std::size_t, known_compiler> compilers_;
  std::map<std::vector<std::string>, result<child_exit>> versions_said_; ///< By command.
  std::map<std::size_t, std::set<std::string>> targets_; ///< Of builds whose devices say theirs.
  std::string left_out_; ///< What the last probe left out, and why; empty = nothing.
  std::map<std::string, std::string> prefaces_; ///< Words in front of answers, by section.
  std::string unmatched_; ///< Why it found nobody, where its answer is not as expected.
  std::string modelless_; ///< Whom it found without a model, in words; empty = nobody.
  std::set<std::string> modelless_ids_;
  std::unique_ptr<runtime> runtime_;
};

} // namespace consort::node
