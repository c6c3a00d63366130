#include "weft/status.h"

namespace weft {

std::string_view to_string(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalidArgument:
      return "invalid argument";
    case StatusCode::kBadConfiguration:
      return "bad configuration";
    case StatusCode::kUnreachable:
      return "unreachable";
    case StatusCode::kPeerLost:
      return "peer lost";
    case StatusCode::kPermissionDenied:
      return "permission denied";
    case StatusCode::kProtocolError:
      return "protocol error";
    case StatusCode::kTruncated:
      return "truncated";
    case StatusCode::kResourceExhausted:
      return "resource exhausted";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kInternal:
      return "internal error";
  }
  return "unknown status";
}

}  // namespace weft
