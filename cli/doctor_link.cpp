// SPDX-License-Identifier: Apache-2.0
// The part of `doctor` that talks to a scheduler. It dials with the same connector as a node, so
// that what fails here fails there; what differs is the hello, which claims to be a scheduler's:
// the guard judges version, cluster and token first, and only then refuses the role.
#include "cli/config.hpp"
#include "cli/doctor_checks.hpp"
#include "links/connector.hpp"
#include "messages/codec.hpp"
#include "scheduler/units.hpp"

#include <boost/asio/executor_work_guard.hpp>

#include <ctime>
#include <future>
#include <map>
#include <thread>
#include <tuple>

namespace consort::cli {

namespace {

using clock_type = std::chrono::steady_clock;

/// What became of one try.
struct conversation {
  error end; ///< Why it ended; `wrong_role` from the other end is success.
  bool linked = false;
  std::int64_t skew_s = 0; ///< How far this host's clock is ahead of the scheduler's.
  bool told_time = false;
  clock_type::time_point began, up, over;
};

/// Collects one conversation from the connector's thread.
struct listener {
  conversation seen;
  std::shared_ptr<links::link> link;
  std::promise<conversation> told;
  bool done = false;

  /// The refusal that ends it says what time it is there.
  void hear(const messages::frame& frame) {
    if (frame.kind != messages::frame_kind::hello_answer)
      return;
    const auto answer = messages::decode_hello_answer(frame.payload);
    if (!answer || answer->body.wall_clock_s == 0)
      return;
    seen.skew_s = std::time(nullptr) - answer->body.wall_clock_s;
    seen.told_time = true;
  }

  void finish(const error& why) {
    if (std::exchange(done, true))
      return; // The connector dials on; only the first try counts.
    seen.end = why;
    seen.over = clock_type::now();
    told.set_value(seen);
  }
};

result<messages::frame> make_hello(const link_question& question) {
  const messages::envelope from{messages::protocol_version, messages::sender_kind::scheduler,
                                "doctor", incarnation{1}, 1};
  auto payload
      = messages::encode(from, messages::hello{question.cluster, question.token, "consort doctor"});
  if (!payload)
    return payload.failure();
  return messages::frame{messages::frame_kind::hello, std::move(*payload)};
}

result<conversation> converse(const link_question& question) {
  const auto address = parse_listen(question.join);
  if (!address)
    return error{recovery::refuse, "bad_address", "`" + question.join + "` is not HOST:PORT"};
  const auto hello = make_hello(question);
  if (!hello)
    return hello.failure();
  links::connector_options options;
  std::tie(options.host, options.port) = *address;
  options.credentials = question.credentials;
  const auto heard = std::make_shared<listener>();
  auto answer = heard->told.get_future();
  boost::asio::io_context io;
  auto work = boost::asio::make_work_guard(io);
  heard->seen.began = clock_type::now();
  auto dialling = links::connector::start(
      io, std::move(options),
      [heard, &hello](const std::shared_ptr<links::link>& link) {
        if (heard->done)
          return;
        heard->seen.linked = true;
        heard->seen.up = clock_type::now();
        heard->link = link;
        link->start(
            {[heard](const messages::frame& frame) { heard->hear(frame); }, [](const error&) {}});
        link->send(*hello);
      },
      [heard](const error& why) { heard->finish(why); });
  if (!dialling)
    return dialling.failure();
  std::thread runs([&io] { io.run(); });
  const bool came = answer.wait_for(question.wait) == std::future_status::ready;
  (*dialling)->stop();
  work.reset();
  io.stop();
  runs.join();
  heard->link.reset();
  if (!came)
    heard->finish({recovery::retry_later, "no_answer", question.join + " said nothing in time"});
  return answer.get();
}

/// Steps of a conversation, in order. A failure belongs to one; those before it went well.
enum class step : std::uint8_t { reach, tls, certificate, protocol, cluster, token, done };

struct meaning {
  step where;
  const char* next;
};

/// What each code of links/ says about a step, and what to do.
const std::map<std::string, meaning>& meanings() {
  static const std::map<std::string, meaning> table = {
      {"bad_address", {step::reach, "pass --join HOST:PORT as the scheduler prints it"}},
      {"address_unprotected",
       {step::reach, "pass --cert FOLDER: beyond this machine links need certificates"}},
      {"no_such_host", {step::reach, "check the name, or use the address"}},
      {"cannot_connect",
       {step::reach, "is `consort scheduler --link-listen` running there, and its port open in the "
                     "firewall?"}},
      {"handshake_timeout",
       {step::tls, "something else listens there, or a firewall drops what is said"}},
      {"tls_failed",
       {step::tls, "theirs: no TLS there; start the scheduler with --cert, or check the port"}},
      {"no_certificate", {step::tls, "theirs: start the scheduler with --cert FOLDER"}},
      {"foreign_certificate",
       {step::tls, "theirs or ours: both need certificates of the same `consort cert init`"}},
      {"certificate_expired", {step::tls, "theirs: consort cert renew the scheduler's"}},
      {"certificate_refused",
       {step::certificate, "ours: it is expired or of another authority; see `consort cert show`"}},
      {"certificate_revoked", {step::certificate, "ours: consort cert renew NAME"}},
      {"held_off",
       {step::certificate, "ours: it is heard again within a minute; the log of the process that "
                           "bears this name says what it did"}},
      {"frame_version",
       {step::protocol, "run the same version of consort on both hosts (consort --version)"}},
      {"bad_frame", {step::protocol, "no scheduler of ours answers there, or it wants --cert"}},
      {"wrong_cluster",
       {step::cluster, "use a certificate or configuration of that cluster, or --cluster"}},
      {"wrong_token",
       {step::token, "run `consort token` on the scheduler's host and pass it with --token"}},
      {"wrong_role", {step::done, ""}},
  };
  return table;
}

/// A wrong role is the scheduler's last word only when it was said about our hello.
bool went_well(const conversation& seen) {
  return seen.linked && seen.end.code == "wrong_role";
}

meaning meaning_of(const conversation& seen, const link_question& question) {
  if (seen.end.code == "wrong_role" && !seen.linked)
    return {step::tls,
            "theirs: start the scheduler with a certificate of `consort cert scheduler`"};
  const auto found = meanings().find(seen.end.code);
  if (found != meanings().end())
    return found->second;
  if (seen.linked && !question.credentials) // TLS is what begins otherwise.
    return {step::protocol, "it may want a certificate: pass --cert FOLDER; or that is not the "
                            "scheduler's link port"};
  if (seen.linked) // Cut without a word we know: too many connections, or no scheduler at all.
    return {step::protocol, "is that the scheduler's link port, started with --cert as here? Its "
                            "log says why it refuses"};
  return {step::reach, "look at the scheduler's log"};
}

std::string elapsed(clock_type::time_point from, clock_type::time_point to) {
  return format_duration(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

check our_certificate(links::peer_role role) {
  if (role == links::peer_role::node || role == links::peer_role::gateway)
    return {"link: our certificate", verdict::ok, "accepted", {}};
  return {"link: our certificate", verdict::warn,
          "accepted, but a" + std::string(role == links::peer_role::admin ? "n " : " ")
              + std::string(links::name_of(role)) + "'s cannot join",
          "consort cert node NAME, or gateway, and pass its folder with --cert"};
}

/// A row for each step; `link_question` decides which exist.
std::vector<std::pair<step, check>> rows_of(const link_question& question) {
  std::vector<std::pair<step, check>> rows;
  rows.push_back({step::reach, {"link: reach", verdict::ok, question.join + " answers", {}}});
  if (question.credentials) {
    rows.push_back(
        {step::tls, {"link: TLS", verdict::ok, "its certificate is of our authority", {}}});
    rows.push_back({step::certificate, our_certificate(question.credentials->self().role)});
  }
  rows.push_back({step::protocol,
                  {"link: protocol",
                   verdict::ok,
                   "version " + std::to_string(messages::protocol_version),
                   {}}});
  rows.push_back({step::cluster, {"link: cluster", verdict::ok, question.cluster, {}}});
  rows.push_back({step::token, {"link: token", verdict::ok, "the cluster's", {}}});
  return rows;
}

check round_trip(const conversation& seen) {
  check made{"link: round trip",
             verdict::ok,
             elapsed(seen.up, seen.over) + ", connected in " + elapsed(seen.began, seen.up),
             {}};
  if (seen.over - seen.up > round_trip_slow) {
    made.how = verdict::warn;
    made.next = "slow: look at the network, or at the load of either host";
  }
  return made;
}

} // namespace

std::vector<check> check_link(const link_question& question) {
  auto talk = converse(question);
  if (!talk) {
    const auto known = meanings().find(talk.failure().code);
    return {{"link: reach", verdict::fail, talk.failure().message,
             known == meanings().end() ? "look at the scheduler's log" : known->second.next}};
  }
  const bool fine = went_well(*talk);
  const auto failed = fine ? meaning{step::done, ""} : meaning_of(*talk, question);
  std::vector<check> checks;
  for (auto& [where, row] : rows_of(question)) {
    if (where == failed.where) {
      row.how = verdict::fail;
      row.found
          = where == step::token && question.token.empty() ? "none was given" : talk->end.message;
      row.next = failed.next;
    }
    if (where <= failed.where)
      checks.push_back(std::move(row));
  }
  if (talk->told_time)
    checks.insert(checks.begin() + 1, check_skew("link: clock", "the scheduler's", talk->skew_s));
  if (fine)
    checks.push_back(round_trip(*talk));
  return checks;
}

} // namespace consort::cli
