#include "bench/subcommand_choice.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/exit_status.h"

namespace weft::bench {
namespace {

// all_reduce, allreduce and nccl-tests' all_reduce_perf are one word to a person.
std::string spoken(std::string_view word) {
  constexpr std::string_view kSuffix = "_perf";
  if (word.size() > kSuffix.size() && word.ends_with(kSuffix)) word.remove_suffix(kSuffix.size());
  std::string letters;
  for (const char c : word)
    if (c != '_' && c != '-') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return letters;
}

// Letters of both that the other lacks, in order.
std::size_t difference(const std::string& a, const std::string& b) {
  std::vector<std::size_t> common(b.size() + 1, 0);  // of a's letters so far with each beginning of b
  for (const char letter : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = common[j];
      common[j] = letter == b[j - 1] ? diagonal + 1 : std::max(above, common[j - 1]);
      diagonal = above;
    }
  }
  return a.size() + b.size() - 2 * common.back();
}

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string unknown_subcommand(const CLI::App& app, const std::string& path, const std::string& word) {
  std::string known, nearest;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const CLI::App* one : subcommands_of(app)) {
    const std::string& name = one->get_name();
    known += (known.empty() ? "" : ", ") + name;
    const std::size_t different = difference(spoken(word), spoken(name));
    if (different < least) {
      least = different;
      nearest = name;
    }
  }
  return path + " has no subcommand \"" + word + "\"; " +
         (nearest.empty() ? "" : "did you mean " + nearest + "? ") + "There are: " + known;
}

}  // namespace

std::optional<int> refuse_unclear_subcommand(const CLI::App& app, int argc, const char* const* argv) {
  const CLI::App* at = &app;
  std::string path = "weft", parent;
  for (int i = 1; i < argc && !subcommands_of(*at).empty(); ++i) {
    const std::string word = argv[i];
    // --help, --version and what the parser has to refuse.
    if (word.starts_with('-')) return std::nullopt;
    const auto known = subcommands_of(*at);
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const CLI::App* one) { return one->get_name() == word; });
    if (found == known.end()) return refuse(unknown_subcommand(*at, path, word));
    at = *found;
    parent = path;
    path += " " + word;
  }
  if (subcommands_of(*at).empty()) return std::nullopt;
  std::fputs(at->help(parent).c_str(), stderr);
  return kCouldNotRun;
}

}  // namespace weft::bench
