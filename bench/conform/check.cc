#include "bench/conform/check.h"

#include <fmt/format.h>
#include <sched.h>

#include <iterator>

#include "bench/conform/blackbox.h"
#include "bench/conform/net_plugin.h"

namespace weft::bench::conform {

std::vector<Check> all_checks() {
  std::vector<Check> all;
  for (auto* group :
       {loading_checks, property_checks, connection_checks, message_checks, request_checks, group_checks,
        registration_checks, thread_checks, close_checks, leak_checks, process_checks}) {
    std::vector<Check> checks = group();
    std::move(checks.begin(), checks.end(), std::back_inserter(all));
  }
  return all;
}

const char* result_name(nccl::Result result) {
  switch (result) {
    case nccl::Result::kSuccess:
      return "ncclSuccess";
    case nccl::Result::kUnhandledCudaError:
      return "ncclUnhandledCudaError";
    case nccl::Result::kSystemError:
      return "ncclSystemError";
    case nccl::Result::kInternalError:
      return "ncclInternalError";
    case nccl::Result::kInvalidArgument:
      return "ncclInvalidArgument";
    case nccl::Result::kInvalidUsage:
      return "ncclInvalidUsage";
    case nccl::Result::kRemoteError:
      return "ncclRemoteError";
    case nccl::Result::kInProgress:
      return "ncclInProgress";
  }
  return "a value that is no ncclResult_t";
}

void require(bool holds, const std::string& text) {
  if (!holds) throw Failure(text);
}

void require_success(nccl::Result result, const std::string& call) {
  if (result == nccl::Result::kSuccess) return;
  throw Failure(fmt::format("{} returned {} ({})", call, result_name(result), static_cast<int>(result)));
}

void step(const std::string& what) {
  Blackbox::note_step(what.c_str());
}

bool Patience::idle_round_ends() {
  sched_yield();
  if (++idle_rounds_ % 64 != 0) return false;
  return std::chrono::steady_clock::now() - since_ > limit_;
}

void Patience::expired(const std::string& what) const {
  throw Hang(fmt::format("nothing moved for {:.1f} s while waiting for {}", limit_.count() / 1000.0, what));
}

}  // namespace weft::bench::conform
