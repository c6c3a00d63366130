// The queue pairs of NICs that speak MRC (Multipath Reliable Connection): each spreads its packets over its
// plane by itself, and steps around what has failed there. Where lib_mrc.so can be opened it gives such queue
// pairs on top of an ordinary context and protection domain of libibverbs; this is the table of its functions
// that Weft calls, or the reason why there is none.
//
// Facts (names, arguments, layouts, constants) from the Open Compute Project's repository
// OCP-Multipath-Reliable-Connection, mrc.h and mrc_api_ver.h at commit 662a1509e7e4; the words and
// declarations here are Weft's own, and only what is called is declared. What such a queue pair is like:
//
// - WRITE and WRITE_WITH_IMM only: no SEND, no READ, no atomics.
// - No shared receive queue. Each immediate takes a receive of its queue pair, and one must be there: nothing
//   is said to a sender whose receiver is not ready (no RNR), so senders have to know how many there are.
// - Both ends bound how many immediates are under way, in the role of the sender and of the receiver.
// - Nothing says that work requests arrive in the order in which they were posted. Completions of sends come
//   in order: the API's own example counts them by selective signals.
// - State INIT takes neither a port nor a flow label, RTS no verbs timeouts: it has its own.
//
// Included by transport/verbs/ and its tests only. The table is constant and stays for the life of the
// process. Any thread.
#pragma once

#include <infiniband/verbs.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "weft/status.h"

namespace weft::verbs::mrc {

struct Context;
struct Completions;
struct Queue;

// major << 24 | minor << 16 | fix. Another major version is another ABI.
constexpr std::uint32_t version(std::uint32_t major, std::uint32_t minor, std::uint32_t fix) {
  return major << 24 | minor << 16 | fix;
}
constexpr std::uint32_t major_of(std::uint32_t version) {
  return version >> 24;
}
inline constexpr std::uint32_t kVersion = version(1, 0, 1);
// From here on a device is asked with its MRC context beside it.
inline constexpr std::uint32_t kAskedWithContext = version(1, 0, 1);

// What both a device and a queue pair bound: immediates under way.
struct ImmediateLimits {
  std::uint16_t sent = 0;
  std::uint16_t received = 0;
};

struct DeviceAttributes {
  std::uint32_t protocol_versions = 0;  // bits
  ImmediateLimits immediates;
  std::uint8_t largest_packet_window = 0;  // of 128 packets each
  std::uint8_t packet_window_step = 0;
  std::uint32_t hints = 0;
  std::uint32_t abilities = 0;
};
static_assert(sizeof(DeviceAttributes) == 20 && offsetof(DeviceAttributes, immediates) == 4 &&
              offsetof(DeviceAttributes, largest_packet_window) == 8 &&
              offsetof(DeviceAttributes, hints) == 12 && offsetof(DeviceAttributes, abilities) == 16);

struct ContextAttributes {
  std::uint32_t api_version = 0;
  std::uint32_t vendor_version = 0;  // 0: whatever it has
};
static_assert(sizeof(ContextAttributes) == 8);

struct QueueWish {
  void* user = nullptr;
  Completions* sends = nullptr;
  Completions* receives = nullptr;
  ibv_qp_cap capacity{};
  int signal_all = 0;
  ibv_pd* domain = nullptr;
  std::uint64_t operations = 0;     // bits of ibv_qp_create_send_ops_flags
  std::uint32_t wire_protocol = 0;  // one bit; 0: the device's default
};
static_assert(sizeof(ibv_qp_cap) == 20 && sizeof(QueueWish) == 72 && offsetof(QueueWish, capacity) == 24 &&
              offsetof(QueueWish, signal_all) == 44 && offsetof(QueueWish, domain) == 48 &&
              offsetof(QueueWish, operations) == 56 && offsetof(QueueWish, wire_protocol) == 64);

struct QueueAttributes {
  std::uint8_t packet_window = 0;  // of 128 packets each
  std::uint8_t peer_packet_window = 0;
  ImmediateLimits immediates;
  std::uint8_t timeout = 0;  // 1.024 us * 2^timeout, up to kLargestTimeout
  // Sets of ways through the fabric and of congestion control, as the network's controller has numbered them.
  std::uint64_t way_profile = 0;
  std::uint64_t congestion_profile = 0;
  std::uint8_t even_retries = 0;     // at equal intervals, up to 7
  std::uint8_t growing_retries = 0;  // at doubling ones; 25: for ever
  void* hint = nullptr;
  std::uint32_t abilities = 0;
  std::uint8_t vendor[128] = {};
};
static_assert(sizeof(QueueAttributes) == 176 && offsetof(QueueAttributes, immediates) == 2 &&
              offsetof(QueueAttributes, timeout) == 6 && offsetof(QueueAttributes, way_profile) == 8 &&
              offsetof(QueueAttributes, even_retries) == 24 && offsetof(QueueAttributes, hint) == 32 &&
              offsetof(QueueAttributes, abilities) == 40 && offsetof(QueueAttributes, vendor) == 44);
inline constexpr std::uint8_t kLargestTimeout = 24;
inline constexpr std::uint8_t kMostEvenRetries = 7;

// Which of QueueAttributes a call means.
enum QueueAttributeMask : int {
  kImmediatesSent = 1 << 0,
  kImmediatesReceived = 1 << 1,
  kTimeout = 1 << 4,
  kWayProfile = 1 << 5,
  kCongestionProfile = 1 << 6,
  kRetries = 1 << 8,
};

// Unless something else is said, functions return 0, or an errno value, or -1 and errno.
struct Library {
  void (*query_version)(std::uint32_t* newest, std::uint32_t* oldest, std::uint32_t* vendor_newest,
                        std::uint32_t* vendor_oldest) = nullptr;
  int (*query_device)(ibv_context*, DeviceAttributes*, int* supported) = nullptr;
  int (*query_device_ex)(ibv_context*, Context*, DeviceAttributes*, int* supported) = nullptr;  // 1.0.1
  Context* (*create_context)(ibv_context*, ContextAttributes*) = nullptr;  // null and errno
  int (*destroy_context)(Context*) = nullptr;
  Completions* (*create_cq)(Context*, int entries, void* user, void* channel, int vector) = nullptr;
  int (*poll_cq)(Completions*, int most, ibv_wc*) = nullptr;  // how many; -1
  int (*destroy_cq)(Completions*) = nullptr;
  Queue* (*create_qp)(Context*, QueueWish*) = nullptr;
  int (*destroy_qp)(Queue*) = nullptr;
  int (*modify_qp)(Queue*, ibv_qp_attr*, int mask, QueueAttributes*, int mrc_mask) = nullptr;
  int (*get_qpn)(Queue*, std::uint32_t* number) = nullptr;
  int (*post_recv)(Queue*, ibv_recv_wr*, ibv_recv_wr** bad) = nullptr;
  int (*post_send)(Queue*, ibv_send_wr*, ibv_send_wr** bad) = nullptr;

  std::uint32_t api_version = 0;  // that both know, and by which it is used
};

// Of a function of the table that says 0 or what went wrong: an errno value.
int error_of(int returned);
std::string version_text(std::uint32_t version);

// The library of this process, opened by the first call. The error says what is missing.
Result<const Library*> library();

// One attempt with a library of this name: what library() does, and what its tests call.
Result<Library> open_library(const std::string& name);

}  // namespace weft::verbs::mrc
