// SPDX-License-Identifier: Apache-2.0
#include "actors/spawn.hpp"

#include "tests/support/actor_fixture.hpp"

#include <stdexcept>

namespace consort::actors {
namespace {

struct thrower_state {
  static constexpr const char* name = "thrower";
  explicit thrower_state(caf::event_based_actor*) {}
  caf::behavior make_behavior() {
    return {[](int) { throw std::runtime_error("a defect of ours"); }, [](bool) {}};
  }
};

class Spawn : public actor_fixture {};

TEST_F(Spawn, AnActorThatThrowsEndsTheProcess) {
  const auto thrower = spawn_state<thrower_state>(system_);
  remember(thrower);
  post_from_outside(thrower, true);
  run();
  EXPECT_DEATH(
      {
        post_from_outside(thrower, 7);
        run();
      },
      "");
}

} // namespace
} // namespace consort::actors
