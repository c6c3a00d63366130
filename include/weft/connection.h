// An ordered stream of tagged messages in each direction between two processes, carried over many paths.
//
// Threads: calls on one Connection may come from one thread at a time, except test(), which may race with
// nothing of the same Connection either. Different Connections share no lock. A housekeeping thread of the
// Context keeps acknowledgements, credit, deadlines and probes going when nobody calls.
//
// Buffers: the caller owns them. A send buffer may be reused, a receive buffer read, after test() has
// reported the request done, with or without an error; not before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "weft/status.h"

namespace weft {

// Names one posted send, receive or flush of one Connection until test() reports it done. kNone names none.
// kRefused is what a post gives that this connection can never carry out (carries() says why): nothing was
// posted, and test() reports it done with kInvalidArgument.
enum class RequestId : std::uint32_t { kNone = 0, kRefused = 1 };

// Where a message's bytes lie. kDevice: in memory of a GPU or another device, which the CPU never touches;
// the NIC reads and writes it. It has to be promised with Context::promise_device_memory() before.
enum class MemoryKind : unsigned char { kHost, kDevice };

// Requests that may be pending at once in each direction of a connection (NCCL: 32 times 8 grouped).
inline constexpr int kMaxPendingRequests = 256;

struct Completion {
  bool done = false;
  std::size_t bytes = 0;                // what was sent, or what arrived (a receive's size is a capacity)
  StatusCode status = StatusCode::kOk;  // Connection::error() has the words
};

// One path as its counters see it, for statistics and the report of a benchmark.
struct PathStatistics {
  std::string local_device;   // interface name
  std::string local_address;  // address:port
  std::string peer_address;
  int plane = 0;
  bool standby = false;    // far at this end (Config::near): carries its data while nearer planes cannot
  const char* state = "";  // GOOD, SKIP, ASSUMED_BAD, DENIED
  std::uint64_t bytes_sent = 0;  // of messages; coded ones take less on the wire (CompressionStatistics)
  std::uint64_t bytes_received = 0;
  std::uint64_t chunks_sent = 0;
  std::uint64_t chunks_resent = 0;  // chunks taken from this path after it failed and sent over others
  std::uint64_t failures = 0;
  std::uint64_t revivals = 0;
  double smoothed_rtt_us = 0;
  double rate_bytes_per_s = 0;  // its equal share of what its plane delivers under load; 0: not measured yet
};

// What lossless compression does on one connection.
struct CompressionStatistics {
  // Chunks that went or came coded; those that did not stand in the paths' counters only.
  struct Counters {
    std::uint64_t chunks = 0;
    std::uint64_t plain_bytes = 0;  // before coding, and again after decoding
    std::uint64_t coded_bytes = 0;  // on the wire
  };
  std::string setting = "off";  // Config::compression at this end
  bool agreed = false;          // both ends decode, and neither is off
  std::string level = "raw";    // what long messages are sent with at present: raw, fast, dense, archive
  std::string element_type;     // for what their bytes are taken
  std::string why;              // that is so
  Counters sent, received;
};

struct ConnectionStatistics {
  std::string peer;
  std::uint64_t messages_sent = 0, messages_received = 0;
  std::uint64_t stalls = 0;     // path failures that took data with them
  double longest_stall_ms = 0;  // from the last sign of life of a failed path to the re-sending of its data
  CompressionStatistics compression;
  std::vector<PathStatistics> paths;
};

class Connection {
 public:
  virtual ~Connection() = default;  // close(): pending requests are dropped, the peer is told
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Posts a send of `bytes` (0 is a message too). kNone when kMaxPendingRequests are pending: test() one and
  // call again. After the connection has failed, requests are still given and complete at once with its
  // error.
  virtual RequestId post_send(const void* data, std::size_t bytes, std::uint32_t tag,
                              MemoryKind memory = MemoryKind::kHost) = 0;
  // Posts a receive of at most `capacity` bytes. The n-th send with a tag meets the n-th receive with it. A
  // send that is larger than its receive fails both with kTruncated, and only them.
  // kNone when there is no room: receives take their places in a ring of kMaxPendingRequests, so one whose
  // completion was not taken may hold up its successors though fewer are pending.
  virtual RequestId post_receive(void* data, std::size_t capacity, std::uint32_t tag,
                                 MemoryKind memory = MemoryKind::kHost) = 0;
  // Whether as many receives can be posted now, one after the other. For those that must be posted together:
  // a posted receive cannot be taken back.
  virtual bool has_receive_room(std::size_t count) const = 0;
  // Whether messages may lie in memory of this kind; else which peer it is about, and why not.
  virtual Status carries(MemoryKind memory) const {
    if (memory == MemoryKind::kHost) return Status::ok();
    return {StatusCode::kInvalidArgument, "this connection carries messages in host memory only"};
  }
  // What has been received into device memory so far, by requests that test() has reported done, is visible
  // to the device itself once test() reports this request done: NICs write past the CPU, and a device may
  // see the word of the CPU before their data. `data`: a byte that was received. Each NIC that has carried
  // such data since the last flush reads back from there, which pushes its writes in front of it; so all
  // device memory of a connection has to be of one device. Never kNone; any number may be pending.
  virtual RequestId post_flush(const void* /*data*/) { return RequestId::kRefused; }
  // Moves the whole connection on and says whether `request` is done; if so its id is free again.
  virtual Completion test(RequestId request) = 0;
  // Moves the connection on without asking for a request.
  virtual void progress() = 0;

  // Why the connection failed, or OK.
  virtual Status error() const = 0;
  virtual ConnectionStatistics statistics() const = 0;

  // For tests, demonstrations and drills: behaves as if the path's cable had been pulled (the path is broken
  // on the wire, not only marked). It comes back by the ordinary revival.
  virtual Status cut_path(int path) = 0;
};

}  // namespace weft
