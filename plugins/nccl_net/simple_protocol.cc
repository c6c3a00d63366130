#include "plugins/nccl_net/simple_protocol.h"

#include <cctype>
#include <cstdlib>
#include <string>

#include "plugins/nccl_net/log.h"

namespace weft::nccl_net {
namespace {

std::string lower_without_spaces(const char* text) {
  std::string result;
  for (; *text != '\0'; ++text) {
    const auto c = static_cast<unsigned char>(*text);
    if (!std::isspace(c)) result.push_back(static_cast<char>(std::tolower(c)));
  }
  return result;
}

}  // namespace

ProtocolChoice judge_protocol(const char* nccl_proto) {
  const std::string value = nccl_proto ? lower_without_spaces(nccl_proto) : std::string();
  if (value.empty()) return ProtocolChoice::kUnset;
  if (value == "simple" || value == "^ll,ll128" || value == "^ll128,ll") return ProtocolChoice::kSimpleOnly;
  return ProtocolChoice::kMayUseFlags;
}

void ensure_simple_protocol() {
  const char* value = std::getenv("NCCL_PROTO");
  switch (judge_protocol(value)) {
    case ProtocolChoice::kUnset:
      setenv("NCCL_PROTO", "Simple", 1);
      log_info(
          nccl::kLogInit | nccl::kLogNet | nccl::kLogEnv,
          "set NCCL_PROTO=Simple: data that is spread over many paths lands out of order, which the flags "
          "of LL and LL128 do not survive");
      break;
    case ProtocolChoice::kMayUseFlags:
      log_warning(
          std::string("NCCL_PROTO=") + value +
          " lets NCCL use LL or LL128, whose flags do not survive data that lands out of order: results "
          "may be WRONG. Unset NCCL_PROTO or set NCCL_PROTO=Simple.");
      break;
    case ProtocolChoice::kSimpleOnly:
      break;
  }
}

}  // namespace weft::nccl_net
