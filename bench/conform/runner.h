// Runs checks, each in a process of its own with a deadline, so that a plugin that hangs or crashes fails
// that check and no other. The calling process must have one thread only (it forks) and never loads the
// plugin itself.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/conform/check.h"

namespace weft::bench::conform {

enum class Verdict { kPass, kFail, kSkip };

struct CheckResult {
  const Check* check = nullptr;
  Verdict verdict = Verdict::kFail;
  std::string detail;  // why it failed or was skipped; a remark when it passed
  std::string output;  // the last lines that the check's process wrote, when it failed
  double seconds = 0;
};

struct SuiteOptions {
  CheckContext context;
  std::string filter;    // comma list of names or globs; a leading '-' excludes
  bool verbose = false;  // the plugin's whole log, on stderr, as it comes
};

// What the plugin says of itself, learned in a process of its own.
struct PluginFacts {
  std::string problem;  // why the suite cannot run; empty when it can
  std::string name;
  int abi = 0;
  int devices = 0;
  std::vector<int> versions;
};

PluginFacts learn_facts(const SuiteOptions& options);

// `checks` must outlive the results. `finished` is called after each check.
std::vector<CheckResult> run_suite(const std::vector<Check>& checks, const SuiteOptions& options,
                                   const std::function<void(const CheckResult&)>& finished);

// Runs one check right here, for a debugger. Throws what the check throws.
void run_in_this_process(const Check& check, const SuiteOptions& options);

bool selected(const std::string& name, const std::string& filter);

}  // namespace weft::bench::conform
