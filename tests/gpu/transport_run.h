// One run of all cases by N ranks over one network transport, from the environment that selects it to the
// proof that the traffic went that way.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/gpu/collective.h"
#include "tests/gpu/launcher.h"
#include "weft/status.h"

namespace weft::gputest {

enum class Transport { kWeft, kSocket };
std::string_view name_of(Transport transport);  // as NCCL prints it: Weft, Socket

struct RunOptions {
  Transport transport = Transport::kWeft;
  int ranks = 2;
  bool kill_last_rank = false;
  int iterations = 5;
  int communicators = 2;
  std::string program;                      // this executable, started once per rank
  std::vector<std::string> rank_arguments;  // what every rank gets besides its number
  std::string plugin;                       // absolute path
  std::string output_directory;             // logs and counters; exists
  LaunchLimits limits;
  std::vector<Case> plan;
};

struct Row {
  double median_us = 0;         // the slowest rank's
  std::size_t wrong_bytes = 0;  // of all ranks
  int worst_rank = 0;
  std::size_t first_wrong_element = 0;
  int reports = 0;  // ranks that reported; a row counts only when all did
};

struct RunResult {
  std::vector<Row> rows;  // by case
  std::map<std::string, std::string> info;
  std::uint64_t operations = 0;    // collectives whose result was checked
  std::uint64_t bytes_sent = 0;    // by Weft's counters, all ranks
  std::uint64_t bytes_needed = 0;  // the least that the checked operations must send
  std::string banner;              // Weft's, from rank 0's log
  std::string peer_lost;           // kill_last_rank: what the survivors were told
  std::string problem;             // empty: ran to the end, over the right transport, no wrong byte
};

// Environment of one rank: the caller's own, less what would select another transport, and the recipe that
// makes each rank a node of its own so that all traffic takes the network (a distinct NCCL_HOSTID).
std::vector<std::string> rank_environment(const RunOptions& options, int rank, char* const* inherited);

RunResult run_transport(const RunOptions& options);

}  // namespace weft::gputest
