// SPDX-License-Identifier: Apache-2.0
#include "cli/app.hpp"

#include <cstdlib>
#include <iostream>
#include <unistd.h>

int main(int argc, char** argv) {
  using namespace consort::cli;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  context env{.in = std::cin,
              .out = std::cout,
              .err = std::cerr,
              .out_is_tty = terminal,
              .colour = terminal && std::getenv("NO_COLOR") == nullptr,
              .start = {},
              .options = {},
              .action = {}};
  const auto app = make_app(env);
  const auto code = parse_and_run(*app, env, argc, argv);
  std::cout.flush();
  return static_cast<int>(code);
}
