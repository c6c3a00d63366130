// Counters as JSON, for files and for people. Values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "weft/connection.h"

namespace weft::engine {

// Sums over every connection that a context has had, whatever became of it since. Its storage is bounded by
// the number of local devices.
class StatisticsTotals {
 public:
  // What a path counts.
  struct Counters {
    std::uint64_t bytes_sent = 0, bytes_received = 0;
    std::uint64_t chunks_sent = 0, chunks_resent = 0;
    std::uint64_t failures = 0, revivals = 0;
  };
  // Chunks that went or came coded.
  using Coded = CompressionStatistics::Counters;

  // Once for each connection, with its last counters.
  void add(const ConnectionStatistics& connection);

  std::uint64_t connections() const { return connections_; }
  std::uint64_t messages_sent() const { return messages_sent_; }
  std::uint64_t messages_received() const { return messages_received_; }
  std::uint64_t stalls() const { return stalls_; }
  double longest_stall_ms() const { return longest_stall_ms_; }
  const Counters& counters() const { return counters_; }
  const Coded& coded_sent() const { return coded_sent_; }
  const Coded& coded_received() const { return coded_received_; }
  // By the name of the local device; a path that has none yet never connected and counts nothing.
  const std::map<std::string, Counters>& devices() const { return devices_; }

 private:
  std::uint64_t connections_ = 0;
  std::uint64_t messages_sent_ = 0, messages_received_ = 0;
  std::uint64_t stalls_ = 0;
  double longest_stall_ms_ = 0;
  Counters counters_;
  Coded coded_sent_, coded_received_;
  std::map<std::string, Counters> devices_;
};

// `open` says of a connection whether it is still in use.
struct NamedConnection {
  ConnectionStatistics statistics;
  bool open = true;
};
// {"version","pid","host","totals":{...,"devices":[...]},"connections":[{"peer",...,"paths":[...]}]}; the
// fields are those of ConnectionStatistics and PathStatistics. docs/environment.md tells users about them.
std::string to_json(const StatisticsTotals& totals, const std::vector<NamedConnection>& connections);

}  // namespace weft::engine
