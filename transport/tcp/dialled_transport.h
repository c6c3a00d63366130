// The seam for transports whose paths are dialled by TCP and run elsewhere: RDMA ports beside IP interfaces.
// A path's HELLO carries an option that names such a transport and says how to reach the connecting end;
// WELCOME answers in kind; then the socket is closed. So every path has proved the secret, and that its plane
// carries packets, before it serves.
//
// The fabric makes a DialledTransport of each kind that a build and a machine have, and asks it for the
// backends of links. docs/transport.md, "Verbs", says how the pieces play together.
//
// Threads: a DialledTransport takes any thread. A DialledBackend is called under its link's lock, but for
// prepare().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/engine/backend.h"
#include "transport/tcp/dial.h"
#include "weft/context.h"
#include "weft/status.h"

namespace weft::tcp {

// Planes of one connection, for every such transport: what announces a receive to the peer has a key for
// each.
inline constexpr std::size_t kMostDialledPlanes = 16;

// A port that can be used, and the network interface over which its paths are dialled.
struct DialledPort {
  std::string name;    // mlx5_0:1
  std::string netdev;  // eth2
  IpAddress address;
  int prefix_length = 0;
  int speed_mbps = 0;
  std::string pci_path;
};

// What the accepting end of a path has made ready for a HELLO.
class PreparedPath {
 public:
  virtual ~PreparedPath() = default;
  virtual const std::vector<HandshakeOption>& options() const = 0;  // for WELCOME
};

class DialledBackend : public engine::Backend {
 public:
  // A frame has come: there is a way, and a peer at its end.
  virtual bool has_heard() const = 0;
  // Connecting side: no first attempt is under way any more.
  virtual bool is_settled() const = 0;
  // Why the last attempt failed, and whether the listener does not want us at all.
  virtual const Status& dial_error() const = 0;
  virtual bool is_refused() const = 0;

  // Accepting side. This end of a path, ready to receive; without the link's lock, for it takes a while.
  // `from` is where HELLO came from, of which the handshake has shown that it can be reached.
  virtual Result<std::unique_ptr<PreparedPath>> prepare(const Hello& hello, const IpAddress& from) = 0;
  // The path is taken for connected when its first frame comes.
  virtual void await(std::unique_ptr<PreparedPath> prepared, multipath::Endpoint& endpoint,
                     multipath::TimePoint now) = 0;
};

// What a backend is made for.
struct DialledPlan {
  std::size_t paths = 0;
  std::vector<multipath::PlaneId> path_planes;  // one element a path
  std::vector<std::size_t> ports;               // one a plane, index into DialledTransport::ports()
  ConnectionId connection{};
  bool payload_checksum = false;
  // Connecting side only. The backend adds its own option to the HELLO of each dial.
  std::vector<PathRoute> routes;  // one a path
  DialSettings dialing;
};

class DialledTransport {
 public:
  virtual ~DialledTransport() = default;
  // What it is called in messages: "RDMA".
  virtual const char* name() const = 0;
  // Whether HELLO is of a path over this transport.
  virtual bool is_meant(const Hello& hello) const = 0;
  virtual const std::vector<DialledPort>& ports() const = 0;
  virtual Result<std::unique_ptr<DialledBackend>> make_backend(DialledPlan plan) = 0;
  // A path spreads over the ways through its plane by itself: one a plane is enough.
  virtual bool sprays() const { return false; }
  // The largest chunk that every port can carry.
  virtual std::size_t largest_chunk_bytes() const = 0;
  // As Context::promise_memory(). Null where the transport registers nothing, or no more.
  virtual std::unique_ptr<LastingMemory> promise_memory(const void* /*data*/, std::size_t /*bytes*/) {
    return nullptr;
  }
  // A silence shorter than this proves nothing about a path, whatever the user has set: zero where the
  // backend can tell a path that is dead from a peer that is slow.
  virtual multipath::Duration least_path_timeout() const { return {}; }
  // As Context::device_memory() and promise_device_memory().
  virtual DeviceMemorySupport device_memory() const {
    return {false, false, std::string(name()) + " takes host memory only"};
  }
  virtual Result<std::unique_ptr<LastingMemory>> promise_device_memory(const void* /*data*/,
                                                                       std::size_t /*bytes*/, int /*dmabuf*/,
                                                                       std::uint64_t /*offset*/) {
    return Status(StatusCode::kInvalidArgument, device_memory().why_not);
  }
  // Reads what the devices report. About once a millisecond.
  virtual void watch() = 0;
};

}  // namespace weft::tcp
