// A stand-in for the engine behind include/weft/context.h, inside one process and without sockets or threads,
// so that the plugin's own bookkeeping can be driven into every corner. It defines Context::create and
// Config::from_environment itself: a test links either this or the engine. The real engine is tested
// elsewhere.
//
// One thread at a time.
#pragma once

#include <string>
#include <vector>

#include "weft/context.h"

namespace weft::fake {

struct Fabric {
  // What the test sets.
  std::vector<Device> devices{{"eth0", "10.0.0.1", 25000, ""}};
  Status configuration;                     // what Config::from_environment fails with
  Status creation;                          // what Context::create fails with
  Status connecting;                        // what Connector::poll fails with
  int polls_until_connected = 0;            // empty answers before connect and accept give a connection
  bool deliver = true;                      // false: nothing completes
  Status failure;                           // every pending and later request completes with this
  int free_requests = kMaxPendingRequests;  // per direction of a connection
  DeviceMemorySupport device_memory{false, false, "there is none in here"};
  Status carries_device_memory;  // what Connection::carries says of it

  // What the test reads.
  int contexts_created = 0;
  int contexts = 0, connections = 0, listeners = 0, connectors = 0;  // alive
  std::vector<MemoryKind> posted;                                    // of each message
  int flushes = 0;
  std::vector<int> dmabufs;  // that were promised; -1 for addresses
  LogLevel log_level = LogLevel::kError;
  LogSink log;
};

// The one fabric of the process; reset() before each test.
Fabric& fabric();
void reset();

}  // namespace weft::fake
