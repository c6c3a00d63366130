// Which way the bytes went: reads NCCL's log and Weft's counter files after a run. A right result alone
// proves nothing about the plugin, because NCCL falls back to another transport without a word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weft/status.h"

namespace weft::gputest {

// What one rank's log (NCCL_DEBUG=INFO) says.
struct LogFindings {
  std::string network;        // X of "Using network X", as NCCL prints it; empty if it is not there
  std::string banner;         // Weft's own line, empty if it is not there
  int network_channels = 0;   // "... via NET/<network>/..." lines
  int other_channels = 0;     // channels by any other way (P2P, SHM, another network)
  std::string other_example;  // the first such line
};
LogFindings read_log(std::string_view text);

// Why `log` does not show that all traffic took `network` ("Weft" or "Socket"), or OK.
Status check_log(const LogFindings& log, std::string_view network, int rank);

// Payload bytes sent by all connections of a counter file (the JSON text of WEFT_STATS_FILE). "totals" counts
// if it is there, else the outermost "bytes_sent" of each branch: a connection's own sum or, without one, its
// paths'.
Result<std::uint64_t> bytes_sent_in_counters(const std::string& json_text);

// The same over all files `directory`/`prefix`*.json; an error if there are none, naming them.
Result<std::uint64_t> bytes_sent_in_counter_files(const std::string& directory, const std::string& prefix);

}  // namespace weft::gputest
