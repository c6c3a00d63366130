// Weft's status as NCCL's result code. NCCL shows users only a fixed sentence for each code; the words of the
// status go into its log (log.h).
#pragma once

#include "plugins/nccl_net/abi/types.h"
#include "weft/status.h"

namespace weft::nccl_net {

constexpr nccl::Result to_result(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return nccl::Result::kSuccess;
    case StatusCode::kInvalidArgument:
      return nccl::Result::kInvalidArgument;
    case StatusCode::kBadConfiguration:
    case StatusCode::kPermissionDenied:
    case StatusCode::kTruncated:
      return nccl::Result::kInvalidUsage;
    case StatusCode::kPeerLost:
    case StatusCode::kProtocolError:
      return nccl::Result::kRemoteError;
    case StatusCode::kUnreachable:
    case StatusCode::kResourceExhausted:
      return nccl::Result::kSystemError;
    case StatusCode::kCancelled:
    case StatusCode::kInternal:
      break;
  }
  return nccl::Result::kInternalError;
}

}  // namespace weft::nccl_net
