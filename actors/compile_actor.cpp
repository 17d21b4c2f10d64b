// SPDX-License-Identifier: Apache-2.0
#include "actors/caf_compat.hpp"
#include "actors/node_actors.hpp"

namespace consort::actors {

compile_state::compile_state(caf::event_based_actor* self, node::agent* agent,
                             core::start_compile order, incarnation life, caf::actor door)
    : self_(self), agent_(agent), order_(std::move(order)), life_(life), door_(std::move(door)) {}

caf::behavior compile_state::make_behavior() {
  const auto self = caf::actor_cast<caf::actor>(self_);
  node::build_order build{order_.compile, order_.key, order_.model, order_.source};
  if (order_.grant)
    build.devices = node::place_of(*order_.grant, agent_->plugins().devices(), 0, 1).devices;
  running_ = agent_->build(
      build, [self](std::uint32_t done_pm) { post_from_outside(self, compile_advanced{done_pm}); },
      [self](result<artifact_record> outcome) {
        post_from_outside(
            self, compile_done{std::make_shared<result<artifact_record>>(std::move(outcome))});
      });
  return {
      [this](const compile_advanced& advance) {
        post(self_, door_,
             device_news{core::compile_progressed{order_.compile, life_, advance.done_pm}});
      },
      [this](const compile_done& end) { finished(*end.outcome); },
  };
}

void compile_state::finished(const result<artifact_record>& outcome) {
  if (outcome)
    post(self_, door_, device_news{core::compile_finished{order_.compile, life_, *outcome}});
  else
    post(self_, door_,
         device_news{core::compile_failed{order_.compile, life_, outcome.failure(),
                                          running_ ? running_->left_alone_us() : 0}});
  self_->quit();
}

} // namespace consort::actors
