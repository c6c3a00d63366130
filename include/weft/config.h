// What a user can set. Every field but the last two has a WEFT_* variable, listed in docs/environment.md;
// they are read once, by from_environment(), and a value that makes no sense is refused with a message that
// names the variable.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft {

enum class LogLevel : unsigned char { kError, kWarn, kInfo, kDebug };

// Called from any thread, never from two at once. `message` has no trailing newline.
using LogSink = std::function<void(LogLevel, const std::string& message)>;

enum class MrcChoice : unsigned char { kAuto, kOn, kOff };
enum class GpuDirectChoice : unsigned char { kAuto, kOn, kOff };

// RDMA, where a build and a machine have it. In NCCL's words, and each field takes the NCCL variable of the
// same meaning where Weft's own is unset.
struct RdmaConfig {
  // Leaves RDMA alone, whatever is there. WEFT_IB_DISABLE=0|1, NCCL_IB_DISABLE.
  bool disabled = false;
  // Devices and ports to use: a comma list of name prefixes, each with ":port" behind it if wanted; "=" in
  // front for exact names, "^" in front to exclude. Empty: all that are usable. WEFT_IB_HCA, NCCL_IB_HCA.
  std::string devices;
  // Entry of each port's GID table; -1: the right one is found for each. WEFT_IB_GID_INDEX, auto or 0..255;
  // NCCL_IB_GID_INDEX.
  int gid_index = -1;
  // DSCP and ECN bits of RoCE packets, or InfiniBand's traffic class. WEFT_IB_TC, 0..255; NCCL_IB_TC.
  int traffic_class = 0;
  // InfiniBand's service level; on RoCE the priority of VLANs. WEFT_IB_SL, 0..15; NCCL_IB_SL.
  int service_level = 0;
  // A NIC sends again what was not acknowledged for 4.096 us * 2^timeout (14: 67 ms). WEFT_IB_TIMEOUT, 1..31;
  // NCCL_IB_TIMEOUT. Weft's own deadlines come first; this bounds what a NIC does on its own.
  int timeout = 14;
  // How often it does. Not 7: on SoftRoCE that is for ever. WEFT_IB_RETRY_CNT, 0..6; NCCL_IB_RETRY_CNT, where
  // 7 and more count as 6.
  int retry_count = 3;
  // Lets PCIe write payloads in any order; completions still come after them. Where device or kernel cannot,
  // it is of no consequence. WEFT_IB_PCI_RELAXED_ORDERING=0|1, NCCL_IB_PCI_RELAXED_ORDERING.
  bool relaxed_ordering = true;
  // Memory of GPUs that NICs read and write by themselves: where all ports in use can, without fail, or
  // never. WEFT_GPU_DIRECT=auto|on|off.
  GpuDirectChoice gpu_direct = GpuDirectChoice::kAuto;
  // Queue pairs that spray over their plane by themselves, of NICs that speak MRC (Multipath Reliable
  // Connection, lib_mrc.so): where there are some, without fail, or never. WEFT_MRC=auto|on|off.
  MrcChoice mrc = MrcChoice::kAuto;
  // Sets of entropy values, and of congestion control, as the network's MRC controller has numbered them; -1:
  // the NIC's default. WEFT_MRC_EV_PROFILE, WEFT_MRC_CC_PROFILE, auto or a number.
  std::int64_t mrc_ev_profile = -1;
  std::int64_t mrc_cc_profile = -1;
};

// What carries data. kAuto: RDMA (libibverbs) where both ends have a usable port, else TCP. UCX is used where
// it is asked for only: its library changes the process that opens it (docs/transport.md).
enum class TransportChoice : unsigned char { kAuto, kTcp, kVerbs, kUcx };

// Lossless compression of messages on the wire. kAuto: where it makes transfers faster. The levels: always,
// where the data becomes smaller at all; for measuring and tests.
enum class CompressionChoice : unsigned char { kAuto, kOff, kFast, kDense, kArchive };

struct Config {
  // WEFT_TRANSPORT: auto, tcp, verbs or ucx.
  TransportChoice transport = TransportChoice::kAuto;
  // Interfaces to use, with the syntax of NCCL_SOCKET_IFNAME: a comma list of prefixes, "=" in front for
  // exact names, "^" in front to exclude. Empty: every interface that is up, loopback and docker* only if
  // there is nothing else. WEFT_IF, or NCCL_SOCKET_IFNAME where WEFT_IF is unset.
  std::string interfaces;
  // What the process works with, so that the NICs that are far from it stand by until near ones fail. auto:
  // the processors to which it is bound. off: all NICs are used. Else the PCI address of a device, usually
  // its GPU: 0000:3b:00.0. WEFT_NEAR.
  std::string near = "auto";
  // WEFT_FAMILY: 0 both, 4 or 6. NCCL_SOCKET_FAMILY (AF_INET, AF_INET6) where it is unset.
  int address_family = 0;
  // Connections per interface pair. 0: 4, but 1 to a peer on the same host, where no network has several ways
  // and more sockets only cost. WEFT_PATHS_PER_PLANE, auto or 1..16.
  int paths_per_plane = 0;
  // Limit on all paths of one connection. WEFT_MAX_PATHS, 1..64.
  int max_paths = 16;
  // Largest piece of a message that one path carries. WEFT_CHUNK_BYTES, a power of two, 16 KiB..16 MiB.
  std::size_t chunk_bytes = 512 * 1024;
  // How long every path to a peer may be silent while requests are pending before they fail (I5).
  // WEFT_TIMEOUT_MS, 100..3600000.
  std::chrono::milliseconds peer_timeout{1800};
  // Shortest silence after which a path with unacknowledged data is left for another.
  // WEFT_PATH_TIMEOUT_MS, 2..10000.
  std::chrono::milliseconds path_timeout{20};
  // Time that connect() has to reach the listener. WEFT_CONNECT_TIMEOUT_MS, 100..3600000.
  std::chrono::milliseconds connect_timeout{30000};
  // Time that all ranks of a job have to find each other, and to come to each exchange afterwards
  // (BootstrapOptions::timeout; for programs that hand it on, as the weft command does).
  // WEFT_BOOTSTRAP_TIMEOUT_MS, 100..3600000.
  std::chrono::milliseconds bootstrap_timeout{60000};
  // Shared by all processes of a job; a process that does not know it cannot join. Empty: not asked for.
  // WEFT_SECRET.
  std::string secret;
  // Also protect payloads with CRC32C; headers always are. WEFT_CHECKSUM=0|1.
  bool payload_checksum = false;
  // What this process does with what it sends by TCP; used where the peer's is not off either.
  // WEFT_COMPRESS=auto|off|fast|dense|archive.
  CompressionChoice compression = CompressionChoice::kOff;
  // File to which counters are written when a context closes and at every stats_interval. "%p" is the
  // process id, "%h" the host name, "%%" a percent sign; processes that share a name overwrite each other.
  // Empty: none. A thread of its own writes, and closing a context waits for it. WEFT_STATS_FILE,
  // WEFT_STATS_INTERVAL_MS (0: only at close).
  std::string stats_file;
  std::chrono::milliseconds stats_interval{1000};
  // Least important level that reaches the log sink. WEFT_DEBUG=ERROR|WARN|INFO|DEBUG.
  LogLevel log_level = LogLevel::kWarn;
  RdmaConfig rdma;

  // WEFT_* names in the environment that nobody knows and that resemble none: Context::create() warns of
  // them.
  std::vector<std::string> unknown_variables;
  // NCCL_IB_* variables in the environment that have no effect on Weft or another one than on NCCL, a
  // sentence each: Context::create() says them at INFO.
  std::vector<std::string> nccl_remarks;

  // Reads the environment. Refuses names that are nearly those of variables too: a typing error is found at
  // the start, not in a graph.
  static Result<Config> from_environment();
  // Checks ranges; from_environment() has called it already.
  Status validate() const;
};

}  // namespace weft
