// Keeps NCCL on its Simple protocol. LL and LL128 put flags into the data (8-byte and 128-byte units, flag
// last) and read a unit as soon as its flag is there; Weft lands the chunks of a message in any order, so
// that a flag may be visible before the bytes it speaks for.
//
// Main thread, inside init: NCCL reads NCCL_PROTO only later, when it tunes a communicator.
#pragma once

namespace weft::nccl_net {

enum class ProtocolChoice : unsigned char {
  kUnset,        // NCCL would choose by itself
  kSimpleOnly,   // the user asked for Simple, or excluded both others
  kMayUseFlags,  // LL or LL128 are possible
};

// Understands "Simple" and exclusions ("^LL,LL128"). Every other value may let LL or LL128 in.
ProtocolChoice judge_protocol(const char* nccl_proto);

// Sets NCCL_PROTO=Simple where it is unset and says so; warns when the user's value allows LL or LL128.
void ensure_simple_protocol();

}  // namespace weft::nccl_net
