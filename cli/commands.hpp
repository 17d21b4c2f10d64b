// SPDX-License-Identifier: Apache-2.0
#pragma once
/// One function per subcommand, each in the file of its name: it declares the subcommand's flags
/// on `root` and sets `env.action`, which runs after the whole command line was understood. `env`
/// outlives `root`.

#include "cli/context.hpp"

namespace CLI {
class App;
}

namespace consort::cli {

void add_status(CLI::App& root, context& env);
void add_nodes(CLI::App& root, context& env);
void add_pools(CLI::App& root, context& env);
void add_devices(CLI::App& root, context& env);
void add_models(CLI::App& root, context& env);
void add_artifacts(CLI::App& root, context& env);
void add_requests(CLI::App& root, context& env);
void add_explain(CLI::App& root, context& env);
void add_events(CLI::App& root, context& env);
void add_drain(CLI::App& root, context& env); ///< Also `cordon` and `uncordon`.
void add_plan(CLI::App& root, context& env);
void add_compile(CLI::App& root, context& env);
void add_model(CLI::App& root, context& env);
void add_submit(CLI::App& root, context& env);
void add_run(CLI::App& root, context& env);
void add_bench(CLI::App& root, context& env);
void add_sim(CLI::App& root, context& env);
void add_config(CLI::App& root, context& env);
void add_cert(CLI::App& root, context& env);
void add_token(CLI::App& root, context& env);
void add_plugins(CLI::App& root, context& env); ///< This host's, and checks of a plugin folder.
void add_store(CLI::App& root, context& env);   ///< An artifact store's folder; below `artifacts`.

} // namespace consort::cli
