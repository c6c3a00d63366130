// What one rank does: joins the communicator, runs every case of the plan on the GPU, checks every byte and
// reports a row for each. Runs in a process of its own under launcher.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "tests/gpu/collective.h"

namespace weft::gputest {

struct RankOptions {
  int rank = 0;
  int ranks = 2;
  int device = 0;
  std::string nccl_path;
  int iterations = 5;
  // Communicators made one after another: NCCL closes the plugin after each and must be able to open it
  // again. All but the last run only the plan's first case.
  int communicators = 1;
  std::chrono::milliseconds operation_timeout{30'000};
  // Instead of the plan: the last rank kills itself in the middle of a transfer, the others must be told.
  bool kill_last_rank = false;
  std::vector<Case> plan;
};

// Reports, one line each (see launcher.h for the channel):
//   info NAME TEXT
//   row CASE MEDIAN_US WRONG_BYTES FIRST_WRONG_ELEMENT
//   peer-lost MILLISECONDS NCCL_ERROR_TEXT     (kill_last_rank) NCCL's asynchronous error came so long after
//   the last
//                                               operation was queued, about 50 ms before the kill
// The exit status.
int run_rank(const RankOptions& options, int control_fd);

}  // namespace weft::gputest
