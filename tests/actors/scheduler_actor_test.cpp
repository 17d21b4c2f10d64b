// SPDX-License-Identifier: Apache-2.0
#include "actors/limits.hpp"
#include "actors/link_actors.hpp"
#include "actors/scheduler_actor.hpp"
#include "actors/spawn.hpp"
#include "actors/wire.hpp"
#include "tests/support/actor_fixture.hpp"

namespace consort::actors {
namespace {

class SchedulerActor : public actor_fixture {
protected:
  caf::actor start() {
    scheduler_options options;
    options.core.cluster = "test";
    options.join_token = "secret";
    options.ticket_key = std::string(32, 'k');
    options.clock = clock();
    options.observe_decision = [this](double) { ++steps_; };
    options.keep_models = [this](const std::vector<model_spec>& all) {
      kept_.clear();
      for (const auto& one : all)
        kept_.push_back(one.name.value);
      ++keeps_;
      return keep_answer_;
    };
    options.keep_holds = [this](const core::hold_map&) { return keep_answer_; };
    options.core.remote_budget_micros_per_hour = 1'000;
    options.core.remote_spent_micros = 900; // Of which nothing is said again: it is kept already.
    options.keep_spending = [this](std::uint64_t) {
      ++spendings_;
      return keep_answer_;
    };
    return remember(spawn_state<scheduler_state>(system_, std::move(options)));
  }
  static messages::envelope node_envelope(const std::string& name = "edge",
                                          std::uint64_t life = 7) {
    messages::envelope from;
    from.kind = messages::sender_kind::node;
    from.sender = name;
    from.life = incarnation{life};
    return from;
  }
  static messages::envelope gateway_envelope(std::uint64_t id = 9) {
    messages::envelope from;
    from.kind = messages::sender_kind::gateway;
    from.sender = "gateway";
    from.life = incarnation{id};
    return from;
  }
  static messages::hello hello(std::string cluster = "test", std::string token = "secret") {
    messages::hello hello;
    hello.cluster = std::move(cluster);
    hello.join_token = std::move(token);
    return hello;
  }
  static core::event request(const std::string& model, std::uint64_t gateway = 9) {
    request_meta meta;
    meta.id = request_id{gateway_id{gateway}, 1};
    meta.external_id = "req-1";
    meta.model = model_name{model};
    meta.prompt_tokens = 10;
    return core::request_submitted{meta};
  }
  static core::event joined(const std::string& name = "edge") {
    core::node_joined event;
    event.node = node_id{name};
    event.life = incarnation{7};
    return event;
  }

  static core::event declared(const std::string& name) {
    core::model_declared event;
    event.spec.name = model_name{name};
    event.spec.aliases = {model_name{name + "-too"}};
    event.spec.variants.resize(1);
    event.spec.variants[0].source = "/" + name;
    return event;
  }

  int steps_ = 0;
  int keeps_ = 0;
  int spendings_ = 0;
  std::vector<std::string> kept_;
  result<done> keep_answer_ = done{};
};

TEST_F(SchedulerActor, RefusesAHelloOfAnotherClusterOrToken) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto stranger = probe(mail);
  send(stranger, scheduler, node_envelope(), hello("other"));
  send(stranger, scheduler, node_envelope(), hello("test", "wrong!"));
  ASSERT_EQ(mail.answers.size(), 2u);
  ASSERT_TRUE(mail.answers[0].refusal && mail.answers[1].refusal);
  EXPECT_EQ(mail.answers[0].refusal->code, "wrong_cluster");
  EXPECT_EQ(mail.answers[1].refusal->code, "wrong_token");
  EXPECT_TRUE(mail.answers[1].ticket_key.empty());
}

TEST_F(SchedulerActor, RefusesAHelloOfAnotherProtocolVersion) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto stranger = probe(mail);
  auto from = node_envelope();
  from.version = messages::protocol_version + 1;
  send(stranger, scheduler, from, hello());
  ASSERT_EQ(mail.answers.size(), 1u);
  ASSERT_TRUE(mail.answers[0].refusal);
  EXPECT_EQ(mail.answers[0].refusal->code, "frame_version");
}

TEST_F(SchedulerActor, WritesNothingDownWhileNothingIsSpent) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto node = probe(mail);
  send(node, scheduler, node_envelope(), hello());
  send(node, scheduler, node_envelope(), joined());
  advance(2'000'000);
  EXPECT_EQ(mail.answers.size(), 1u) << "it works meanwhile";
  EXPECT_EQ(spendings_, 0);
}

TEST_F(SchedulerActor, BelievesNothingBeforeAHello) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto stranger = probe(mail);
  const auto before = steps_;
  send(stranger, scheduler, node_envelope(), joined());
  EXPECT_EQ(steps_, before);
  EXPECT_TRUE(mail.commands.empty());
}

TEST_F(SchedulerActor, GrantsALeaseToANodeThatSaidHello) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto node = probe(mail);
  send(node, scheduler, node_envelope(), hello());
  ASSERT_EQ(mail.answers.size(), 1u);
  EXPECT_EQ(mail.answers[0].ticket_key, std::string(32, 'k'));
  send(node, scheduler, node_envelope(), joined());
  const auto leases = mail.commands_of<core::grant_lease>();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].life, incarnation{7});
  EXPECT_GT(leases[0].until, now_);
}

TEST_F(SchedulerActor, DropsWhatIsSentInAnothersName) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto node = probe(mail);
  send(node, scheduler, node_envelope(), hello());
  const auto before = steps_;
  send(node, scheduler, node_envelope(), joined("victim"));
  send(node, scheduler, node_envelope("victim"), joined("victim"));
  send(node, scheduler, node_envelope(), request("m"));
  send(node, scheduler, node_envelope(), core::drain_changed{"victim", true, "", 1});
  send(node, scheduler, node_envelope(), core::drain_changed{"victim/npu0", true, "", 1});
  EXPECT_EQ(steps_, before);
}

/// The names that a link bore before must not lead to it once it has gone.
TEST_F(SchedulerActor, ALinkThatChangesWhoItIsLeavesNothingBehind) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto witness = probe(mail);
  send(witness, scheduler, gateway_envelope(1), hello());
  const auto turncoat = probe(open_inbox());
  send(turncoat, scheduler, gateway_envelope(9), hello());
  send(turncoat, scheduler, gateway_envelope(10), hello());
  send(turncoat, scheduler, node_envelope("first"), hello());
  send(turncoat, scheduler, node_envelope("second"), hello());
  stop(turncoat);
  run();
  const auto node = probe(open_inbox());
  send(node, scheduler, node_envelope(), hello());
  send(node, scheduler, node_envelope(), joined());
  EXPECT_FALSE(mail.commands_of<core::note>().empty()) << "it still tells what happens";
  send(witness, scheduler, gateway_envelope(1), messages::query{1, ""});
  EXPECT_EQ(mail.views.size(), 1u);
}

TEST_F(SchedulerActor, TellsItsOwnerWhichModelsAreDeclared) {
  const auto scheduler = start();
  const auto gateway = probe(open_inbox());
  send(gateway, scheduler, gateway_envelope(), hello());
  EXPECT_EQ(keeps_, 0);
  send(gateway, scheduler, gateway_envelope(), declared("a"));
  send(gateway, scheduler, gateway_envelope(), declared("b"));
  EXPECT_EQ(kept_, (std::vector<std::string>{"a", "b"}));
  send(gateway, scheduler, gateway_envelope(), declared("b-too"));
  EXPECT_EQ(kept_, (std::vector<std::string>{"a", "b"})) << "another's alias: not taken";
  send(gateway, scheduler, gateway_envelope(),
       core::event{core::model_removed{model_name{"b-too"}}});
  EXPECT_EQ(kept_, (std::vector<std::string>{"a", "b"})) << "an alias takes no model with it";
  send(gateway, scheduler, gateway_envelope(), core::event{core::model_removed{model_name{"b"}}});
  EXPECT_EQ(kept_, (std::vector<std::string>{"a"}));
  EXPECT_EQ(keeps_, 5);
}

TEST_F(SchedulerActor, LetsANodeDrainOnlyWhatIsItsOwn) {
  const auto node = node_envelope();
  const auto may = [&](const std::string& target) {
    return speaks_for_itself(node, node, core::drain_changed{target, true, "", 1});
  };
  EXPECT_TRUE(may(node.sender));
  EXPECT_TRUE(may(node.sender + "/npu0"));
  EXPECT_FALSE(may("victim"));
  EXPECT_FALSE(may(node.sender + "2"));
  EXPECT_FALSE(may("victim/npu0"));
  EXPECT_TRUE(speaks_for_itself(gateway_envelope(9), gateway_envelope(9),
                                core::drain_changed{"victim", true, "", 1}));
}

TEST_F(SchedulerActor, AnswersTheGatewayThatAsked) {
  const auto scheduler = start();
  auto& first_mail = open_inbox();
  auto& second_mail = open_inbox();
  const auto first = probe(first_mail);
  const auto second = probe(second_mail);
  send(first, scheduler, gateway_envelope(9), hello());
  send(second, scheduler, gateway_envelope(10), hello());
  send(first, scheduler, gateway_envelope(9), request("nowhere", 9));
  ASSERT_EQ(first_mail.commands_of<core::reject_request>().size(), 1u);
  EXPECT_EQ(first_mail.commands_of<core::reject_request>()[0].http_status, 404);
  EXPECT_TRUE(second_mail.commands_of<core::reject_request>().empty());
  EXPECT_TRUE(first_mail.answers[0].ticket_key.empty()) << "gateways cannot forge tickets";
}

TEST_F(SchedulerActor, ShowsASnapshotAndKnowsNoStrangersRequest) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto gateway = probe(mail);
  send(gateway, scheduler, gateway_envelope(), hello());
  send(gateway, scheduler, gateway_envelope(), messages::query{1, ""});
  send(gateway, scheduler, gateway_envelope(), messages::query{2, "req-never"});
  ASSERT_EQ(mail.views.size(), 2u);
  ASSERT_TRUE(mail.views[0].snapshot);
  EXPECT_EQ(mail.views[0].snapshot->cluster, "test");
  EXPECT_FALSE(mail.views[1].snapshot || mail.views[1].explanation);
}

/// A gateway hears what becomes of nodes.
class Revoked : public SchedulerActor {
protected:
  void SetUp() override {
    scheduler_ = start();
    gateway_ = probe(mail_);
    send(gateway_, scheduler_, namesake(), hello());
    node_ = dial();
    send(node_, scheduler_, node_envelope(), joined());
    ASSERT_TRUE(told("node is up"));
  }
  /// The gateway has the name and the number of the node.
  static messages::envelope namesake() {
    auto made = gateway_envelope(7);
    made.sender = "edge";
    return made;
  }
  caf::actor dial() {
    const auto link = probe(node_mail_);
    send(link, scheduler_, node_envelope(), hello());
    return link;
  }
  /// As its link's end tells it.
  void revoke(const caf::actor& peer) {
    post_as(peer, scheduler_, peer_revoked{});
    stop(peer);
    run();
  }
  bool told(const std::string& text) {
    const auto notes = mail_.commands_of<core::note>();
    return std::any_of(notes.begin(), notes.end(), [&](const core::note& one) {
      return one.text.find(text) != std::string::npos;
    });
  }

  inbox& mail_ = open_inbox();
  inbox& node_mail_ = open_inbox();
  caf::actor scheduler_, gateway_, node_;
};

/// As on a disk that is full.
TEST_F(Revoked, EverybodyIsToldWhatIsGoneAfterARestart) {
  const auto drain = core::event{core::drain_changed{"edge", true, "planned", 0, {}}};
  send(gateway_, scheduler_, namesake(), declared("a"));
  EXPECT_FALSE(told("not kept"));
  keep_answer_ = error{recovery::retry_later, "io", "scheduler.db: cannot write: disk is full"};
  send(gateway_, scheduler_, namesake(), declared("b"));
  EXPECT_TRUE(told("what was added or removed of models is not kept over a restart: scheduler.db: "
                   "cannot write: disk is full"));
  send(gateway_, scheduler_, namesake(), drain);
  EXPECT_TRUE(told("what is drained and cordoned is not kept over a restart: scheduler.db: cannot "
                   "write: disk is full"));
}

TEST_F(Revoked, ANodeIsDownLongBeforeItsLeaseEnds) {
  revoke(node_);
  EXPECT_TRUE(told("suspect, no new work: its link closed"));
  advance(limits::relink_us - 1);
  EXPECT_FALSE(told("node is down"));
  advance(1);
  EXPECT_TRUE(told("node is down: its certificate is revoked"));
}

TEST_F(Revoked, ANodeThatComesBackWithARenewedCertificateGoesOn) {
  revoke(node_);
  const auto again = dial();
  send(again, scheduler_, node_envelope(), joined());
  advance(limits::relink_us);
  EXPECT_TRUE(told("linked again, takes work"));
  EXPECT_FALSE(told("node is down"));
}

TEST_F(Revoked, AClosedLinkAloneIsAHint) {
  stop(node_);
  run();
  advance(limits::relink_us);
  EXPECT_TRUE(told("suspect, no new work: its link closed"));
  EXPECT_FALSE(told("node is down"));
}

TEST_F(Revoked, ANodeThatSaysGoodbyeIsGoneAtOnceAndNotSuspect) {
  core::node_lost goodbye{node_id{"edge"}, node_envelope().life, true, "stopped", false, true};
  send(node_, scheduler_, node_envelope(), core::event{goodbye});
  EXPECT_TRUE(told("node left: stopped"));
  stop(node_);
  run();
  EXPECT_FALSE(told("suspect"));
}

TEST_F(Revoked, ANodeIsNotLostWithItsNamesakeOrAStranger) {
  post_as(gateway_, scheduler_, peer_revoked{});
  post_as(probe(open_inbox()), scheduler_, peer_revoked{});
  stop(node_);
  run();
  advance(limits::relink_us);
  EXPECT_FALSE(told("node is down")) << "only its link closed";
}

/// Agents under one name, each with mail of its own.
class OneName : public SchedulerActor {
protected:
  struct agent {
    inbox* mail;
    caf::actor link;
  };
  /// An agent of that incarnation says hello on a fresh link.
  agent dial(std::uint64_t life) {
    auto& mail = open_inbox();
    const auto link = probe(mail);
    send(link, scheduler_, node_envelope("edge", life), hello());
    return {&mail, link};
  }
  void hang_up(const agent& leaving) {
    stop(leaving.link);
    run();
  }
  /// What the last answer refused it for; empty = it is welcome.
  static std::string refusal(const agent& told) {
    if (told.mail->answers.empty())
      return "no answer";
    const auto& last = told.mail->answers.back();
    return last.refusal ? last.refusal->code : "";
  }

  caf::actor scheduler_ = start();
};

TEST_F(OneName, TheNewAgentGetsItAndTheOldOneIsTold) {
  const auto old = dial(7);
  EXPECT_EQ(refusal(old), "");
  const auto fresh = dial(8);
  EXPECT_EQ(refusal(fresh), "");
  EXPECT_EQ(refusal(old), "name_taken");
  hang_up(old);
  auto up = joined();
  std::get<core::node_joined>(up).life = incarnation{8};
  send(fresh.link, scheduler_, node_envelope("edge", 8), up);
  EXPECT_EQ(fresh.mail->commands_of<core::grant_lease>().size(), 1u)
      << "commands go to the link that bears the name";
}

TEST_F(OneName, WhoLostItDoesNotTakeItBackWhileTheOtherIsThere) {
  hang_up(dial(7)); // Stopped by a signal: its link fell silent.
  const auto fresh = dial(8);
  for (int again = 0; again < 3; ++again) {
    const auto old = dial(7);
    EXPECT_EQ(refusal(old), "name_taken");
    EXPECT_EQ(old.mail->answers.size(), 1u);
    hang_up(old);
  }
  EXPECT_EQ(fresh.mail->answers.size(), 1u) << "the bearer hears nothing of it";
}

TEST_F(OneName, WhoLostItStartsOverWhenTheOtherHasGone) {
  const auto old = dial(7);
  const auto fresh = dial(8);
  hang_up(old);
  hang_up(fresh);
  const auto back = dial(7);
  EXPECT_TRUE(back.mail->answers.empty());
  const auto fences = back.mail->commands_of<core::fence_node>();
  ASSERT_EQ(fences.size(), 1u);
  EXPECT_EQ(fences[0].life, incarnation{7});
  send(back.link, scheduler_, node_envelope("edge", 9), hello());
  EXPECT_EQ(refusal(back), "");
  EXPECT_EQ(refusal(dial(8)), "name_taken") << "the other one has lost it now";
}

TEST_F(OneName, AnAgentThatLinksAgainIsWelcome) {
  const auto before = dial(7);
  const auto after = dial(7); // The end of its first link is not known yet.
  EXPECT_EQ(refusal(before), "");
  EXPECT_EQ(refusal(after), "");
  hang_up(before);
  hang_up(after);
  EXPECT_EQ(refusal(dial(7)), "");
}

class Reloads : public SchedulerActor {
protected:
  void SetUp() override {
    scheduler_ = start();
    for (const auto* name : {"a", "b"}) {
      node_mail_.push_back(&open_inbox());
      nodes_.push_back(probe(*node_mail_.back()));
      send(nodes_.back(), scheduler_, node_envelope(name), hello());
    }
    gateway_ = probe(mail_);
    send(gateway_, scheduler_, gateway_envelope(), hello());
  }
  void ask(const std::string& node) {
    messages::query wanted;
    wanted.number = 5;
    wanted.reload = messages::node_wish{node_id{node}, {}};
    send(gateway_, scheduler_, gateway_envelope(), wanted);
  }
  void report(std::size_t from, messages::query_answer answer) {
    send(nodes_[from], scheduler_, node_envelope(from == 0 ? "a" : "b"), answer);
  }

  inbox& mail_ = open_inbox();
  std::vector<inbox*> node_mail_;
  std::vector<caf::actor> nodes_;
  caf::actor scheduler_, gateway_;
};

TEST_F(Reloads, GoToEveryNodeAndComeBackUnderItsName) {
  ask("");
  ASSERT_EQ(mail_.views.size(), 1u);
  ASSERT_EQ(mail_.views[0].reloads.size(), 2u);
  EXPECT_FALSE(mail_.views[0].reloads[0].answered || mail_.views[0].reloads[1].answered);
  ASSERT_EQ(node_mail_[0]->queries.size(), 1u);
  ASSERT_EQ(node_mail_[1]->queries.size(), 1u);
  EXPECT_EQ(node_mail_[1]->queries[0].reload->gateway, gateway_id{9});
  messages::query_answer answer;
  answer.number = 5;
  answer.gateway = gateway_id{9};
  answer.reloads.emplace_back().node = node_id{"a"}; // As it says.
  answer.reloads[0].answered = true;
  report(1, answer);
  ASSERT_EQ(mail_.views.size(), 2u);
  EXPECT_EQ(mail_.views[1].number, 5u);
  EXPECT_EQ(mail_.views[1].reloads[0].node, node_id{"b"}) << "as it is";
  answer.gateway = gateway_id{10};
  report(0, answer);
  answer = {.number = 5, .snapshot = core::snapshot{}, .explanation = {}};
  answer.gateway = gateway_id{9};
  report(0, answer);
  EXPECT_EQ(mail_.views.size(), 2u) << "for nobody, and no answer for a node to give";
}

TEST_F(Reloads, ListsOfPluginsGoTheSameWay) {
  messages::query wanted;
  wanted.number = 5;
  wanted.plugins = messages::node_wish{};
  send(gateway_, scheduler_, gateway_envelope(), wanted);
  ASSERT_EQ(mail_.views.size(), 1u);
  ASSERT_EQ(mail_.views[0].plugins.size(), 2u);
  EXPECT_FALSE(mail_.views[0].plugins[0].answered || mail_.views[0].plugins[1].answered);
  ASSERT_EQ(node_mail_[1]->queries.size(), 1u);
  EXPECT_EQ(node_mail_[1]->queries[0].plugins->gateway, gateway_id{9});
  EXPECT_FALSE(node_mail_[1]->queries[0].reload) << "nothing is looked at again for a list";
  messages::query_answer answer;
  answer.number = 5;
  answer.gateway = gateway_id{9};
  auto& said = answer.plugins.emplace_back();
  said.node = node_id{"a"}; // As it says.
  said.answered = true;
  said.plugins.emplace_back().name = "fake";
  report(1, answer);
  ASSERT_EQ(mail_.views.size(), 2u);
  EXPECT_EQ(mail_.views[1].plugins[0].node, node_id{"b"}) << "as it is";
  EXPECT_EQ(mail_.views[1].plugins[0].plugins[0].name, "fake");
  wanted.plugins = messages::node_wish{node_id{"c"}, {}};
  send(gateway_, scheduler_, gateway_envelope(), wanted);
  ASSERT_EQ(mail_.views.size(), 3u);
  EXPECT_EQ(mail_.views[2].refusal->code, "unknown_node");
}

TEST_F(Reloads, GoToTheNodeThatIsNamed) {
  ask("b");
  EXPECT_TRUE(node_mail_[0]->queries.empty());
  EXPECT_EQ(node_mail_[1]->queries.size(), 1u);
  ask("c");
  ASSERT_EQ(mail_.views.size(), 2u);
  ASSERT_TRUE(mail_.views[1].refusal);
  EXPECT_EQ(mail_.views[1].refusal->code, "unknown_node");
  messages::query wanted;
  wanted.reload = messages::node_wish{};
  send(nodes_[0], scheduler_, node_envelope("a"), wanted);
  EXPECT_EQ(node_mail_[1]->queries.size(), 1u) << "a node may not ask";
}

TEST_F(SchedulerActor, TicksTheCoreWhenALeaseRunsOut) {
  const auto scheduler = start();
  auto& node_mail = open_inbox();
  auto& gateway_mail = open_inbox();
  const auto node = probe(node_mail);
  const auto gateway = probe(gateway_mail);
  send(gateway, scheduler, gateway_envelope(), hello());
  send(node, scheduler, node_envelope(), hello());
  send(node, scheduler, node_envelope(), joined());
  const auto before = gateway_mail.commands_of<core::note>().size();
  advance_steadily(core::limits::lease_us + 1);
  send(gateway, scheduler, gateway_envelope(), messages::query{1, ""});
  ASSERT_EQ(gateway_mail.views.size(), 1u);
  ASSERT_EQ(gateway_mail.views[0].snapshot->nodes.size(), 1u);
  EXPECT_FALSE(gateway_mail.views[0].snapshot->nodes[0].alive);
  EXPECT_GT(gateway_mail.commands_of<core::note>().size(), before);
}

TEST_F(SchedulerActor, KeepsOneTimerHoweverManyEventsCome) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto node = probe(mail);
  send(node, scheduler, node_envelope(), hello());
  send(node, scheduler, node_envelope(), joined());
  for (int i = 0; i < 50; ++i) {
    advance(1'000);
    send(node, scheduler, node_envelope(), core::lease_renewed{node_id{"edge"}, incarnation{7}});
  }
  const auto before = steps_;
  advance(core::limits::lease_us - 100'000);
  EXPECT_LE(steps_ - before, 2) << "stale timers must not step the core";
}

TEST_F(SchedulerActor, SurvivesGarbageFrames) {
  const auto scheduler = start();
  auto& mail = open_inbox();
  const auto node = probe(mail);
  send(node, scheduler, node_envelope(), hello());
  const auto before = steps_;
  for (std::uint16_t kind = 0; kind < 40; ++kind)
    post_as(node, scheduler, frame{kind, std::vector<char>(kind * 3u, char(0xa5))});
  run();
  EXPECT_EQ(steps_, before);
  send(node, scheduler, node_envelope(), joined());
  EXPECT_EQ(mail.commands_of<core::grant_lease>().size(), 1u);
}

TEST_F(SchedulerActor, EndsTheRequestsOfAGatewayThatIsGone) {
  const auto scheduler = start();
  auto& gone_mail = open_inbox();
  auto& other_mail = open_inbox();
  const auto gone = probe(gone_mail);
  const auto other = probe(other_mail);
  send(gone, scheduler, gateway_envelope(9), hello());
  send(other, scheduler, gateway_envelope(10), hello());
  model_spec model;
  model.name = model_name{"m"};
  model_variant variant;
  variant.format = "gguf";
  variant.content = digest{std::string(64, 'a')};
  model.variants.push_back(variant);
  send(other, scheduler, gateway_envelope(10), core::event{core::model_declared{model}});
  send(gone, scheduler, gateway_envelope(9), request("m", 9));
  EXPECT_TRUE(other_mail.commands_of<core::record_request>().empty());
  stop(gone);
  run();
  EXPECT_TRUE(other_mail.commands_of<core::record_request>().empty()) << "it may come back";
  advance_steadily(core::limits::gateway_grace_us);
  const auto records = other_mail.commands_of<core::record_request>();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].request.gateway, gateway_id{9});
}

} // namespace
} // namespace consort::actors
