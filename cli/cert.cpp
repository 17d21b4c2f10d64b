// SPDX-License-Identifier: Apache-2.0
// `consort cert`: the cluster's own authority and what it issues. Files only; asks no server.
#include "cli/api.hpp"
#include "cli/authority_folder.hpp"
#include "cli/commands.hpp"
#include "cli/table.hpp"

#include <CLI/App.hpp>

#include <ctime>
#include <memory>
#include <ostream>

namespace consort::cli {

namespace {

struct cert_flags {
  std::string folder; ///< Of the authority; empty = in the data folder.
  std::string cluster;
  std::string name; ///< Or serial, or place.
  int days = 365;
};

result<std::filesystem::path> authority_place(const context& env, const cert_flags& flags) {
  if (!flags.folder.empty())
    return std::filesystem::path(flags.folder);
  const auto config = configuration(env);
  if (!config)
    return config.failure();
  return default_authority(config->data_dir);
}

result<authority_folder> open_authority(const context& env, const cert_flags& flags) {
  auto place = authority_place(env, flags);
  if (!place)
    return place.failure();
  return authority_folder::open(std::move(*place));
}

exit_code complain_of_certificates(context& env, error failure) {
  if (failure.code == "bad_identity")
    failure.code = "usage";
  return complain(env, failure);
}

json as_json(const certificate_row& row) {
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  return {{"name", row.identity.name},
          {"role", links::name_of(row.identity.role)},
          {"cluster", row.identity.cluster},
          {"serial", row.identity.serial},
          {"not_after", row.identity.not_after},
          {"expires_soon", row.identity.not_after - now < expiry_warning_s},
          {"state", state_of(row, now)},
          {"folder", row.folder.string()}};
}

exit_code init(context& env, const cert_flags& flags) {
  const auto config = configuration(env);
  if (!config)
    return complain(env, config.failure());
  const auto place = authority_place(env, flags);
  if (!place)
    return complain(env, place.failure());
  const auto made
      = authority_folder::create(*place, flags.cluster.empty() ? config->cluster : flags.cluster);
  if (!made)
    return complain_of_certificates(env, made.failure());
  if (env.json()) {
    env.out << json{{"cluster", made->cluster()}, {"folder", made->path().string()}}.dump(2)
            << '\n';
    return exit_code::done;
  }
  env.out << "made the authority of cluster " << made->cluster() << " in " << made->path().string()
          << "\n  ca-key.pem signs for the whole cluster: keep it here, "
          << "and a copy offline\nnext:\n  consort cert scheduler NAME\n  consort cert node NAME   "
             "(one for each node)\n";
  return exit_code::done;
}

/// The command that a certificate of that role is for.
std::string start_line(const certificate_row& row) {
  const auto& name = row.identity.name;
  const std::string token = "CONSORT_TOKEN=TOKEN "; // No flag, which all users of a host can see.
  switch (row.identity.role) {
  case links::peer_role::scheduler:
    return "consort scheduler --link-listen 0.0.0.0:4280 --cert " + name;
  case links::peer_role::node:
    return token + "consort node --join SCHEDULER:4280 --cert " + name
           + " --data-listen 0.0.0.0:4281 --advertise THIS_HOST";
  case links::peer_role::gateway:
    return token + "consort gateway --join SCHEDULER:4280 --cert " + name;
  case links::peer_role::admin: break;
  }
  return {};
}

exit_code show_written(context& env, const certificate_row& row, bool renewed) {
  if (env.json()) {
    env.out << as_json(row).dump(2) << '\n';
    return exit_code::done;
  }
  const auto& who = row.identity;
  env.out << "wrote " << row.folder.string()
          << " (ca.pem, cert.pem, key.pem): " << links::name_of(who.role) << ' ' << who.name
          << " of cluster " << who.cluster << ", until " << format_date(who.not_after)
          << "\ncopy the folder to its host:\n  scp -r " << row.folder.string() << " HOST:\n";
  const auto start = start_line(row);
  if (renewed)
    env.out << "its process takes it up without a pause on SIGHUP:\n  kill -HUP PID\n";
  else if (start.empty())
    env.out << "it names an operator; links do not take it\n";
  else
    env.out << "and start there:\n  " << start << "\n";
  if (!renewed && start.find("TOKEN") != std::string::npos)
    env.out << "`consort token` on the scheduler's host prints TOKEN\n";
  return exit_code::done;
}

exit_code issue(context& env, const cert_flags& flags, links::peer_role role) {
  const auto authority = open_authority(env, flags);
  if (!authority)
    return complain(env, authority.failure());
  const auto row = authority->issue(role, flags.name, flags.days);
  return row ? show_written(env, *row, false) : complain_of_certificates(env, row.failure());
}

exit_code renew(context& env, const cert_flags& flags) {
  const auto authority = open_authority(env, flags);
  if (!authority)
    return complain(env, authority.failure());
  const auto row = authority->renew(flags.name, flags.days);
  return row ? show_written(env, *row, true) : complain_of_certificates(env, row.failure());
}

exit_code revoke(context& env, const cert_flags& flags) {
  const auto authority = open_authority(env, flags);
  if (!authority)
    return complain(env, authority.failure());
  const auto serials = authority->revoke(flags.name);
  if (!serials)
    return complain(env, serials.failure());
  const auto list = (authority->path() / links::revoked_file).string();
  if (env.json()) {
    env.out << json{{"revoked", *serials}, {"file", list}}.dump(2) << '\n';
    return exit_code::done;
  }
  for (const auto& serial : *serials)
    env.out << "revoked " << serial << '\n';
  env.out << "a scheduler that runs with a folder of " << authority->path().string()
          << " drops its links within a second;\nelsewhere copy the list into its --cert folder:\n"
          << "  scp " << list << " HOST:FOLDER/\n";
  return exit_code::done;
}

/// A folder of an authority lists its names; a credentials folder or a file is one row.
result<std::vector<certificate_row>> rows_of(const std::filesystem::path& place) {
  std::error_code ignored;
  if (std::filesystem::exists(place / links::authority_key_file, ignored)) {
    const auto authority = authority_folder::open(place);
    return authority ? authority->list() : authority.failure();
  }
  auto row = read_certificate_row(place);
  if (!row)
    return row.failure();
  return std::vector<certificate_row>{std::move(*row)};
}

exit_code show(context& env, const cert_flags& flags) {
  const auto place = flags.name.empty() ? authority_place(env, flags)
                                        : result<std::filesystem::path>(flags.name);
  if (!place)
    return complain(env, place.failure());
  const auto rows = rows_of(*place);
  if (!rows)
    return complain_of_certificates(env, rows.failure());
  json all = json::array();
  table shown({{"NAME"},
               {"ROLE"},
               {"CLUSTER"},
               {"STATE", align::left, false, true},
               {"NOT AFTER"},
               {"SERIAL"},
               {"FOLDER", align::left, true}});
  for (const auto& row : *rows) {
    all.push_back(as_json(row));
    const auto& who = row.identity;
    shown.add({who.name, std::string(links::name_of(who.role)), who.cluster,
               state_of(row, static_cast<std::int64_t>(std::time(nullptr))),
               format_date(who.not_after), who.serial, row.folder.string()});
  }
  env.out << (env.json() ? json{{"certificates", all}}.dump(2) + "\n"
                         : shown.render(env.wide(), env.colour));
  return exit_code::done;
}

using cert_action = exit_code (*)(context&, const cert_flags&);

CLI::App* add_one(CLI::App& cert, context& env, const char* name, const char* help,
                  const std::shared_ptr<cert_flags>& flags, cert_action action) {
  auto* command = cert.add_subcommand(name, help);
  command
      ->add_option("--dir", flags->folder, "Folder of the authority (default: in the data folder)")
      ->type_name("DIR");
  command->callback([&env, flags, action] {
    env.action = [&env, flags, action] { return action(env, *flags); };
  });
  return command;
}

void add_name(CLI::App* command, const std::shared_ptr<cert_flags>& flags, const char* help) {
  command->add_option("NAME", flags->name, help)->required();
}

void add_days(CLI::App* command, const std::shared_ptr<cert_flags>& flags) {
  command->add_option("--days", flags->days, "How long it is valid (default 365)")
      ->check(CLI::Range(1, days_max))
      ->type_name("DAYS");
}

template <links::peer_role Role>
void add_issue(CLI::App& cert, context& env, const char* help) {
  const auto flags = std::make_shared<cert_flags>();
  const std::string name(links::name_of(Role));
  auto* command
      = add_one(cert, env, name.c_str(), help, flags,
                [](context& with, const cert_flags& given) { return issue(with, given, Role); });
  add_name(command, flags, "Its name, unique in the cluster");
  add_days(command, flags);
}

} // namespace

void add_cert(CLI::App& root, context& env) {
  auto* cert = root.add_subcommand("cert", "The cluster's certificates");
  cert->require_subcommand(1);
  const auto init_flags = std::make_shared<cert_flags>();
  add_one(*cert, env, "init", "Make the cluster's authority", init_flags, init)
      ->add_option("--cluster", init_flags->cluster,
                   "Name of the cluster (default: the "
                   "configuration's, else `default`)");
  add_issue<links::peer_role::scheduler>(*cert, env, "A certificate for the scheduler");
  add_issue<links::peer_role::node>(*cert, env, "A certificate for a node");
  add_issue<links::peer_role::gateway>(*cert, env, "A certificate for a further gateway");
  add_issue<links::peer_role::admin>(*cert, env, "A certificate for an operator");
  const auto renewed = std::make_shared<cert_flags>();
  auto* renewal = add_one(*cert, env, "renew",
                          "A new certificate for a name; the old one stays "
                          "valid until it ends",
                          renewed, renew);
  add_name(renewal, renewed, "Whose");
  add_days(renewal, renewed);
  const auto revoked = std::make_shared<cert_flags>();
  add_name(add_one(*cert, env, "revoke", "Let certificates of a name, or one serial, count no more",
                   revoked, revoke),
           revoked, "Name or serial");
  const auto shown = std::make_shared<cert_flags>();
  add_one(*cert, env, "show", "What is in a folder or file, and until when", shown, show)
      ->add_option("PLACE", shown->name, "Folder or file (default: all of the authority's)");
}

} // namespace consort::cli
