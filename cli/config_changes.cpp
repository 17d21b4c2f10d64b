// SPDX-License-Identifier: Apache-2.0
#include "cli/config_changes.hpp"

#include <tuple>

namespace consort::cli {

std::vector<std::string> keys_that_need_a_restart(const cluster_config& running,
                                                  const cluster_config& fresh) {
  std::vector<std::string> keys;
  const auto compare = [&](const char* key, const auto& part) {
    if (!(part(running) == part(fresh)))
      keys.emplace_back(key);
  };
  const auto field = [&](const char* key, auto cluster_config::*one) {
    compare(
        key, [one](const cluster_config& of) -> const auto& { return of.*one; });
  };
  const auto link = [&](const char* key, std::string link_config::*one) {
    compare(
        key, [one](const cluster_config& of) -> const auto& { return of.links.*one; });
  };
  field("cluster", &cluster_config::cluster);
  field("scheduler.policy", &cluster_config::policy);
  field("scheduler.slo", &cluster_config::slo);
  field("scheduler.profiles", &cluster_config::profiles);
  field("scheduler.tenant_policy", &cluster_config::tenant_policy);
  field("scheduler.tenant_weights", &cluster_config::tenant_weights);
  field("scheduler.queue_max", &cluster_config::queue_max);
  field("scheduler.queue_timeout", &cluster_config::queue_timeout_us);
  field("scheduler.lease", &cluster_config::lease_us);
  field("scheduler.remote.use", &cluster_config::remote);
  field("scheduler.remote.budget_milli_per_hour", &cluster_config::remote_budget_micros_per_hour);
  field("remotes", &cluster_config::prices);
  field("pools", &cluster_config::pools);
  compare("http.listen",
          [](const cluster_config& of) { return std::tie(of.http_host, of.http_port); });
  link("link.listen", &link_config::listen);
  link("link.join", &link_config::join);
  link("link.cert", &link_config::cert_dir);
  link("link.token", &link_config::token);
  link("link.name", &link_config::name);
  link("link.data_listen", &link_config::data_listen);
  link("link.advertise", &link_config::advertise);
  field("data", &cluster_config::data_dir);
  field("plugins", &cluster_config::plugin_dirs);
  return keys;
}

std::string reread_words(const std::vector<std::string>& waiting) {
  std::string keys;
  for (const auto& key : waiting)
    keys += (keys.empty() ? "" : ", ") + key;
  return "read the configuration again: models take effect now"
         + (keys.empty() ? keys : "; what changed of " + keys + " does with the next start only");
}

} // namespace consort::cli
