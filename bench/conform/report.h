// What the user reads: one line a check and a summary, or the same as JSON.
#pragma once

#include <ostream>
#include <vector>

#include "bench/conform/runner.h"

namespace weft::bench::conform {

// 0: every check passed or was skipped, and at least one passed. 1: one failed. 2: nothing could be run.
int exit_code_of(const PluginFacts& facts, const std::vector<CheckResult>& results);

void print_header(std::ostream& out, const SuiteOptions& options, const PluginFacts& facts);
void print_result(std::ostream& out, const CheckResult& result);
void print_summary(std::ostream& out, const PluginFacts& facts, const std::vector<CheckResult>& results);
void print_list(std::ostream& out, const std::vector<Check>& checks, const std::string& filter);

void write_json(std::ostream& out, const SuiteOptions& options, const PluginFacts& facts,
                const std::vector<CheckResult>& results);

}  // namespace weft::bench::conform
