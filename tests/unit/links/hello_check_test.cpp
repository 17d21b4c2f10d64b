// SPDX-License-Identifier: Apache-2.0
#include "links/hello_check.hpp"

#include "links/session.hpp"
#include "tests/unit/links/hello_bytes.hpp"

#include <gmock/gmock.h>

namespace consort::links {
namespace {

using namespace testing_support;
using messages::sender_kind;

hello_rules rules(std::optional<peer_identity> certified = std::nullopt) {
  return {cluster, token, std::move(certified)};
}

peer_identity certificate(peer_role role, std::string name) {
  return {cluster, role, std::move(name), "1f", 99};
}

std::string code_of(const result<peer_identity>& judged) {
  return judged ? "" : judged.failure().code;
}

TEST(HelloCheck, WithoutCertificatesTheHelloSaysWho) {
  const auto judged = judge_hello(hello_frame(sender_kind::gateway, "front"), rules());
  ASSERT_TRUE(judged) << judged.failure().message;
  EXPECT_EQ(*judged, (peer_identity{cluster, peer_role::gateway, "front", "", 0}));
}

TEST(HelloCheck, WithACertificateTheHelloMustAgree) {
  const auto mine = certificate(peer_role::node, "edge-1");
  const auto judged = judge_hello(hello_frame(), rules(mine));
  ASSERT_TRUE(judged);
  EXPECT_EQ(*judged, mine);
  EXPECT_EQ(code_of(judge_hello(hello_frame(), rules(certificate(peer_role::node, "edge-2")))),
            "wrong_name");
  for (const auto role : {peer_role::gateway, peer_role::scheduler, peer_role::admin})
    EXPECT_EQ(code_of(judge_hello(hello_frame(), rules(certificate(role, "edge-1")))),
              "wrong_role");
  EXPECT_EQ(code_of(judge_hello(hello_frame(sender_kind::gateway, "edge-1"), rules(mine))),
            "wrong_role")
      << "a node's certificate used as a gateway's";
}

TEST(HelloCheck, ASchedulerNeverDials) {
  EXPECT_EQ(code_of(judge_hello(hello_frame(sender_kind::scheduler, "s"), rules())), "wrong_role");
}

TEST(HelloCheck, ClusterComesBeforeToken) {
  EXPECT_EQ(code_of(judge_hello(hello_frame(sender_kind::node, "n", "other", "bad"), rules())),
            "wrong_cluster");
  EXPECT_NE(judge_hello(hello_frame(sender_kind::node, "n", "other"), rules())
                .failure()
                .message.find("not `other`: join it with --cluster"),
            std::string::npos);
  for (const auto* wrong : {"", "bad", "join-tokeN", "join-token2"})
    EXPECT_EQ(code_of(judge_hello(hello_frame(sender_kind::node, "n", cluster, wrong), rules())),
              "wrong_token");
}

TEST(HelloCheck, APayloadThatIsNoHelloIsABadFrame) {
  EXPECT_EQ(code_of(judge_hello({frame_kind::hello, text_bytes("nonsense")}, rules())),
            "bad_frame");
  EXPECT_EQ(code_of(judge_hello({frame_kind::hello, {}}, rules())), "bad_frame");
  EXPECT_EQ(code_of(judge_hello({frame_kind::hello, event_frame().payload}, rules())), "bad_frame");
}

TEST(HelloCheck, TheFirstByteTellsRubbish) {
  const auto tls = [](std::string_view bytes) { return judge_opening(bytes, true); };
  const auto bare = [](std::string_view bytes) { return judge_opening(bytes, false); };
  for (const auto* good : {"\x16", "\x16\x03", "\x16\x03\x01\x02"})
    EXPECT_EQ(tls(good), std::nullopt);
  for (const auto* bad : {"G", "\x15", "\x16\x02", "CSRT", "\x80\x2e"})
    EXPECT_EQ(tls(bad)->code, "not_tls");
  for (const auto* good : {"C", "CS", "CSR", "CSRT"})
    EXPECT_EQ(bare(good), std::nullopt);
  for (const auto* bad : {"G", "CX", "CSRX", "\x16\x03\x01"})
    EXPECT_EQ(bare(bad)->code, "bad_frame");
}

TEST(HelloCheck, AWholeFirstRecordIsWaitedFor) {
  const auto wanted = [](std::string_view bytes) { return opening_wanted(bytes, true); };
  EXPECT_EQ(wanted("\x16"), 5U);
  EXPECT_EQ(wanted("\x16\x03\x01\x02"), 5U);
  EXPECT_EQ(wanted(std::string_view("\x16\x03\x01\x02\x00", 5)), 5U + 512U);
  EXPECT_EQ(wanted(std::string_view("\x16\x03\x01\x40\x00", 5)), 5U + 16'384U);
  EXPECT_EQ(opening_wanted(std::string_view("C"), false), 1U);
  for (const auto record :
       {std::string_view("\x16\x03\x01\x40\x01", 5), std::string_view("\x16\x03\x01\xff\xff", 5),
        std::string_view("\x16\x03\x01\x00\x00", 5)})
    EXPECT_EQ(judge_opening(record, true)->code, "not_tls") << "no record has that size";
}

TEST(HelloCheck, ARefusalReadsAsOneOnTheOtherSide) {
  const error why{recovery::refuse, "wrong_token", "the join token is not this cluster's"};
  session reader(limits::limit_set{}, 0);
  reader.admit(peer_role::scheduler, nullptr);
  reader.feed(refusal_bytes(why, cluster, incarnation{5}, 1'795'884'643), 0);
  const auto frame = reader.next(0);
  ASSERT_TRUE(frame);
  ASSERT_TRUE(*frame);
  const auto answer = messages::decode_hello_answer((*frame)->payload);
  ASSERT_TRUE(answer) << answer.failure().message;
  EXPECT_EQ(answer->body.refusal, why);
  EXPECT_EQ(answer->from.sender, cluster);
  EXPECT_EQ(answer->body.wall_clock_s, 1'795'884'643) << "which `doctor` compares";
  EXPECT_TRUE(answer->body.ticket_key.empty()) << "no secret for a stranger";
}

TEST(HelloCheck, RubbishGetsNoAnswer) {
  EXPECT_FALSE(understands_answers({recovery::refuse, "bad_frame", ""}));
  EXPECT_FALSE(understands_answers({recovery::refuse, "not_tls", ""}));
  EXPECT_TRUE(understands_answers({recovery::refuse, "frame_version", ""}));
}

} // namespace
} // namespace consort::links
