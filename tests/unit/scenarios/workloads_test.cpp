// SPDX-License-Identifier: Apache-2.0
// Where requests come from: traces of every known format, bad ones, and generators.
#include "scenarios/limits.hpp"
#include "scenarios/sim/simulation.hpp"
#include "scenarios/workloads/flat_json.hpp"
#include "scenarios/workloads/servegen.hpp"
#include "scenarios/workloads/synthetic.hpp"
#include "scenarios/workloads/trace_reader.hpp"

#include <lzma.h>

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>

namespace consort::sim {
namespace {

namespace fs = std::filesystem;

class WorkloadsTest : public testing::Test {
protected:
  WorkloadsTest() {
    folder_ = fs::temp_directory_path()
              / ("workloads-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed())
                 + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  ~WorkloadsTest() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const auto path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  /// All of a source, or the error that ended it.
  static std::vector<arrival> drain(arrival_source& source, std::string* wrong = nullptr) {
    std::vector<arrival> made;
    for (;;) {
      auto next = source.next();
      if (!next) {
        if (wrong)
          *wrong = next.failure().message;
        else
          ADD_FAILURE() << next.failure().message;
        return made;
      }
      if (!*next)
        return made;
      made.push_back(**next);
    }
  }

  std::vector<arrival> read(const std::string& text) {
    auto opened = trace_reader::open(write("trace", text));
    EXPECT_TRUE(opened.ok()) << opened.failure().message;
    return drain(**opened);
  }

  std::string complaint(const std::string& text) {
    auto opened = trace_reader::open(write("trace", text));
    if (!opened)
      return opened.failure().message;
    std::string wrong;
    drain(**opened, &wrong);
    return wrong;
  }

  fs::path folder_;
};

std::string compressed(const std::string& text) {
  std::string made(lzma_stream_buffer_bound(text.size()), '\0');
  std::size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(
                1, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const std::uint8_t*>(text.data()),
                text.size(), reinterpret_cast<std::uint8_t*>(made.data()), &size, made.size()),
            LZMA_OK);
  made.resize(size);
  return made;
}

TEST_F(WorkloadsTest, ReadsAzuresTracesWithTheirDates) {
  const auto made = read("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                         "2023-11-16 18:15:46.6805900,374,44\r\n"
                         "2023-11-16 18:15:50.9951690,396,109\n"
                         "2023-11-17 00:00:00.0000000,1,0\n");
  ASSERT_EQ(made.size(), 3U);
  EXPECT_EQ(made[0].at, 0);
  EXPECT_EQ(made[1].at, 4'314'579);
  EXPECT_EQ(made[1].prompt_tokens, 396U);
  EXPECT_EQ(made[1].output_tokens, 109U);
  EXPECT_EQ(made[2].at, 20'653'319'410);
  EXPECT_EQ(made[2].output_tokens, 1U);
}

TEST_F(WorkloadsTest, ReadsDatesWithAZone) {
  for (const auto* zone : {"Z", "+00:00", "+0000", ""}) {
    const auto made = read("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                           "2024-05-10 23:59:59.5"
                           + std::string(zone)
                           + ",2162,5\n"
                             "2024-05-11T00:00:01.0"
                           + zone + ",2399,6\n");
    ASSERT_EQ(made.size(), 2U) << zone;
    EXPECT_EQ(made[1].at, 1'500'000) << zone;
  }
  const auto made = read("timestamp,prompt_tokens,output_tokens\n"
                         "2024-05-10 12:00:00+02:30,1,1\n2024-05-10 08:00:00-0130,1,1\n");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[1].at, 0) << "the same moment, in a column that mostly holds numbers";
  for (const auto* zone : {"+2", "+02:", "+02:xx", "UTC", "-:00", "+002:30"})
    EXPECT_NE(complaint("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 12:00:00"
                        + std::string(zone) + ",1,1\n")
                  .find("is not a time"),
              std::string::npos)
        << zone;
}

TEST_F(WorkloadsTest, ReadsCsvAsSpreadsheetsWriteIt) {
  const auto made
      = read("\xEF\xBB\xBF\"timestamp_ms\", \"prompt\" ,input_tokens,\"output_tokens\"\r\n"
             "0,\"a, \"\"b\"\", c\", 3 ,\"4\"\r\n"
             "5,,\"5\",6\r\n");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].prompt_tokens, 3U);
  EXPECT_EQ(made[0].output_tokens, 4U);
  EXPECT_EQ(made[1].prompt_tokens, 5U);
  EXPECT_EQ(made[1].at, 5'000);
  EXPECT_NE(complaint("timestamp_ms,input_tokens,output_tokens\n0,\"3,4\n").find("has 2 columns"),
            std::string::npos)
      << "a quote that nobody closes";
}

TEST_F(WorkloadsTest, ReadsBurstGpt) {
  const auto made = read("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                         "5,ChatGPT,472,18,490,Conversation log\n45,GPT-4,1087,230,1317,API log\n");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[1].at, 40'000'000);
  EXPECT_EQ(made[1].prompt_tokens, 1087U);
  EXPECT_EQ(made[1].output_tokens, 230U);
}

TEST_F(WorkloadsTest, AFolderIsNoTrace) {
  const auto opened = trace_reader::open(folder_.string());
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.failure().message.find("is a folder"), std::string::npos);
}

TEST_F(WorkloadsTest, ReadsMooncakesPrefixesAndDropsTheBlockThatIsNotFull) {
  const auto made
      = read(R"({"timestamp": 5, "input_length": 1200, "output_length": 7, "hash_ids": [4, 9, 11]}
{"timestamp": 12, "input_length": 100, "output_length": 3, "hash_ids": [12]})");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].prefix, (std::vector<std::uint64_t>{4, 9}));
  EXPECT_EQ(made[0].prefix_tokens, 512U);
  EXPECT_EQ(made[1].at, 7'000);
  EXPECT_TRUE(made[1].prefix.empty());
}

TEST_F(WorkloadsTest, ReadsOpenAiStyleLinesWithUsageAndWithout) {
  const auto made = read(
      R"({"created":1700000000,"model":"m","usage":{"prompt_tokens":12,"completion_tokens":34}}
{"created":1700000002,"body":{"messages":[{"content":"twelve bytes and more"}],"max_tokens":50}})");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].prompt_tokens, 12U);
  EXPECT_EQ(made[0].output_tokens, 34U);
  EXPECT_EQ(made[1].at, 2'000'000);
  EXPECT_EQ(made[1].prompt_tokens, 6U);
  EXPECT_EQ(made[1].output_tokens, 50U);
}

/// As clients send them: content in parts, the Responses API, and all names of the longest answer.
TEST_F(WorkloadsTest, ReadsEveryShapeOfAnOpenAiRequest) {
  const std::vector<std::pair<std::string, std::pair<unsigned, unsigned>>> bodies{
      {R"("messages":[{"role":"system","content":"twelve bytes"},{"role":"user","content":[)"
       R"({"type":"text","text":"and twenty more bytes"},{"type":"image_url","image_url":)"
       R"({"url":"data:image/png;base64,AAAA"}}]}],"max_completion_tokens":77)",
       {9, 77}},
      {R"("body":{"messages":[{"content":[{"type":"text","text":"eight by"}]}],"max_tokens":5})",
       {2, 5}},
      {R"("messages":[{"content":"four"}],"max_tokens":9,"max_completion_tokens":8)", {1, 8}},
      {R"("instructions":"be brief","input":"eight by","max_output_tokens":70)", {4, 70}},
      {R"("input":[{"role":"user","content":[{"type":"input_text","text":"four"}]},)"
       R"({"role":"user","content":"four"}])",
       {2, 128}},
      {R"("prompt":["four","four"],"max_tokens":3)", {2, 3}},
      {R"("messages":[{"content":"counted"}],"usage":{"input_tokens":40,"output_tokens":6})",
       {40, 6}},
      {R"("prompt":"counted in part","input_length":30,"max_tokens":4)", {30, 4}}};
  for (const auto& [body, tokens] : bodies) {
    const auto made = read(R"({"created_at":1700000000,)" + body + "}");
    ASSERT_EQ(made.size(), 1U) << body;
    EXPECT_EQ(made[0].prompt_tokens, tokens.first) << body;
    EXPECT_EQ(made[0].output_tokens, tokens.second) << body;
  }
  EXPECT_NE(complaint(R"({"created":1700000000,"max_tokens":5})").find("or as text in `messages`"),
            std::string::npos);
}

/// The same column means the same in both formats: a Unix time by its size, else what it counts.
TEST_F(WorkloadsTest, TimesMeanTheSameInCsvAndInJsonLines) {
  struct clock {
    const char *name, *first, *second;
    time_us apart;
  };
  const std::vector<clock> clocks{
      {"timestamp", "0", "2000", 2'000'000},
      {"timestamp", "600000000", "600002000", 2'000'000},
      {"timestamp", "1700000000", "1700000002.5", 2'500'000},
      {"timestamp", "1700000000000", "1700000002500", 2'500'000},
      {"timestamp", "1700000000000000", "1700000002500000", 2'500'000},
      {"timestamp", "1700000000000000000", "1700000002500000000", 2'500'000},
      {"created", "1700000000", "1700000002", 2'000'000},
      {"created", "1700000000000", "1700000002000", 2'000'000},
      {"Timestamp", "5", "45", 40'000'000},
      {"arrived_at", "0.25", "1.5", 1'250'000},
      {"timestamp_ms", "1700000000000", "1700000002500", 2'500'000},
      {"time_s", "1700000000", "1700000002", 2'000'000},
      {"timestamp", "999999999", "1000000001", 2'000}}; // One unit for all that a file holds.
  for (const auto& one : clocks) {
    const std::string name = one.name;
    const auto csv = read(name + ",input_tokens,output_tokens\n" + one.first + ",1,1\n" + one.second
                          + ",1,1\n");
    const auto line = [&](const std::string& at) {
      return "{\"" + name + "\":" + at + R"(,"input_tokens":1,"output_tokens":1})" + "\n";
    };
    const auto json = read(line(one.first) + line(one.second));
    ASSERT_EQ(csv.size(), 2U) << name;
    ASSERT_EQ(json.size(), 2U) << name;
    EXPECT_NEAR(static_cast<double>(csv[1].at), static_cast<double>(one.apart), 1)
        << name << ' ' << one.first;
    EXPECT_EQ(json[1].at, csv[1].at) << name << ' ' << one.first;
  }
  const auto dates = read(
      R"({"timestamp":"2023-11-16T18:15:46Z","input_tokens":1,"output_tokens":1}
{"timestamp":"2023-11-16T18:15:48.5Z","input_tokens":1,"output_tokens":1})");
  ASSERT_EQ(dates.size(), 2U);
  EXPECT_EQ(dates[1].at, 2'500'000);
  EXPECT_NE(complaint(R"({"timestamp":"soon","input_tokens":1,"output_tokens":1})")
                .find("trace:1: timestamp: `soon` is not a time"),
            std::string::npos);
}

TEST_F(WorkloadsTest, ReadsWhatARunOfOursWrote) {
  const auto made = read("request,model,submitted_us,prompt_tokens,completion_tokens\n"
                         "req-1,m,100,5,6\nreq-2,m,250,7,8\n");
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[1].at, 150);
  EXPECT_EQ(made[1].prompt_tokens, 7U);
}

TEST_F(WorkloadsTest, ReadsXzAndSaysWhenItIsCutOffOrDamaged) {
  std::string text = "timestamp_ms,prompt_tokens,output_tokens\n";
  for (int line = 0; line < 20'000; ++line)
    text += std::to_string(line * 10) + "," + std::to_string(line % 977 + 1) + ",2\n";
  auto packed = compressed(text);
  const auto made = read(packed);
  ASSERT_EQ(made.size(), 20'000U);
  EXPECT_EQ(made.back().at, 199'990'000);
  for (const auto size : {packed.size() / 2, packed.size() - 1}) {
    // Before anything is read: a run of hours need not come to the place to find out.
    const auto opened = trace_reader::open(write("half.xz", packed.substr(0, size)));
    ASSERT_FALSE(opened.ok()) << size;
    EXPECT_NE(opened.failure().message.find("half.xz: the xz stream is truncated"),
              std::string::npos)
        << opened.failure().message;
  }
  EXPECT_EQ(read(packed + std::string(4, '\0')).size(), 20'000U) << "padding belongs to a stream";
  for (const auto& more : {std::string("\n"), std::string("more"), std::string(4, '\0') + "x"})
    EXPECT_NE(complaint(packed + more).find("what follows its xz data is none"), std::string::npos);
  EXPECT_NE(complaint(packed + packed.substr(0, 40)).find("the xz stream is truncated"),
            std::string::npos)
      << "a second stream that is not whole";
  EXPECT_EQ(read(packed + compressed("200000,1,1\n")).size(), 20'001U);
  EXPECT_NE(complaint(packed.substr(0, packed.size() / 2) + "YZ").find("xz stream is"),
            std::string::npos)
      << "what only looks whole";
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  EXPECT_NE(complaint(packed).find("xz stream is"), std::string::npos);
  // By its name it should have been compressed.
  for (const auto& other : {std::string(), packed.substr(0, 3), "x" + packed}) {
    const auto opened = trace_reader::open(write("t.csv.xz", other));
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(
        opened.failure().message.find("t.csv.xz: is not xz data, or its beginning is damaged"),
        std::string::npos)
        << opened.failure().message;
  }
}

TEST_F(WorkloadsTest, NamesWhatElseATraceIsCompressedWith) {
  const std::vector<std::pair<std::string, const char*>> beginnings{
      {std::string("\x1F\x8B\x08\x00\x00", 5), "compressed with gzip, which is not read: `gunzip`"},
      {std::string("\x28\xB5\x2F\xFD\x24"), "compressed with zstd"},
      {"BZh91AY&SY", "compressed with bzip2"},
      {std::string("PK\x03\x04\x14"), "compressed with zip"}};
  for (const auto& [bytes, said] : beginnings) {
    EXPECT_NE(complaint(bytes).find(said), std::string::npos) << complaint(bytes);
    const auto opened = trace_reader::open(write("t.csv.xz", bytes));
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.failure().message.find(said), std::string::npos) << "whatever its name";
  }
}

TEST_F(WorkloadsTest, NamesFileLineAndFieldOfWhatIsWrong) {
  const std::string header = "timestamp_ms,prompt_tokens,output_tokens\n";
  const auto expect = [&](const std::string& text, const std::string& part) {
    const auto said = complaint(text);
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  expect(header + "5,1,1\n4,1,1\n", "trace:3: timestamp_ms: goes back in time");
  expect(header + "5,nan,1\n", "trace:2: prompt_tokens: `nan` is not a number");
  expect(header + "5,1,-2\n", "trace:2: output_tokens: must be between 0 and 1000000");
  expect(header + "5,2000000,1\n", "trace:2: prompt_tokens: must be between");
  expect(header + "inf,1,1\n", "trace:2: timestamp_ms: `inf` is not a time");
  expect(header + "-1,1,1\n", "trace:2: timestamp_ms: `-1` is not a time");
  expect(header + "5,1\n", "trace:2: has 2 columns");
  expect(header + "5,1,1,\n6,1,1,9\n", "trace:3: has 4 columns, the header 3: put cells");
  expect(header + "9100000000000,1,1\n", "trace:2: timestamp_ms: `9100000000000` is not a time");
  expect(header + "0,1,1\n700000000,1,1\n", "trace:3: timestamp_ms: is more than a week");
  expect("a,b,c\n1,2,3\n", "no column that could be time");
  expect("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", "`yesterday` is not a time");
  expect("", "the trace is empty");
  expect("{\"timestamp\": 1, \"input_length\": 3}\n", "trace:1: ");
  expect("{\"timestamp\": 1, \"input_length\": }\n", "is not JSON from column 34");
  for (const auto* word : {"NaN", "nan", "Infinity", "inf", "-inf", "+1", "1e999"})
    expect("{\"timestamp\": " + std::string(word) + ", \"input_length\": 1}\n",
           "trace:1: is not JSON from column 15 on");
  const auto timed = [](const std::string& times) {
    return "{" + times + R"(, "input_length": 1, "output_length": 1})" + "\n";
  };
  expect(timed(R"("timestamp": -1)"), "trace:1: timestamp: is negative");
  expect(timed(R"("timestamp_ms": 9100000000000)"), "timestamp_ms: is too large for a time");
  expect(timed(R"("timestamp": "soon", "created": "late")"), "trace:1: created: `late` is not");
  expect("{\"input_length\": 1, \"output_length\": 1}\n", "timestamp: is missing");
  for (const auto* hashes : {"[1, \"x\"]", "[-3]", "[1.5]", "[[1]]", "[null]"})
    expect(R"({"timestamp": 1, "input_length": 900, "output_length": 1, "hash_ids": )"
               + std::string(hashes) + "}\n",
           "trace:1: hash_ids: must be whole numbers");
  for (const auto* hashes : {"\"1,2\"", "5", "\"\""})
    expect(R"({"timestamp": 1, "input_length": 900, "output_length": 1, "hash_ids": )"
               + std::string(hashes) + "}\n",
           "trace:1: hash_ids: must be a list of whole numbers");
  EXPECT_FALSE(trace_reader::open((folder_ / "none").string()).ok());
}

TEST_F(WorkloadsTest, NamesColumnsQuotesAndDatesThatCannotBe) {
  const auto expect = [&](const std::string& text, const std::string& part) {
    const auto said = complaint(text);
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  expect("timestamp_ms,prompt_tokens,prompt_tokens,output_tokens\n0,1,2,3\n",
         "trace:1: prompt_tokens: is the name of two columns");
  expect("timestamp_ms,prompt_tokens,output_tokens\n0,\"1,1\n",
         "trace:2: has 2 columns, the header more: a quote is not closed");
  const auto on = [](const std::string& day) {
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + day + " 18:15:46.68,1,1\n";
  };
  for (const auto* day : {"2023-02-29", "2023-04-31", "1900-02-29", "2023-13-01", "2023-00-01"})
    expect(on(day), "trace:2: TIMESTAMP: `" + std::string(day) + " 18:15:46.68` is not a time");
  for (const auto* day : {"2024-02-29", "2000-02-29", "2023-12-31"})
    EXPECT_EQ(complaint(on(day)), "");
}

TEST_F(WorkloadsTest, ALensSkipsTakesSpeedsUpRepeatsAndSplices) {
  const auto first
      = write("a", "time_s,prompt_tokens,output_tokens\n0,1,10\n1,2,10\n2,3,10\n3,4,10\n");
  const auto second = write("b", "time_s,prompt_tokens,output_tokens\n0,7,10\n1,8,10\n2,9,10\n");
  trace_lens lens;
  lens.skip_us = limits::second_us;
  lens.take_us = 2 * limits::second_us;
  lens.speed = 2;
  lens.repeat = 2;
  lens.output_scale = 0.5;
  auto opened = open_traces({first, second}, lens);
  ASSERT_TRUE(opened.ok());
  std::vector<std::pair<time_us, std::uint32_t>> seen;
  for (const auto& one : drain(**opened)) {
    seen.emplace_back(one.at, one.prompt_tokens);
    EXPECT_EQ(one.output_tokens, 5U);
  }
  const std::vector<std::pair<time_us, std::uint32_t>> expected{
      {0, 2},         {500'000, 3},   {1'000'000, 8}, {1'500'000, 9},
      {2'000'000, 2}, {2'500'000, 3}, {3'000'000, 8}, {3'500'000, 9}};
  EXPECT_EQ(seen, expected);
}

TEST_F(WorkloadsTest, ALineOfTracesIsBounded) {
  const auto said = complaint("{\"a\": \"" + std::string(line_source::line_bytes_max + 10, 'x'));
  EXPECT_NE(said.find("longer than 4194304 bytes"), std::string::npos) << said;
}

TEST_F(WorkloadsTest, FlatJsonSkipsWhatItDoesNotKnowAndRefusesDepth) {
  flat_json json;
  EXPECT_EQ(json.read(R"( {"a":{"b":[1,2,{"c":"x"}],"d":true},"e":-2.5e3, "f":null} )"), "");
  EXPECT_EQ(json.arrays["a.b"], (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(json.numbers["e"], -2'500);
  EXPECT_EQ(json.texts["a.b.c"], "x");
  EXPECT_FALSE(json.nested) << "a list of numbers is none of the numbers";
  EXPECT_EQ(json.read(R"({"a":1,"usage":{"prompt_tokens":3}})"), "");
  EXPECT_TRUE(json.nested);
  EXPECT_EQ(json.read(R"({"a":1,"b":{"c":"x"}})"), "");
  EXPECT_FALSE(json.nested);
  EXPECT_NE(json.read("{\"a\":" + std::string(30, '[')), "");
  EXPECT_NE(json.read("[1]"), "");
  EXPECT_NE(json.read("{\"a\":1} x"), "");
}

std::vector<arrival> drawn(const synthetic_settings& settings, duration_us until) {
  synthetic_source source(settings, 7, "0", 0, until);
  std::vector<arrival> made;
  for (;;) {
    auto next = source.next();
    if (!*next)
      return made;
    made.push_back(**next);
  }
}

/// Coefficient of variation of the gaps.
double variation(const std::vector<arrival>& all) {
  double sum = 0;
  double squares = 0;
  for (std::size_t at = 1; at < all.size(); ++at) {
    const auto gap = double(all[at].at - all[at - 1].at);
    sum += gap;
    squares += gap * gap;
  }
  const double count = double(all.size()) - 1;
  return std::sqrt(squares / count - sum / count * sum / count) / (sum / count);
}

TEST_F(WorkloadsTest, ProcessesHaveTheRateAndTheVariationThatTheySay) {
  synthetic_settings settings;
  settings.rate = 50;
  constexpr auto hour = 3'600 * limits::second_us;
  const auto poisson = drawn(settings, hour);
  EXPECT_NEAR(double(poisson.size()), 180'000, 2'000);
  EXPECT_NEAR(variation(poisson), 1, 0.02);
  settings.process = arrival_process::gamma;
  settings.cv = 3;
  const auto gamma = drawn(settings, hour);
  EXPECT_NEAR(double(gamma.size()), 180'000, 6'000);
  EXPECT_NEAR(variation(gamma), 3, 0.15);
  settings.process = arrival_process::bursts;
  settings.rate = 1;
  settings.peak_rate = 100;
  settings.on_us = 10 * limits::second_us;
  settings.off_us = 90 * limits::second_us;
  const auto bursts = drawn(settings, hour);
  EXPECT_NEAR(double(bursts.size()), 36'000 + 3'240, 1'000);
  settings.process = arrival_process::stages;
  settings.stages = {{2, hour / 2}, {8, hour / 4}};
  EXPECT_NEAR(double(drawn(settings, hour).size()), 3'600 + 7'200, 400);
  settings.stages.clear();
  settings.process = arrival_process::diurnal;
  settings.rate = 20;
  settings.depth = 0.9;
  settings.period_us = hour;
  const auto wave = drawn(settings, hour);
  const auto first_half = std::count_if(wave.begin(), wave.end(),
                                        [](const arrival& one) { return one.at < hour / 2; });
  EXPECT_NEAR(double(first_half) / double(wave.size()), 0.5 + 0.9 / 3.1416, 0.01);
}

TEST_F(WorkloadsTest, SpansAndSizesThatNoIntegerHoldsAreTheLongest) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(drawn_span_us(1.5), 1'500'000);
  for (const double seconds : {1e30, infinite})
    EXPECT_EQ(drawn_span_us(seconds), limits::duration_us_max + 1);
  EXPECT_EQ(drawn_span_us(std::nan("")), 0);
  EXPECT_EQ(drawn_span_us(-infinite), 0);
  synthetic_settings settings;
  for (const auto process :
       {arrival_process::poisson, arrival_process::gamma, arrival_process::diurnal}) {
    settings.process = process;
    settings.period_us = limits::second_us;
    settings.rate = settings.peak_rate = 1e-300;
    EXPECT_TRUE(drawn(settings, limits::duration_us_max).empty());
  }
  settings = {};
  settings.input = settings.output = {distribution::kind::lognormal, 1e6, 1e6};
  for (const auto& one : drawn(settings, 100 * limits::second_us)) {
    EXPECT_TRUE(one.prompt_tokens == 1 || one.prompt_tokens == 1'000'000) << one.prompt_tokens;
    EXPECT_TRUE(one.output_tokens == 1 || one.output_tokens == 1'000'000) << one.output_tokens;
  }
  settings.turns = 2;
  settings.think_s = {distribution::kind::constant, infinite, 0};
  synthetic_source source(settings, 7, "0", 0, limits::duration_us_max);
  EXPECT_FALSE(source.ended(**source.next(), 5)) << "nobody thinks for longer than a run";
}

TEST_F(WorkloadsTest, AClosedLoopSendsAgainOnlyAfterAnAnswer) {
  synthetic_settings settings;
  settings.process = arrival_process::closed;
  settings.clients = 3;
  settings.think_s = {distribution::kind::constant, 2, 0};
  synthetic_source source(settings, 1, "0", 0, 10 * limits::second_us);
  for (int client = 0; client < 3; ++client)
    EXPECT_TRUE(source.next()->has_value());
  EXPECT_FALSE(source.next()->has_value());
  const auto again = source.ended({}, limits::second_us);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->at, 3 * limits::second_us + 1);
  EXPECT_FALSE(source.ended({}, 9 * limits::second_us));
}

TEST_F(WorkloadsTest, AClientThatIsRefusedWaitsBeforeItAsksAgain) {
  const auto plan = parse_scenario(R"({ "name": "full", "duration": "10s", "seed": 1,
    "nodes": [{ "name": "n", "devices": [{ "spec": "l4", "max_sequences": 1 }] }],
    "models": { "m": { "shape": "llama-3.1-8b", "context": 8192 } },
    "scheduler": { "queue_max": 1 },
    "workload": [{ "closed": { "clients": 50 }, "output": 1000 }] })",
                                   "full.json");
  ASSERT_TRUE(plan.ok()) << plan.failure().message;
  run_options once;
  once.seed = 1;
  const auto summary = run_scenario(*plan, once);
  EXPECT_TRUE(summary.violations.empty());
  EXPECT_GT(summary.figures.at("rejected"), 100) << "all but two, nearly every second";
  EXPECT_LE(summary.figures.at("requests"), 50 * 10);
}

TEST_F(WorkloadsTest, TurnsOfAConversationBeginWithAllThatWasSaid) {
  synthetic_settings settings;
  settings.rate = 1;
  settings.turns = 3;
  settings.input = {distribution::kind::constant, 40, 0};
  settings.output = {distribution::kind::constant, 24, 0};
  settings.prefix_groups = 2;
  settings.prefix_tokens = 64;
  synthetic_source source(settings, 1, "0", 0, 1'000 * limits::second_us);
  const auto first = **source.next();
  EXPECT_EQ(first.prompt_tokens, 104U);
  const auto second = source.ended(first, first.at + 5);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->prompt_tokens, 104U + 24 + 40);
  ASSERT_GT(second->prefix.size(), first.prefix.size());
  EXPECT_TRUE(std::equal(first.prefix.begin(), first.prefix.end(), second->prefix.begin()));
  EXPECT_TRUE(source.ended(*second, second->at));
  // Another conversation shares the group's beginning at most.
  std::set<std::uint64_t> starts;
  for (int more = 0; more < 50; ++more) {
    const auto other = **source.next();
    starts.insert(other.prefix.front());
    EXPECT_NE(other.prefix.back(), first.prefix.back());
  }
  EXPECT_EQ(starts.size(), 2U);
}

TEST_F(WorkloadsTest, ServegensClientsAreMergedInOrderOfTime) {
  write("a-trace.csv", "0,0.5,1,Gamma,1.0,2.0\n600,0,0,,0,0\n1200,0.5,1,Weibull,1.0,2.0\n");
  write("a-dataset.json",
        R"({"0": {"input_tokens": "{10: 0.5, 20: 0.5}", "output_tokens": "{5: 1.0}"}})");
  write("b-trace.csv", "0,0.2,1,,0,0\n");
  write("b-dataset.json", R"({"0": {"input_tokens": "{300: 1.0}", "output_tokens": "{9: 1.0}"}})");
  write("c-trace.csv", "0,9,1,,0,0\n");
  servegen_settings settings;
  settings.folder = folder_.string();
  settings.until = 1'800 * limits::second_us;
  auto opened = open_servegen(settings);
  ASSERT_TRUE(opened.ok()) << opened.failure().message;
  const auto made = drain(**opened);
  EXPECT_NEAR(double(made.size()), 600 * 0.5 * 2 + 600 * 0.2, 120);
  EXPECT_TRUE(std::is_sorted(made.begin(), made.end(),
                             [](const arrival& x, const arrival& y) { return x.at < y.at; }));
  for (const auto& one : made)
    EXPECT_TRUE(one.prompt_tokens == 10 || one.prompt_tokens == 20 || one.prompt_tokens == 300);
  const auto expect = [&](const std::string& text, const std::string& part) {
    write("b-trace.csv", text);
    const auto refused = open_servegen(settings);
    ASSERT_FALSE(refused.ok()) << part;
    EXPECT_NE(refused.failure().message.find(part), std::string::npos) << refused.failure().message;
  };
  expect("0,fast,1,,0,0\n", "b-trace.csv:1: expected window,rate,");
  expect("0,1,1,,0,0\n0,1,1,,0,0\n", "b-trace.csv:2: window: must begin at 600");
  expect("0,1,1,Pareto,1,0\n", "b-trace.csv:1: family: `Pareto` is not");
  expect("0,1,1,Gamma,inf,0\n", "b-trace.csv:1: shape: must be between");
  expect("0,1,1,Weibull,0,0\n", "b-trace.csv:1: shape: must be between");
  // As narrow as a shape may be: gaps that no window holds, and no endless draw.
  write("b-trace.csv", "0,1e-9,1,Weibull,0.001,0\n600,5,1,Gamma,0.001,0\n");
  EXPECT_TRUE(open_servegen(settings).ok());
  settings.folder = (folder_ / "negative").string();
  fs::create_directories(settings.folder);
  write("negative/d-trace.csv", "0,0.2,1,,0,0\n");
  write("negative/d-dataset.json",
        R"({"0": {"input_tokens": "{-10: 1.0}", "output_tokens": "{5: 1e-05}"}})");
  const auto negative = open_servegen(settings);
  ASSERT_FALSE(negative.ok());
  EXPECT_NE(negative.failure().message.find("holds no client"), std::string::npos);
  settings.folder = folder_.string();
  settings.clients_max = 1;
  const auto crowd = open_servegen(settings);
  ASSERT_FALSE(crowd.ok());
  EXPECT_NE(crowd.failure().message.find("holds more than 1 clients"), std::string::npos);
  settings.folder = "/nowhere";
  EXPECT_FALSE(open_servegen(settings).ok());
}

} // namespace
} // namespace consort::sim
