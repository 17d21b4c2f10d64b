// SPDX-License-Identifier: Apache-2.0
#include "actors/gateway_link.hpp"
#include "actors/limits.hpp"
#include "actors/link_actors.hpp"
#include "actors/scheduler_actor.hpp"
#include "actors/spawn.hpp"
#include "tests/support/actor_fixture.hpp"

#include <algorithm>

namespace consort::actors {
namespace {

class heard final : public gateway::request_listener {
public:
  void on_ticket(const core::grant_ticket& granted) override { tickets.push_back(granted); }
  void on_drop(const core::drop_attempt& dropped) override { drops.push_back(dropped); }
  void on_queue(const core::queue_notice& notice) override { notices.push_back(notice); }
  void on_reject(const core::reject_request& rejected) override { rejects.push_back(rejected); }

  std::vector<core::grant_ticket> tickets;
  std::vector<core::drop_attempt> drops;
  std::vector<core::queue_notice> notices;
  std::vector<core::reject_request> rejects;
};

class GatewayLink : public actor_fixture {
protected:
  void join(caf::actor scheduler) {
    gateway_options options;
    options.cluster = "test";
    options.id = gateway_id{9};
    options.clock = clock();
    options.listeners_max = 3;
    link_ = std::make_unique<gateway_link>(system_, std::move(scheduler), std::move(options));
    run();
  }
  void TearDown() override {
    link_.reset();
    run();
  }
  caf::actor real_scheduler() {
    scheduler_options options;
    options.core.cluster = "test";
    options.ticket_key = std::string(32, 'k');
    options.clock = clock();
    options.keep_holds = [this](const core::hold_map&) { return keep_answer_; };
    options.keep_models = [this](const std::vector<model_spec>&) { return keep_answer_; };
    return remember(spawn_state<scheduler_state>(system_, std::move(options)));
  }
  static request_meta request(std::uint64_t sequence, const std::string& model = "m") {
    request_meta meta;
    meta.id = request_id{gateway_id{9}, sequence};
    meta.external_id = "req-" + std::to_string(sequence);
    meta.model = model_name{model};
    return meta;
  }

  /// What the scheduler's word on it came to; nothing while it has not come.
  std::optional<gateway::admin_taken> asked(gateway::admin_request wanted) {
    std::optional<gateway::admin_taken> taken;
    link_->admin(std::move(wanted), [&](const result<gateway::admin_taken>& got) {
      if (got)
        taken = *got;
    });
    run();
    return taken;
  }
  /// Under the name that is cordoned.
  void node_joins(const caf::actor& scheduler) {
    const auto node = probe(open_inbox());
    messages::envelope from;
    from.kind = messages::sender_kind::node;
    from.sender = "edge";
    from.life = incarnation{7};
    messages::hello hello;
    hello.cluster = "test";
    send(node, scheduler, from, hello);
    core::node_joined joined;
    joined.node = node_id{"edge"};
    joined.life = from.life;
    send(node, scheduler, from, core::event(joined));
  }
  static gateway::admin_request cordon() { return core::drain_changed{"edge", true, "", 0, {}}; }

  std::unique_ptr<gateway_link> link_;
  result<done> keep_answer_ = done{};
};

TEST_F(GatewayLink, DeliversARejectToTheRequestsListenerOnce) {
  join(real_scheduler());
  const auto first = std::make_shared<heard>();
  const auto second = std::make_shared<heard>();
  link_->submit(request(1), first);
  link_->submit(request(2), second);
  run();
  ASSERT_EQ(first->rejects.size(), 1u);
  EXPECT_EQ(first->rejects[0].http_status, 404);
  EXPECT_EQ(second->rejects.size(), 1u);
}

TEST_F(GatewayLink, RefusesARequestThatCannotTravel) {
  join(real_scheduler());
  const auto listener = std::make_shared<heard>();
  link_->submit(request(1, std::string(5'000, 'x')), listener);
  run();
  ASSERT_EQ(listener->rejects.size(), 1u);
  EXPECT_EQ(listener->rejects[0].http_status, 400);
}

TEST_F(GatewayLink, AnswersSnapshotsAndExplanations) {
  join(real_scheduler());
  std::optional<result<core::snapshot>> seen;
  std::optional<result<core::explanation>> explained;
  link_->snapshot([&](result<core::snapshot> got) { seen = std::move(got); });
  link_->explain("never", [&](result<core::explanation> got) { explained = std::move(got); });
  run();
  ASSERT_TRUE(seen && seen->ok());
  EXPECT_EQ((*seen)->cluster, "test");
  ASSERT_TRUE(explained && !explained->ok());
  EXPECT_EQ(explained->failure().code, "unknown_request");
}

/// In one page, which the snapshot's own pages are not mixed with.
TEST_F(GatewayLink, ListsRequestsByPage) {
  join(real_scheduler());
  model_spec model;
  model.name = model_name{"m"};
  model.variants.emplace_back().format = "gguf";
  asked(core::model_declared{model});
  for (std::uint64_t each = 1; each <= 3; ++each)
    link_->submit(request(each), std::make_shared<heard>());
  run();
  core::requests_wish wish;
  wish.limit = 2;
  std::optional<result<core::snapshot_page>> page;
  const auto ask = [&] {
    link_->requests(wish, [&](result<core::snapshot_page> got) { page = std::move(got); });
    run();
  };
  ask();
  ASSERT_TRUE(page && page->ok());
  EXPECT_EQ((*page)->rows.requests_total, 3u);
  ASSERT_EQ((*page)->rows.requests.size(), 2u);
  EXPECT_EQ((*page)->rows.requests[0].external_id, "req-1");
  ASSERT_TRUE((*page)->next);
  wish.after = (*page)->next->number;
  ask();
  ASSERT_TRUE(page->ok());
  ASSERT_EQ((*page)->rows.requests.size(), 1u);
  EXPECT_EQ((*page)->rows.requests[0].external_id, "req-3");
  EXPECT_FALSE((*page)->next);
}

TEST_F(GatewayLink, GivesUpOnASchedulerThatIsSilent) {
  auto& mail = open_inbox();
  join(probe(mail));
  std::optional<result<core::snapshot>> seen;
  link_->snapshot([&](result<core::snapshot> got) { seen = std::move(got); });
  run();
  EXPECT_FALSE(seen);
  advance(limits::query_timeout_us + limits::query_sweep_us);
  ASSERT_TRUE(seen && !seen->ok());
  EXPECT_EQ(seen->failure().code, "scheduler_silent");
}

TEST_F(GatewayLink, SaysWhetherTheSchedulerKeepsWhatWasAsked) {
  const auto scheduler = real_scheduler();
  join(scheduler);
  node_joins(scheduler);
  EXPECT_EQ(asked(cordon()).value().kept, true);
  EXPECT_EQ(asked(core::compile_requested{}).value().kept, std::nullopt) << "nothing of it is";
  keep_answer_ = error{recovery::refuse, "state_unreadable", "disk is full"};
  EXPECT_EQ(asked(cordon()).value().kept, true) << "it is on disk already";
  core::drain_changed lifted{"edge", false, "", 0, {}};
  auto taken = asked(lifted);
  EXPECT_EQ(taken.value().kept, false);
  EXPECT_EQ(taken.value().kept_error, "disk is full");
  EXPECT_EQ(asked(lifted).value().kept, false) << "said again, in vain";
  EXPECT_EQ(asked(core::model_removed{model_name{"m"}}).value().kept, false);
  keep_answer_ = done{};
  EXPECT_EQ(asked(lifted).value().kept, true) << "said again: nothing changed but the disk";
  EXPECT_EQ(asked(core::model_removed{model_name{"m"}}).value().kept, true);
}

TEST_F(GatewayLink, DoesNotKnowWhatAnOlderOrSilentSchedulerKeeps) {
  auto& mail = open_inbox();
  const auto scheduler = probe(mail);
  join(scheduler);
  messages::envelope from;
  from.kind = messages::sender_kind::scheduler;
  from.sender = "test";
  send(scheduler, link_->actor(), from, messages::hello_answer{});
  std::vector<result<gateway::admin_taken>> got;
  const auto keep = [&](const auto& taken) { got.push_back(taken); };
  link_->admin(cordon(), keep);
  run();
  ASSERT_EQ(mail.queries.size(), 1U);
  EXPECT_EQ(mail.queries[0].kept, messages::kept_part::holds);
  messages::query_answer older;
  older.number = mail.queries[0].number;
  older.snapshot.emplace();
  older.next.emplace();
  send(scheduler, link_->actor(), from, older);
  ASSERT_EQ(got.size(), 1U) << "and no further page is asked for";
  EXPECT_EQ(got[0].value().kept, std::nullopt);
  EXPECT_EQ(mail.queries.size(), 1U);
  link_->admin(cordon(), keep);
  advance_steadily(limits::kept_timeout_us + limits::query_sweep_us);
  ASSERT_EQ(got.size(), 2U);
  ASSERT_TRUE(got[1].ok()) << "it was told";
  EXPECT_EQ(got[1].value().kept, std::nullopt);
}

TEST_F(GatewayLink, WaitsForEveryNodeThatReloadsOrSaysWhichWereSilent) {
  auto& mail = open_inbox();
  const auto scheduler = probe(mail);
  join(scheduler);
  messages::envelope from;
  from.kind = messages::sender_kind::scheduler;
  from.sender = "test";
  send(scheduler, link_->actor(), from, messages::hello_answer{});
  std::vector<result<gateway::reload_reports>> got;
  const auto ask = [&] {
    link_->reload_plugins({}, 10'000'000, [&](auto reports) { got.push_back(std::move(reports)); });
    run();
    messages::query_answer asked;
    asked.number = mail.queries.back().number;
    asked.reloads.resize(2);
    asked.reloads[0].node = node_id{"a"};
    asked.reloads[1].node = node_id{"b"};
    send(scheduler, link_->actor(), from, asked);
    return asked;
  };
  const auto answer = [&](messages::query_answer asked, std::size_t which) {
    asked.reloads = {asked.reloads[which]};
    asked.reloads[0].answered = true;
    send(scheduler, link_->actor(), from, asked);
  };
  const auto both = ask();
  answer(both, 1);
  EXPECT_TRUE(got.empty());
  answer(both, 0);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE((*got[0])[0].answered && (*got[0])[1].answered);
  answer(ask(), 1);
  advance_steadily(11'000'000);
  ASSERT_EQ(got.size(), 2u);
  ASSERT_TRUE(got[1].ok());
  EXPECT_FALSE((*got[1])[0].answered);
  EXPECT_TRUE((*got[1])[1].answered);
  link_->reload_plugins({}, 10'000'000, [&](auto reports) { got.push_back(std::move(reports)); });
  advance_steadily(11'000'000);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[2].failure().code, "scheduler_silent");
}

TEST_F(GatewayLink, ListsThePluginsOfWhoeverAnswers) {
  auto& mail = open_inbox();
  const auto scheduler = probe(mail);
  join(scheduler);
  messages::envelope from;
  from.kind = messages::sender_kind::scheduler;
  from.sender = "test";
  send(scheduler, link_->actor(), from, messages::hello_answer{});
  std::vector<result<gateway::plugins_reports>> got;
  const auto ask = [&] {
    link_->list_plugins(node_id{"b"}, 2'000'000,
                        [&](auto reports) { got.push_back(std::move(reports)); });
    run();
    messages::query_answer answer;
    answer.number = mail.queries.back().number;
    return answer;
  };
  auto answer = ask();
  EXPECT_EQ(mail.queries.back().plugins->node, node_id{"b"});
  answer.plugins.resize(2);
  answer.plugins[0].node = node_id{"a"};
  answer.plugins[1].node = node_id{"b"};
  send(scheduler, link_->actor(), from, answer);
  answer.plugins = {answer.plugins[1]};
  answer.plugins[0].answered = true;
  answer.plugins[0].plugins.emplace_back().name = "fake";
  send(scheduler, link_->actor(), from, answer);
  EXPECT_TRUE(got.empty());
  advance_steadily(3'000'000);
  ASSERT_EQ(got.size(), 1u);
  ASSERT_TRUE(got[0].ok());
  EXPECT_FALSE((*got[0])[0].answered);
  EXPECT_EQ((*got[0])[1].plugins[0].name, "fake");
  auto older = ask(); // It takes the question for one about the snapshot.
  older.snapshot.emplace();
  send(scheduler, link_->actor(), from, older);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[1].failure().code, "unsupported");
}

TEST_F(GatewayLink, RefusesMoreQueriesThanTheLimit) {
  auto& mail = open_inbox();
  join(probe(mail));
  std::size_t refused = 0;
  for (std::size_t i = 0; i <= limits::queries_max; ++i)
    link_->snapshot([&](const result<core::snapshot>& got) { refused += got.ok() ? 0 : 1; });
  EXPECT_EQ(refused, 1u);
}

TEST_F(GatewayLink, RefusesMoreOpenRequestsThanTheLimit) {
  auto& mail = open_inbox();
  join(probe(mail));
  const auto listener = std::make_shared<heard>();
  for (std::size_t i = 1; i <= 4; ++i)
    link_->submit(request(i), listener);
  ASSERT_EQ(listener->rejects.size(), 1u);
  EXPECT_EQ(listener->rejects[0].http_status, 429);
}

TEST_F(GatewayLink, PassesRecordsAndNotesToSubscribers) {
  join(real_scheduler());
  std::vector<core::command> told;
  link_->subscribe([&](const core::command& what) { told.push_back(what); });
  const auto listener = std::make_shared<heard>();
  link_->submit(request(1), listener);
  run();
  EXPECT_EQ(std::count_if(told.begin(), told.end(),
                          [](const auto& what) {
                            return std::holds_alternative<core::record_request>(what);
                          }),
            1);
}

/// A new scheduler's time begins near 0, whatever the one before had reached.
TEST_F(GatewayLink, TellsAnotherSchedulerWhatIsLeftOfARequestsTime) {
  now_ = 700'000'000'000; // More than a week.
  auto& mail = open_inbox();
  const auto scheduler = probe(mail);
  join(scheduler);
  messages::envelope from;
  from.kind = messages::sender_kind::scheduler;
  from.sender = "test";
  messages::hello_answer welcome;
  welcome.scheduler_now = now_;
  send(scheduler, link_->actor(), from, welcome);
  post_from_outside(link_->actor(), link_lost{});
  run();
  auto hurried = request(1);
  hurried.deadline_us = 2'000'000;
  hurried.wait_us = 8'000'000;
  link_->submit(hurried, std::make_shared<heard>());
  advance(1'500'000);
  EXPECT_TRUE(mail.events_of<core::request_submitted>().empty());
  welcome.scheduler_now = 40'000;
  send(scheduler, link_->actor(), from, welcome);
  const auto told = mail.events_of<core::request_restored>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].meta.deadline_us, 500'000);
  EXPECT_EQ(told[0].meta.wait_us, 6'500'000);
}

TEST_F(GatewayLink, ForgetsACancelledRequest) {
  auto& mail = open_inbox();
  const auto scheduler = probe(mail);
  join(scheduler);
  const auto listener = std::make_shared<heard>();
  link_->submit(request(1), listener);
  link_->report(core::request_cancelled{request(1).id, "the client left"});
  run();
  EXPECT_EQ(mail.events_of<core::request_submitted>().size(), 1u);
  EXPECT_EQ(mail.events_of<core::request_cancelled>().size(), 1u);
}

} // namespace
} // namespace consort::actors
