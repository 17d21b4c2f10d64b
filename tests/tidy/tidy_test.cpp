// SPDX-License-Identifier: Apache-2.0
// Goal: every rule fires on a small sample that breaks it and stays silent on one that keeps it.
// Method: samples in memory, one rule at a time.
#include "tests/tidy/checks.hpp"

#include <gtest/gtest.h>

namespace consort::tidy {
namespace {

using check_function = void (*)(const source_file&, findings&);

findings run(check_function check, const std::string& path, const std::string& text) {
  findings out;
  check(parse_source(path, text), out);
  return out;
}

std::string first_rule(const findings& found) {
  return found.empty() ? "" : found.front().rule;
}

std::string function_of(std::size_t lines) {
  std::string text = "int long_one() {\n";
  for (std::size_t line = 2; line < lines; ++line)
    text += "  work();\n";
  return text + "}\n";
}

TEST(TidySource, CommentsAndLiteralsAreBlanked) {
  const source_file file = parse_source("node/a.cpp", "f(\"rand()\"); // rand()\n"
                                                      "g(R\"x(rand() \")x\"); /* rand()\n"
                                                      "rand() */ int n = 1'000;\n");
  for (const std::string& line : file.code)
    EXPECT_EQ(line.find("rand"), std::string::npos) << line;
  EXPECT_EQ(file.commented, (std::vector<bool>{true, true, true}));
  EXPECT_NE(file.code[2].find("int n = 1'000;"), std::string::npos);
}

TEST(TidyLayering, LowerFoldersMayNotIncludeHigherOnes) {
  EXPECT_EQ(first_rule(run(check_layering, "gateway/a.cpp", "#include \"actors/b.hpp\"\n")),
            "layering");
  EXPECT_EQ(first_rule(run(check_layering, "gateway/a.cpp", "#include \"node/b.hpp\"\n")),
            "layering");
  EXPECT_EQ(first_rule(run(check_layering, "links/a.cpp", "#include \"gateway/b.hpp\"\n")),
            "layering");
  EXPECT_TRUE(run(check_layering, "gateway/a.cpp", "#include \"links/b.hpp\"\n").empty());
  EXPECT_TRUE(run(check_layering, "actors/a.cpp", "#include \"gateway/b.hpp\"\n").empty());
  EXPECT_TRUE(run(check_layering, "node/a.cpp", "#include \"scenarios/models/b.hpp\"\n").empty());
  EXPECT_FALSE(run(check_layering, "node/a.cpp", "#include \"scenarios/sim/b.hpp\"\n").empty());
}

TEST(TidyLayering, CafStaysInActors) {
  const std::string text = "#include <caf/all.hpp>\n";
  EXPECT_EQ(first_rule(run(check_layering, "gateway/a.cpp", text)), "layering");
  EXPECT_EQ(first_rule(run(check_layering, "tests/unit/node/a.cpp", text)), "layering");
  EXPECT_TRUE(run(check_layering, "actors/a.cpp", text).empty());
  EXPECT_TRUE(run(check_layering, "tests/actors/a.cpp", text).empty());
  const std::string version = "#if CAF_VERSION >= 1800\n#endif\n";
  EXPECT_EQ(first_rule(run(check_layering, "actors/a.cpp", version)), "layering");
  EXPECT_TRUE(run(check_layering, "actors/caf_compat.hpp", version).empty());
}

TEST(TidyLayering, TheCoreSeesOnlyThePureStandardLibrary) {
  EXPECT_TRUE(
      run(check_layering, "scheduler/a.cpp", "#include \"scheduler/ids.hpp\"\n#include <map>\n")
          .empty());
  for (const char* text : {"#include <chrono>\n", "#include <unistd.h>\n",
                           "#include <sys/time.h>\n", "#include \"messages/codec.hpp\"\n",
                           "auto now = std::chrono::seconds(1);\n", "std::printf(\"%d\", 1);\n"})
    EXPECT_EQ(first_rule(run(check_layering, "scheduler/a.cpp", text)), "pure-core") << text;
}

TEST(TidySizes, FunctionsAreFoundWithTheirNamesAndLengths) {
  const source_file file = parse_source("node/a.cpp", "namespace x {\n"
                                                      "struct s {\n"
                                                      "  int one() const { return 1; }\n"
                                                      "};\n"
                                                      "s::s(int a)\n"
                                                      "    : a_(a) {\n"
                                                      "  for (;;) {\n"
                                                      "  }\n"
                                                      "}\n"
                                                      "} // namespace x\n");
  const std::vector<function_extent> found = find_functions(file);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "one");
  EXPECT_EQ(found[0].lines, 1U);
  EXPECT_EQ(found[1].name, "s");
  EXPECT_EQ(found[1].line, 5U);
  EXPECT_EQ(found[1].lines, 5U);
}

TEST(TidySizes, TheLongestAllowedFunctionPassesAndOneLineMoreDoesNot) {
  EXPECT_TRUE(run(check_sizes, "node/a.cpp", function_of(70)).empty());
  EXPECT_EQ(first_rule(run(check_sizes, "node/a.cpp", function_of(71))), "size");
}

TEST(TidySizes, LinesAndColumnsAreLimited) {
  const auto lines = [](std::size_t count) {
    std::string text;
    for (std::size_t line = 0; line < count; ++line)
      text += "// x\n";
    return text;
  };
  EXPECT_TRUE(run(check_sizes, "node/a.hpp", lines(400)).empty());
  EXPECT_FALSE(run(check_sizes, "node/a.hpp", lines(401)).empty());
  EXPECT_FALSE(run(check_sizes, "node/a.cpp", lines(701)).empty());
  EXPECT_TRUE(run(check_sizes, "tests/unit/a.cpp", lines(800)).empty());
  EXPECT_FALSE(run(check_sizes, "tests/unit/a.cpp", lines(801)).empty());
  EXPECT_FALSE(run(check_sizes, "node/CMakeLists.txt", lines(41)).empty());
  EXPECT_TRUE(run(check_sizes, "node/a.cpp", std::string(100, 'a')).empty());
  EXPECT_FALSE(run(check_sizes, "node/a.cpp", std::string(101, 'a')).empty());
  std::string wide;
  for (int count = 0; count < 100; ++count)
    wide += "\xc3\xa9"; // Two bytes, one column.
  EXPECT_TRUE(run(check_sizes, "node/a.cpp", wide).empty());
}

TEST(TidySizes, HeadersMustSayWhatTheyAre) {
  std::string bare = "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n";
  for (int line = 0; line < 20; ++line)
    bare += "int a" + std::to_string(line) + "();\n";
  EXPECT_EQ(first_rule(run(check_sizes, "node/a.hpp", bare)), "comments");
  EXPECT_TRUE(run(check_sizes, "node/a.hpp", bare + "/// a\n/// b\n/// c\n").empty());
  EXPECT_TRUE(run(check_sizes, "node/a.cpp", bare).empty());
}

TEST(TidyForm, LicenceAndGuardComeFirst) {
  const std::string license = "// SPDX-License-Identifier: Apache-2.0\n";
  EXPECT_TRUE(run(check_form, "node/a.hpp", license + "#pragma once\n").empty());
  EXPECT_EQ(first_rule(run(check_form, "node/a.hpp", "#pragma once\n")), "form");
  EXPECT_EQ(first_rule(run(check_form, "node/a.hpp", license + "int a;\nint b;\n")), "form");
  EXPECT_EQ(first_rule(run(check_form, "tests/system/a.mjs", "let a;\n")), "form");
  EXPECT_TRUE(run(check_form, "docs/a.md", "text\n").empty());
}

TEST(TidyForm, UnfinishedWorkNeedsAKindAndPathsOfOneMachineAreRefused) {
  const std::string license = "// SPDX-License-Identifier: Apache-2.0\n";
  const std::string todo = "// TO"
                           "DO";
  EXPECT_EQ(first_rule(run(check_form, "node/a.cpp", license + todo + ": later\n")), "words");
  EXPECT_TRUE(run(check_form, "node/a.cpp", license + todo + "(perf): batch it\n").empty());
  EXPECT_EQ(first_rule(run(check_form, "docs/a.md",
                           "cd /work/"
                           "main\n")),
            "words");
  EXPECT_EQ(first_rule(run(check_form, "node/a.cpp",
                           license
                               + "// As issue "
                                 "12 asks.\n")),
            "words");
  EXPECT_EQ(first_rule(run(check_form, "a/package-lock.json",
                           "https://registry."
                           "npmjs.org\n")),
            "words");
}

TEST(TidyCalls, BannedCallsAreFoundAndMembersOfTheSameNameAreNot) {
  for (const char* text :
       {"system(line);", "    rand();", "return std::rand();", "  ::popen(a, b);",
        "auto f = std::async(g);", "worker.detach();", "sprintf(a, b);"})
    EXPECT_EQ(first_rule(run(check_calls, "node/a.cpp", text)), "calls") << text;
  for (const char* text : {"self->system().spawn();", "actor_system system(config);",
                           "snprintf(a, 1, b);", "host.system();", "spawn(x, detached);"})
    EXPECT_TRUE(run(check_calls, "actors/a.cpp", text).empty()) << text;
}

TEST(TidyCalls, TestsBelowTheSystemTierNeverSleep) {
  const std::string text = "std::this_thread::sleep_for(one_second);\n";
  EXPECT_EQ(first_rule(run(check_calls, "tests/unit/node/a_test.cpp", text)), "calls");
  EXPECT_TRUE(run(check_calls, "tests/system/a.cpp", text).empty());
  EXPECT_TRUE(run(check_calls, "node/a.cpp", text).empty());
}

TEST(TidyListed, SourcesMustBeNamedAndHeadersIncluded) {
  const source_file list
      = parse_source("node/CMakeLists.txt", "consort_library(n SOURCES a.cpp sub/b.cpp)\n"
                                            "x(${PROJECT_SOURCE_DIR}/cli/c.cpp) # d.cpp\n");
  findings out;
  check_listed({list, parse_source("node/a.cpp", "#include \"node/a.hpp\"\n"),
                parse_source("node/sub/b.cpp", ""), parse_source("cli/c.cpp", ""),
                parse_source("node/a.hpp", "")},
               out);
  EXPECT_TRUE(out.empty());
  check_listed({list, parse_source("node/d.cpp", ""), parse_source("node/e.hpp", "")}, out);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].path, "node/d.cpp");
  EXPECT_EQ(out[1].path, "node/e.hpp");
}

} // namespace
} // namespace consort::tidy
