// The process's place on the fabric: its devices, listening sockets and housekeeping thread. Usually one a
// process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weft/config.h"
#include "weft/connection.h"
#include "weft/status.h"

namespace weft {

// One plane as this process sees it: a network interface and one of its addresses.
struct Device {
  std::string name;      // eth0
  std::string address;   // without a port
  int speed_mbps = 0;    // as the kernel says; 10000 where it does not
  std::string pci_path;  // realpath of /sys/class/net/NAME/device; empty for virtual ones
  bool standby = false;  // far from what the process works with (Config::near); used when near ones fail
};

// How to reach a listener; a plain value to be carried to the connecting process by any means. Stable across
// the calls of one connect attempt.
struct Address {
  static constexpr std::size_t kBytes = 112;
  std::array<std::byte, kBytes> bytes{};
};

// Waits for connections to one Address. accept() never blocks: an empty pointer means "not yet, call again".
// A connection that is half open when the Listener is destroyed is reclaimed by the Context. Connections
// outlive it.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual const Address& address() const = 0;
  virtual Result<std::unique_ptr<Connection>> accept() = 0;
};

// A connection being set up. poll() never blocks: an empty pointer means "not yet, call again".
class Connector {
 public:
  virtual ~Connector() = default;
  virtual Result<std::unique_ptr<Connection>> poll() = 0;
};

// The caller's word, until it is destroyed, that some memory stays as it is: mapped, and its pages not given
// back to the kernel (munmap, MADV_DONTNEED, free() of large blocks).
class LastingMemory {
 public:
  virtual ~LastingMemory() = default;
};

// Which memory of GPUs, or of other devices, NICs can be given directly: that of all RDMA ports in use.
struct DeviceMemorySupport {
  bool peer_memory = false;  // by its addresses, which a kernel module translates (nvidia_peermem)
  bool dmabuf = false;       // as a dmabuf
  std::string why_not;       // where it is neither

  bool any() const { return peer_memory || dmabuf; }
};

class Context {
 public:
  // What create() would refuse, tried without opening or starting anything: values, interfaces, the
  // statistics' file. For a process that starts others.
  static Status check(const Config& config);
  // Chooses interfaces and starts the housekeeping thread. `log` may be empty.
  static Result<std::unique_ptr<Context>> create(const Config& config, LogSink log);
  // Every Connection, Listener and Connector must be gone before. Joins the housekeeping thread.
  //
  // fork(): the child has no part in any of them. Its copies of their sockets are closed at once; it may
  // destroy the objects, which does nothing, or make a Context of its own, but must not use them.
  virtual ~Context() = default;

  virtual const Config& config() const = 0;
  virtual const std::vector<Device>& devices() const = 0;
  // Which transport connections take, and why: "RDMA by mlx5_0:1 on eth2; TCP to peers without it".
  virtual const std::string& transport() const = 0;
  virtual Result<std::unique_ptr<Listener>> listen() = 0;
  virtual Result<std::unique_ptr<Connector>> connect(const Address& address) = 0;
  // Messages in this memory cost no registration of their own, over transports that register memory; others
  // can be anywhere, and cost one each. To be destroyed before the memory goes, and before the Context. A
  // peer that has to write into part of the memory may be given the key of all of it. Any thread; never null.
  virtual std::unique_ptr<LastingMemory> promise_memory(const void* data, std::size_t bytes) = 0;
  virtual const DeviceMemorySupport& device_memory() const = 0;
  // The same for memory of a device (MemoryKind::kDevice), which is registered at once with all RDMA ports in
  // use. `dmabuf`: a descriptor, of which `data` is the byte at `offset`; it may be closed afterwards. -1:
  // the device's addresses are enough (DeviceMemorySupport::peer_memory).
  virtual Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void* data, std::size_t bytes,
                                                                       int dmabuf = -1,
                                                                       std::uint64_t offset = 0) = 0;
  // Counters as JSON text, as written to config().stats_file: totals over every connection ever, then the
  // connections and their paths; of those that were closed, only the newest. docs/environment.md has the
  // fields.
  virtual std::string statistics_json() const = 0;
};

}  // namespace weft
