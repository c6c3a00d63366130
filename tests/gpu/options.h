// The command line of nccl_collectives.
#pragma once

#include <string>
#include <vector>

#include "tests/gpu/collective.h"
#include "tests/gpu/transport_run.h"
#include "weft/status.h"

namespace weft::gputest {

struct Options {
  std::string plugin;  // absolute; found beside the program or in the build tree if not given
  std::string nccl;
  std::vector<int> ranks = {2, 4};
  std::vector<Transport> transports = {Transport::kWeft, Transport::kSocket};
  PlanOptions plan;  // .ranks is set for each run
  int iterations = 5;
  int communicators = 2;
  int device = 0;
  bool kill_peer = true;  // also the runs in which a rank is killed
  bool list = false;
  double silence_s = 60;
  double total_s = 420;
  std::string output_directory;  // empty: a temporary one, removed if all is well
  std::string json_file;

  int rank = -1;           // >= 0: this process is that rank (internal)
  bool kill_rank = false;  // with rank: the run in which the last rank is killed (internal)

  // What a rank process needs to make the same plan.
  std::vector<std::string> rank_arguments() const;
};

struct ParsedOptions {
  Options options;
  int exit_status = -1;  // >= 0: end at once (help was printed, or an error)
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace weft::gputest
