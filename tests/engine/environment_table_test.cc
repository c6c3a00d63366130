// docs/environment.md against the code: every variable in both, with the same default and the same accepted
// values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "transport/engine/environment.h"

namespace weft {
namespace {

struct Row {
  std::string default_text;
  std::string accepted;
  std::string meaning;
};

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::map<std::string, Row> documented() {
  std::ifstream file(WEFT_ENVIRONMENT_DOCUMENT);
  EXPECT_TRUE(file.good()) << WEFT_ENVIRONMENT_DOCUMENT;
  std::map<std::string, Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `WEFT_") || line.ends_with("| takes |")) continue;
    std::vector<std::string> cells;
    std::istringstream parts(line.substr(1));
    for (std::string cell; std::getline(parts, cell, '|');) cells.push_back(trimmed(cell));
    if (cells.size() != 4) {
      ADD_FAILURE() << "four cells, please: " << line;
      continue;
    }
    const std::string name = cells[0].substr(1, cells[0].size() - 2);
    EXPECT_TRUE(rows.emplace(name, Row{cells[1], cells[2], cells[3]}).second)
        << name << " stands there twice";
  }
  return rows;
}

std::string or_unset(const std::string& text) {
  return text.empty() ? "unset" : text;
}

TEST(EnvironmentTable, DocumentAndCodeAgree) {
  std::map<std::string, Row> expected;
  for (const ConfigVariable& variable : config_variables()) {
    expected[std::string(variable.name)] = {or_unset(variable.show(Config())), std::string(variable.accepted),
                                            ""};
  }
  for (const OtherVariable& variable : other_variables()) {
    expected[std::string(variable.name)] = {std::string(variable.default_text),
                                            std::string(variable.accepted), ""};
  }
  auto rows = documented();
  for (const auto& [name, row] : expected) {
    const auto found = rows.find(name);
    if (found == rows.end()) {
      ADD_FAILURE() << name << " is missing in docs/environment.md";
      continue;
    }
    EXPECT_EQ(found->second.default_text, row.default_text) << name;
    EXPECT_EQ(found->second.accepted, row.accepted) << name;
    EXPECT_FALSE(found->second.meaning.empty()) << name;
    rows.erase(found);
  }
  for (const auto& [name, row] : rows)
    ADD_FAILURE() << name << " is documented, but the code does not know it";
}

TEST(EnvironmentTable, WhatIsPassedOverIsDocumented) {
  std::ifstream file(WEFT_ENVIRONMENT_DOCUMENT);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const std::string_view name : foreign_names()) {
    EXPECT_THAT(text, ::testing::HasSubstr("`" + std::string(name) + "`"));
  }
}

TEST(EnvironmentTable, EveryVariableOfThePublicHeaderIsThere) {
  std::ifstream file(WEFT_CONFIG_HEADER);
  ASSERT_TRUE(file.good());
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::set<std::string> in_header, in_code;
  for (std::size_t at = text.find("WEFT_"); at != std::string::npos; at = text.find("WEFT_", at + 1)) {
    const std::size_t end = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", at);
    // "WEFT_*" in prose is no name.
    if (end != at + 5) in_header.insert(text.substr(at, end - at));
  }
  for (const ConfigVariable& variable : config_variables()) in_code.insert(std::string(variable.name));
  EXPECT_EQ(in_header, in_code);
}

}  // namespace
}  // namespace weft
