// The results of nccl_collectives for people (a table, transports side by side) and for programs (JSON).
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "tests/gpu/transport_run.h"

namespace weft::gputest {

struct FinishedRun {
  RunOptions options;
  RunResult result;
};

// One table for runs that share a number of ranks and a plan.
void print_table(std::FILE* out, const std::vector<FinishedRun>& runs);
// The last line: PASS or FAIL and the numbers behind it.
std::string summary(const std::vector<FinishedRun>& runs);
bool passed(const std::vector<FinishedRun>& runs);
std::string to_json(const std::vector<FinishedRun>& runs, const std::string& device,
                    const std::string& driver);

}  // namespace weft::gputest
